//! Backlog: gigabytes wait in the queue; how soon a restart is ready, and how much memory sending them takes.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use end_to_end::agent::Agent;
use serde_json::json;

use super::load::Load;
use super::load::Stream;
use super::load::Target;
use super::rate::stop;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;
use super::usage::Memory;
use super::usage::Processor;
use super::usage::forget_peak;
use super::usage::mebibytes;

const SOURCES: &str = "[source.syslog.local]\ntcp = [\"{tcp}\"]\n";
/// Records come from few connections of a busy relay.
const SERIES: [&str; 2] = ["one", "two"];
/// How long filling the queue, or emptying it, may take for each gigabyte.
const FOR_A_GIGABYTE: Duration = Duration::from_secs(300);
/// How long the agent is looked at between a restart and the gateway's return.
const WAITING: Duration = Duration::from_secs(3);

pub(crate) async fn run(report: &mut Report, transport: Transport, gigabytes: f64) {
    let mut stage = Stage::new(transport, SOURCES).await;
    stage.configure(SOURCES, &format!("{}GiB", gigabytes.ceil() + 2.0));
    let limit = FOR_A_GIGABYTE.mul_f64(gigabytes.max(1.0));
    stage.stop_gateway();
    let mut agent = stage.start_agent().await;
    forget_peak(agent.pid());
    let (began, before) = (Instant::now(), Processor::of(agent.pid()));
    let sent = fill(&stage, (gigabytes * 1e9) as u64, limit).await;
    let (filled, used) = (began.elapsed(), Processor::of(agent.pid()).since(before));
    let filling = Memory::of(agent.pid());
    stop(&mut agent).await;
    let bytes = size_of(&stage.home.path().join("spool"));

    let began = Instant::now();
    let agent = stage.start_agent().await;
    let ready = began.elapsed();
    tokio::time::sleep(WAITING).await;
    let waiting = Memory::of(agent.pid());
    forget_peak(agent.pid());
    stage.start_gateway().await;
    let (began, before) = (Instant::now(), Processor::of(agent.pid()));
    let last = stage.drained(&sent, limit).await;
    let drained = last.saturating_duration_since(began).as_secs_f64();
    let (draining, drain_used) = (Memory::of(agent.pid()), Processor::of(agent.pid()).since(before));
    let total: u64 = sent.iter().map(|(_, sent)| sent).sum();
    let arrived: Vec<_> = sent.iter().map(|(series, sent)| stage.arrived(series, *sent)).collect();
    let lost: u64 = arrived.iter().map(|arrived| arrived.lost).sum();
    let doubled: u64 = arrived.iter().map(|arrived| arrived.doubled).sum();
    report.row(
        &format!("backlog of {:.1} GB ({total} records), {}", bytes as f64 / 1e9, transport.name()),
        &format!(
            "filled in {:.0} s with a peak of {:.1} MB; ready {:.0} ms after the restart, {:.1} MB then; drained in \
             {drained:.0} s at {:.0}/s with a peak of {:.1} MB; {lost} lost, {doubled} doubled",
            filled.as_secs_f64(),
            mebibytes(filling.peak),
            ready.as_secs_f64() * 1e3,
            mebibytes(waiting.resident),
            total as f64 / drained.max(0.001),
            mebibytes(draining.peak),
        ),
        "≤ 14 MB",
        json!({
            "transport": transport.name(), "spool_bytes": bytes, "records": total,
            "fill_seconds": filled.as_secs_f64(), "fill_memory": filling.json(), "fill_processor": used.json(),
            "ready_ms": ready.as_secs_f64() * 1e3, "waiting_memory": waiting.json(), "drain_seconds": drained,
            "drain_memory": draining.json(), "drain_processor": drain_used.json(), "lost": lost, "doubled": doubled,
        }),
    );
    end(agent, &stage).await;
}

async fn end(mut agent: Agent, stage: &Stage) {
    stop(&mut agent).await;
    stage.complain();
}

/// Sends as fast as the agent takes it, until the queue has so many bytes.
async fn fill(stage: &Stage, bytes: u64, limit: Duration) -> Vec<(&'static str, u64)> {
    let spool = stage.home.path().join("spool");
    let stream = |series| Stream { series, target: Target::Tcp(stage.tcp), rate: None, most: u64::MAX };
    let loads: Vec<Load> = SERIES.into_iter().map(|series| Load::start(stream(series))).collect();
    let deadline = Instant::now() + limit;
    while size_of(&spool) < bytes && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    loads.into_iter().map(|load| (load.series, load.stop())).collect()
}

/// Returns the bytes of all files below a folder; files come and go meanwhile.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
