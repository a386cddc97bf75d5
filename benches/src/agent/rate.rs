//! Rate: an even load, and what it costs: processor time a record, memory, losses, bytes on the wire.

use std::time::Duration;
use std::time::Instant;

use end_to_end::agent::Agent;
use serde_json::Value;
use serde_json::json;

use super::load::Load;
use super::load::Stream;
use super::load::Target;
use super::messages::LENGTH;
use super::report::Report;
use super::stage::Arrived;
use super::stage::Stage;
use super::stage::Transport;
use super::usage::Memory;
use super::usage::Processor;
use super::usage::forget_peak;
use super::usage::mebibytes;

/// Syslog by all ways, and files.
pub(crate) const SOURCES: &str = r#"
[source.syslog.local]
udp = ["{udp}"]
tcp = ["{tcp}"]
[source.files.logs]
paths = ["{logs}/*.log"]
table = "App_CL"
from = "beginning"
look = "1s"
"#;
/// How long everything may take to arrive after the last record was sent.
const DRAIN: Duration = Duration::from_secs(120);
/// How long ended tunnels may take to be counted.
const COUNTED: Duration = Duration::from_secs(5);

/// Which ways records take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// UDP alone.
    Udp,
    /// A third each by UDP, TCP and a file.
    Mixed,
}

impl Mix {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Mixed => "UDP, TCP and a file",
        }
    }

    /// Returns the streams that make this rate together, for so long.
    pub(crate) fn streams(self, stage: &Stage, rate: u64, seconds: u64) -> Vec<Stream> {
        let file = stage.logs().join("app.log");
        let all =
            [("udp", Target::Udp(stage.udp)), ("tcp", Target::Tcp(stage.tcp)), ("file", Target::File(file))];
        let count = if self == Self::Udp { 1 } else { all.len() };
        let rate = rate / count as u64;
        let stream = |(series, target)| Stream { series, target, rate: Some(rate), most: rate * seconds };
        all.into_iter().take(count).map(stream).collect()
    }
}

/// What one run gave.
struct Outcome {
    used: Processor,
    seconds: f64,
    memory: Memory,
    sent: Vec<(&'static str, u64)>,
    arrived: Vec<Arrived>,
    rows: u64,
    requests: u64,
    body: u64,
    content: u64,
    up: f64,
}

pub(crate) async fn run(report: &mut Report, transport: Transport, mix: Mix, rate: u64, seconds: u64) {
    let stage = Stage::new(transport, SOURCES).await;
    let outcome = measure(&stage, mix, rate, seconds).await;
    let goals = if rate >= 5000 { "≤ 8 µs" } else { "≤ 15 µs" };
    report.row(
        &format!("{rate}/s by {}, {}", mix.name(), transport.name()),
        &outcome.text(),
        &format!("{goals}, ≤ 14 MB, 0 lost, ≤ 85 bytes a record"),
        outcome.json(transport, mix, rate),
    );
    stage.complain();
}

async fn measure(stage: &Stage, mix: Mix, rate: u64, seconds: u64) -> Outcome {
    let up_before = stage.bytes_up().await;
    let mut agent = stage.start_agent().await;
    forget_peak(agent.pid());
    let (start, before) = (Instant::now(), Processor::of(agent.pid()));
    let loads: Vec<Load> = mix.streams(stage, rate, seconds).into_iter().map(Load::start).collect();
    while !loads.iter().all(Load::is_over) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent: Vec<(&'static str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    stage.drained(&sent, DRAIN).await;
    let used = Processor::of(agent.pid()).since(before);
    let (seconds, memory) = (start.elapsed().as_secs_f64(), Memory::of(agent.pid()));
    stop(&mut agent).await;
    let up = counted(stage, up_before).await;
    let traffic = stage.azure.traffic(stage.id());
    // Blobs come in requests of their own, which have no rows.
    let body = stage.azure.requests().iter().map(|request| request.body_bytes).sum();
    Outcome {
        used,
        seconds,
        memory,
        arrived: sent.iter().map(|(series, sent)| stage.arrived(series, *sent)).collect(),
        sent,
        rows: traffic.rows,
        requests: traffic.requests,
        body,
        content: traffic.content_bytes,
        up,
    }
}

/// Ends the agent as systemd would.
pub(crate) async fn stop(agent: &mut Agent) {
    agent.terminate().await;
    agent.exit_status().await;
}

/// The gateway counts tunnels when they end.
async fn counted(stage: &Stage, before: f64) -> f64 {
    let deadline = Instant::now() + COUNTED;
    let mut up = stage.bytes_up().await;
    while Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = stage.bytes_up().await;
        if now > before && now == up {
            break;
        }
        up = now;
    }
    up - before
}

impl Outcome {
    fn lost(&self) -> u64 {
        self.arrived.iter().map(|arrived| arrived.lost).sum()
    }

    fn doubled(&self) -> u64 {
        self.arrived.iter().map(|arrived| arrived.doubled).sum()
    }

    fn text(&self) -> String {
        let sent: u64 = self.sent.iter().map(|(_, sent)| sent).sum();
        let records = self.rows.max(1) as f64;
        format!(
            "{:.1} µs a record ({:.1} in the kernel), peak {:.1} MB, {} of {sent} lost, {} doubled, {:.0} bytes of \
             body and {:.0} with TLS a record of {LENGTH}",
            self.used.micros_per(self.rows),
            self.used.system.as_secs_f64() * 1e6 / records,
            mebibytes(self.memory.peak),
            self.lost(),
            self.doubled(),
            self.body as f64 / records,
            self.up / records,
        )
    }

    fn json(&self, transport: Transport, mix: Mix, rate: u64) -> Value {
        let series = |((name, sent), arrived): (&(&str, u64), &Arrived)| json!({ "series": name, "sent": sent, "arrived": arrived.json() });
        json!({
            "transport": transport.name(), "mix": mix.name(), "rate": rate, "seconds": self.seconds,
            "processor": self.used.json(), "memory": self.memory.json(),
            "micros_per_record": self.used.micros_per(self.rows),
            "series": self.sent.iter().zip(&self.arrived).map(series).collect::<Vec<_>>(),
            "rows": self.rows, "requests": self.requests, "body_bytes": self.body,
            "content_bytes": self.content, "bytes_up": self.up,
        })
    }
}
