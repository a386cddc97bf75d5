//! Throttle: 429 with `Retry-After` for a while. Large: 413 for bodies above a size for a while.

use std::time::Duration;
use std::time::Instant;

use end_to_end::workspace::Fault;
use end_to_end::workspace::Place;
use end_to_end::workspace::RetryAfter;
use serde_json::json;

use super::load::Load;
use super::rate::Mix;
use super::rate::SOURCES;
use super::rate::stop;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;

/// Before the trouble, so that connections and tokens are there.
const BEFORE: Duration = Duration::from_secs(6);
/// Seconds of `Retry-After`.
const WAIT: u64 = 5;
/// What was sent within the trouble may still come within this, the trouble going on.
const GRACE: Duration = Duration::from_secs(10);
/// How long everything may take to arrive afterwards.
const DRAIN: Duration = Duration::from_secs(120);

pub(crate) async fn throttle(report: &mut Report, transport: Transport, rate: u64, seconds: u64) {
    let stage = Stage::new(transport, SOURCES).await;
    let mut agent = stage.start_agent().await;
    let loads = loads(&stage, rate);
    tokio::time::sleep(BEFORE).await;
    let fault = Fault::status(429).retry_after(RetryAfter::Seconds(WAIT)).at(place(transport));
    let fault = stage.azure.fault(fault);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stage.azure.clear(fault);
    let ended = Instant::now();
    let sent: Vec<(&str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    let last = stage.drained(&sent, DRAIN).await;
    stop(&mut agent).await;
    let requests = stage.azure.requests_at(stage.id(), place(transport));
    let refused = requests.iter().filter(|request| request.status == Some(429)).count();
    let early = stage.azure.early(stage.id());
    let (lost, doubled) = sums(&stage, &sent);
    let drained = last.saturating_duration_since(ended).as_secs_f64();
    report.row(
        &format!("{seconds} s of 429 with `Retry-After: {WAIT}` at {rate}/s, {}", transport.name()),
        &format!(
            "{refused} refused, {early} too early; {lost} lost, {doubled} doubled, drained in {drained:.1} s"
        ),
        "≤ 4 refused, 0 too early",
        json!({
            "transport": transport.name(), "rate": rate, "seconds": seconds, "retry_after": WAIT,
            "refused": refused, "early": early, "lost": lost, "doubled": doubled, "drained_seconds": drained,
        }),
    );
}

pub(crate) async fn large(
    report: &mut Report,
    transport: Transport,
    rate: u64,
    seconds: u64,
    above: Option<u64>,
) {
    let stage = Stage::new(transport, SOURCES).await;
    let mut agent = stage.start_agent().await;
    let loads = loads(&stage, rate);
    tokio::time::sleep(BEFORE).await;
    let usual = stage
        .azure
        .requests()
        .iter()
        .filter(|request| request.rows > 0)
        .map(|request| request.body_bytes)
        .max();
    let above = above.unwrap_or(usual.unwrap_or(64 * 1024) / 2);
    let fault = stage.azure.fault(Fault::status(413).above(above).at(place(transport)));
    let begin: Vec<u64> = loads.iter().map(Load::sent).collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let end: Vec<u64> = loads.iter().map(Load::sent).collect();
    tokio::time::sleep(GRACE).await;
    let (mut through, mut within) = (0, 0);
    for ((load, begin), end) in loads.iter().zip(&begin).zip(&end) {
        let sequence = stage.sequence(load.series);
        within += end - begin;
        through += (*begin..*end).filter(|number| sequence.has(*number)).count() as u64;
    }
    stage.azure.clear(fault);
    let sent: Vec<(&str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    stage.drained(&sent, DRAIN).await;
    stop(&mut agent).await;
    let refused = stage.azure.requests().iter().filter(|request| request.status == Some(413)).count();
    let (lost, doubled) = sums(&stage, &sent);
    let percent = through as f64 / within.max(1) as f64 * 100.0;
    report.row(
        &format!("{seconds} s of 413 above {above} bytes at {rate}/s, {}", transport.name()),
        &format!("{percent:.1} % got through meanwhile, {refused} requests refused; {lost} lost, {doubled} doubled"),
        "≥ 95 %",
        json!({
            "transport": transport.name(), "rate": rate, "seconds": seconds, "above": above, "usual_body": usual,
            "percent": percent, "refused": refused, "lost": lost, "doubled": doubled,
        }),
    );
    stage.complain();
}

fn place(transport: Transport) -> Place {
    match transport {
        Transport::LogsIngestion => Place::Ingestion,
        Transport::LogAnalyticsAgent => Place::Items,
    }
}

/// Syslog alone: text logs go another way with one of the transports.
fn loads(stage: &Stage, rate: u64) -> Vec<Load> {
    Mix::Udp.streams(stage, rate, DRAIN.as_secs() * 10).into_iter().map(Load::start).collect()
}

fn sums(stage: &Stage, sent: &[(&str, u64)]) -> (u64, u64) {
    let arrived: Vec<_> = sent.iter().map(|(series, sent)| stage.arrived(series, *sent)).collect();
    (arrived.iter().map(|arrived| arrived.lost).sum(), arrived.iter().map(|arrived| arrived.doubled).sum())
}
