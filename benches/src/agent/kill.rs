//! Kill: SIGKILL again and again under load; what is lost of files and of TCP, and what comes twice.

use std::time::Duration;

use serde_json::json;

use super::load::Load;
use super::load::Stream;
use super::load::Target;
use super::rate::SOURCES;
use super::rate::stop;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;

/// Between a start and the next hit; every hit comes a little later in the agent's rhythm.
const BETWEEN: Duration = Duration::from_secs(4);
const LATER: Duration = Duration::from_millis(370);
/// How long everything may take to arrive after the last hit.
const DRAIN: Duration = Duration::from_secs(120);

pub(crate) async fn run(report: &mut Report, transport: Transport, rate: u64, hits: u32) {
    let stage = Stage::new(transport, SOURCES).await;
    let mut agent = stage.start_agent().await;
    let file = stage.logs().join("app.log");
    let stream = |series, target| Stream { series, target, rate: Some(rate), most: u64::MAX };
    let loads =
        [Load::start(stream("tcp", Target::Tcp(stage.tcp))), Load::start(stream("file", Target::File(file)))];
    let (mut doubled, mut restarts) = (Vec::new(), Vec::new());
    for hit in 0..hits {
        tokio::time::sleep(BETWEEN + LATER * hit).await;
        agent.kill9().await;
        doubled.push(doubled_so_far(&stage));
        let began = std::time::Instant::now();
        agent = stage.start_agent().await;
        restarts.push(began.elapsed().as_secs_f64() * 1e3);
    }
    tokio::time::sleep(BETWEEN).await;
    let sent: Vec<(&str, u64)> = loads.into_iter().map(|load| (load.series, load.stop())).collect();
    stage.drained(&sent, DRAIN).await;
    doubled.push(doubled_so_far(&stage));
    stop(&mut agent).await;
    let by_series: Vec<_> =
        sent.iter().map(|(series, sent)| (*series, stage.arrived(series, *sent))).collect();
    // What a hit doubles is seen after it: the count before the next one, less the count at this one.
    let by_hit: Vec<u64> = doubled
        .windows(2)
        .map(|pair| pair.iter().rev().copied().reduce(|now, before| now - before).unwrap_or(0))
        .collect();
    let lost = |name: &str| {
        by_series.iter().filter(|(series, _)| *series == name).map(|(_, arrived)| arrived.lost).sum::<u64>()
    };
    let lost_runs: Vec<_> =
        sent.iter().map(|(series, sent)| (*series, runs(&stage, series, *sent))).collect();
    let largest = stage.azure.requests().iter().map(|request| request.rows).max().unwrap_or_default();
    report.row(
        &format!("{hits} × kill -9 at {rate}/s each by TCP and into a file, {}", transport.name()),
        &format!(
            "lost {} of the file, {} of TCP; doubled {} ({} at most by one hit; the largest batch has {largest})",
            lost("file"),
            lost("tcp"),
            by_hit.iter().sum::<u64>(),
            by_hit.iter().max().unwrap_or(&0),
        ),
        "lost 0 and ≤ 11; doubled ≤ one batch a hit",
        json!({
            "transport": transport.name(), "rate": rate, "hits": hits, "sent": sent,
            "lost_file": lost("file"), "lost_tcp": lost("tcp"), "doubled_by_hit": by_hit,
            "largest_batch": largest, "restart_ms": restarts, "lost_runs": lost_runs,
        }),
    );
    stage.complain();
}

/// Returns where records of a series are missing: the first number and how many. A long run tells of a stall.
fn runs(stage: &Stage, series: &str, sent: u64) -> Vec<(u64, u64)> {
    let (sequence, mut runs) = (stage.sequence(series), Vec::<(u64, u64)>::new());
    for number in (0..sent).filter(|number| !sequence.has(*number)) {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

fn doubled_so_far(stage: &Stage) -> u64 {
    stage.sequence("tcp").doubled() + stage.sequence("file").doubled()
}
