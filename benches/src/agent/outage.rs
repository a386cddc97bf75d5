//! Outage: the gateway is gone for a minute and comes back while records go on coming.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;

use super::load::Load;
use super::rate::Mix;
use super::rate::SOURCES;
use super::rate::stop;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;
use super::stage::until;
use super::usage::Memory;
use super::usage::forget_peak;
use super::usage::mebibytes;

/// Before the outage, and after it.
const AROUND: Duration = Duration::from_secs(5);
/// How long the return may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) async fn run(report: &mut Report, transport: Transport, rate: u64, seconds: u64) {
    let mut stage = Stage::new(transport, SOURCES).await;
    let mut agent = stage.start_agent().await;
    forget_peak(agent.pid());
    let streams = Mix::Mixed.streams(&stage, rate, seconds + 10 * LIMIT.as_secs());
    let loads: Vec<Load> = streams.into_iter().map(Load::start).collect();
    tokio::time::sleep(AROUND).await;
    stage.stop_gateway();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stage.start_gateway().await;
    let returned = Instant::now();
    let waiting: Vec<(&str, u64)> = loads.iter().map(|load| (load.series, load.sent())).collect();
    let rows = rows(&stage);
    let first = until(LIMIT, LOOK, || (self::rows(&stage) > rows).then(|| returned.elapsed())).await;
    let drained = until(LIMIT, LOOK, || {
        let all = waiting.iter().all(|(series, sent)| stage.sequence(series).count_missing(*sent) == 0);
        all.then(|| returned.elapsed())
    })
    .await;
    tokio::time::sleep(AROUND).await;
    let sent: Vec<(&str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    stage.drained(&sent, LIMIT).await;
    let memory = Memory::of(agent.pid());
    stop(&mut agent).await;
    let arrived: Vec<_> = sent.iter().map(|(series, sent)| stage.arrived(series, *sent)).collect();
    let lost: u64 = arrived.iter().map(|arrived| arrived.lost).sum();
    let doubled: u64 = arrived.iter().map(|arrived| arrived.doubled).sum();
    let text = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
    };
    report.row(
        &format!("outage of {seconds} s at {rate}/s, {}", transport.name()),
        &format!(
            "{lost} lost, {doubled} doubled; first data after {}, drained in {}, peak {:.1} MB",
            text(first),
            text(drained),
            mebibytes(memory.peak),
        ),
        "0 lost, first data ≤ 1 s, drained in ≤ 3 s",
        json!({
            "transport": transport.name(), "rate": rate, "seconds": seconds, "lost": lost, "doubled": doubled,
            "first_seconds": first.map(|time| time.as_secs_f64()), "memory": memory.json(),
            "drained_seconds": drained.map(|time| time.as_secs_f64()),
        }),
    );
    stage.complain();
}

fn rows(stage: &Stage) -> u64 {
    ["Syslog", "App_CL"].iter().map(|table| stage.azure.count(stage.id(), table)).sum()
}
