//! Idle: every source on and nothing to do but the counters and the heartbeat.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;

use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;
use super::usage::Memory;
use super::usage::Processor;
use super::usage::mebibytes;

/// Every kind of source, and the counters as they are without a word about them.
pub(crate) const ALL_SOURCES: &str = r#"
[source.syslog.local]
udp = ["{udp}"]
tcp = ["{tcp}"]
unix = ["{unix}"]
[source.files.logs]
paths = ["{logs}/*.log"]
table = "App_CL"
[source.performance.usual]
[source.heartbeat.usual]
"#;
/// Files that are followed.
const FILES: u32 = 5;

/// Starts the agent, lets it settle, and looks at it for a while.
pub(crate) async fn run(report: &mut Report, transport: Transport, settle: Duration, look: Duration) {
    let stage = Stage::new(transport, ALL_SOURCES).await;
    for number in 0..FILES {
        let file = stage.logs().join(format!("app-{number}.log"));
        std::fs::write(file, "2026-01-01T00:00:00Z a line that was there before\n").expect("a log file");
    }
    let agent = stage.start_agent().await;
    tokio::time::sleep(settle).await;
    let (start, before) = (Instant::now(), Processor::of(agent.pid()));
    tokio::time::sleep(look).await;
    let used = Processor::of(agent.pid()).since(before);
    let (memory, percent) =
        (Memory::of(agent.pid()), used.total.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0);
    report.row(
        &format!("idle, all sources on, {}", transport.name()),
        &format!(
            "{:.1} MB resident ({:.1} of its own, {:.1} proportional), {percent:.3} % of a core",
            mebibytes(memory.resident),
            mebibytes(memory.anonymous),
            mebibytes(memory.proportional),
        ),
        "≤ 8 MB, ≤ 0.01 %",
        json!({
            "transport": transport.name(), "memory": memory.json(), "processor": used.json(),
            "seconds": start.elapsed().as_secs_f64(), "percent": percent,
        }),
    );
    stage.complain();
}
