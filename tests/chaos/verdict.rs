//! The end of a run: everything is sent, compared, explained, and given back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use serde_json::json;
use tokio::time::sleep;

use crate::edge::Edge;
use crate::edge::WhenFull;
use crate::load::Way;
use crate::processes::Holding;
use crate::stage::Stage;
use crate::stage::Trouble;
use crate::tally::Arrived;
use crate::tally::Double;

/// How long agents have by themselves; their longest wait after a failure of the service is a minute, of a token and a
/// clock that is off five. Then they are started anew, which begins with no wait.
const BY_THEMSELVES: Duration = Duration::from_secs(25);
/// How long nothing more may have been sent, at the very end, and how long all of it may take: hours of faults leave long queues.
const STANDS_STILL: Duration = Duration::from_secs(120);
const DRAINED: Duration = Duration::from_secs(1800);
/// How long a gateway may take until it holds nothing any more: it keeps a drained tunnel for 3 seconds, threads for ten.
const GIVEN_BACK: Duration = Duration::from_secs(60);
/// Examples that are told.
const SHOWN: usize = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What a gateway may hold more than when it had just started: sockets of its resolver and a listener's spare.
const MORE_DESCRIPTORS: usize = 6;
/// Pipes of its pool.
const MOST_PIPES: usize = 16;
const MORE_THREADS: usize = 2;
/// What it may have grown by. An allocator keeps pages of the busiest moment.
const MORE_MEMORY: u64 = 24 * 1024 * 1024;
/// How long after a fault was over what it has broken may be sent again: the deadline of a request.
const AFTERWARDS: Duration = Duration::from_secs(62);
/// How long after its end at least what a fault held up may come for the first time: bytes of an agent that was killed are still on
/// their way, and TCP sends anew only about as long after a break as the break has lasted.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// Losses that may be counted, and cover records that did not arrive.
const COVERING: [&str; 3] = ["dropped", "refused", "overflowed"];
/// Losses that no fault here may lead to.
const FORBIDDEN: [&str; 9] =
    ["unread", "rejected", "corrupt", "unsent", "shortened", "cut", "connections", "missed", "invalid_text"];

/// What a run has come to.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) sent: BTreeMap<&'static str, u64>,
    pub(crate) missing_at_ends: BTreeMap<String, u64>,
    pub(crate) missing_counted: u64,
    pub(crate) losses: BTreeMap<String, u64>,
    pub(crate) doubles: BTreeMap<String, u64>,
    pub(crate) starts: u64,
    pub(crate) drained: Duration,
    pub(crate) holding: Vec<(Holding, Holding)>,
}

/// Waits until every agent has sent what it has, as long as it gets less.
pub(crate) async fn drain(stage: &Stage) -> Duration {
    let (begin, mut helped) = (Instant::now(), false);
    let (mut least, mut since) = (u64::MAX, begin);
    loop {
        let waiting = waiting(stage).await;
        if waiting.is_empty() {
            return begin.elapsed();
        }
        let left = waiting.iter().map(|agent| agent.records).fold(0, u64::saturating_add);
        if left < least {
            (least, since) = (left, Instant::now());
        }
        if since.elapsed() > STANDS_STILL || begin.elapsed() > DRAINED {
            for Waiting { agent, what, .. } in &waiting {
                let words = stage.edges[*agent].lock().await.last_words();
                stage
                    .journal
                    .broken(format!("agent {agent} does not get its records through: {what}\n{words}"));
            }
            return begin.elapsed();
        }
        if begin.elapsed() > BY_THEMSELVES && !std::mem::replace(&mut helped, true) {
            for Waiting { agent, what, .. } in &waiting {
                stage.journal.say("hurried", json!({ "who": format!("agent {agent}"), "why": what }));
                stage
                    .journal
                    .count("agents started anew at the end, in place of waiting out their longest wait");
                if let Err(error) = stage.edges[*agent].lock().await.end("TERM", Duration::ZERO).await {
                    stage.journal.broken(error);
                }
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// An agent that still has something to send.
struct Waiting {
    agent: usize,
    /// In its queue and unread in its log; without an answer of it more than any.
    records: u64,
    what: String,
}

/// Returns the agents that still have something to send.
async fn waiting(stage: &Stage) -> Vec<Waiting> {
    let mut all = Vec::new();
    for (agent, edge) in stage.edges.iter().enumerate() {
        let mut edge = edge.lock().await;
        let lines = edge.series.iter().filter(|series| series.way == Way::File);
        let unread: u64 = {
            let arrived = stage.tally.look();
            lines.map(|series| series.sent() - arrived.distinct(&series.name)).sum()
        };
        edge.note_losses().await;
        let dropped = edge.losses().get("dropped").copied().unwrap_or_default();
        let Some(status) = edge.status().await else {
            all.push(Waiting { agent, records: u64::MAX, what: "it does not answer".to_owned() });
            continue;
        };
        let workspace = &status["workspaces"][0];
        let queued = workspace["queue_records"].as_u64().unwrap_or_default();
        if queued > 0 || unread > dropped {
            let trouble = workspace["trouble"].as_str().unwrap_or_default();
            let what = format!("{queued} in its queue, {unread} lines of its log have not come; {trouble}");
            all.push(Waiting { agent, records: queued + unread, what });
        }
    }
    all
}

/// Compares what was sent with what arrived.
pub(crate) async fn compare(stage: &Stage, sums: &mut Sums) {
    for edge in &stage.edges {
        let mut edge = edge.lock().await;
        edge.note_losses().await;
        compare_one(stage, &edge, sums);
        sums.starts += edge.starts;
    }
    let arrived = stage.tally.look();
    for text in &arrived.foreign {
        stage.journal.broken(format!("a row that nobody has sent: {text:?}"));
    }
    let troubles = stage.journal.troubles();
    let mut unexplained = BTreeSet::new();
    for double in &arrived.doubles {
        let cause = cause(double, &troubles);
        if cause.is_none() {
            unexplained.insert(riddle(double, &troubles));
        }
        *sums.doubles.entry(cause.unwrap_or("without a cause").to_owned()).or_default() += 1;
    }
    for riddle in unexplained.iter().take(SHOWN) {
        stage.journal.broken(riddle.clone());
    }
    if let Some(count) = sums.doubles.get("without a cause") {
        stage.journal.broken(format!("{count} records came twice, and nothing explains it"));
    }
}

fn compare_one(stage: &Stage, edge: &Edge, sums: &mut Sums) {
    let (number, losses) = (edge.number, edge.losses());
    let arrived = stage.tally.look();
    let (mut elsewhere, mut waits) = (Vec::new(), 0);
    for series in &edge.series {
        let way = match series.way {
            Way::Tcp => "tcp",
            Way::Udp => "udp",
            Way::File => "file",
        };
        *sums.sent.entry(way).or_default() += series.sent();
        let (at_ends, others) = missing(edge, &arrived, &series.name, series.sent());
        for how in at_ends {
            *sums.missing_at_ends.entry(format!("{way} {how}")).or_default() += 1;
        }
        if series.way != Way::Udp {
            waits += others.len() as u64;
        }
        elsewhere.extend(others.into_iter().map(|number| (series.name.clone(), number)));
    }
    let count = |kind: &str| losses.get(kind).copied().unwrap_or_default();
    let covered: u64 = COVERING.iter().map(|kind| count(kind)).sum();
    sums.missing_counted += elsewhere.len() as u64;
    let (lost, shown) = (elsewhere.len() as u64, elsewhere.iter().take(20).collect::<Vec<_>>());
    if lost > covered {
        stage.journal.broken(format!("agent {number} lost {lost} records and counted {losses:?}: {shown:?}"));
    }
    // Only datagrams are refused or overflow: files and TCP wait.
    if waits > count("dropped") {
        stage.journal.broken(format!("agent {number} lost {waits} of TCP and files: {losses:?}: {shown:?}"));
    }
    if edge.when_full == WhenFull::Block && count("dropped") > 0 {
        stage
            .journal
            .broken(format!("agent {number} is to wait when its queue is full, and dropped: {losses:?}"));
    }
    for kind in FORBIDDEN {
        if count(kind) > 0 {
            stage.journal.broken(format!("agent {number} counted {kind}: {losses:?}\n{}", edge.last_words()));
        }
    }
    for (kind, count) in losses {
        *sums.losses.entry(kind).or_default() += count;
    }
}

/// Returns of each record that is missing and that an end of the agent may have cost how that came, and the others.
fn missing(edge: &Edge, arrived: &Arrived, series: &str, sent: u64) -> (Vec<&'static str>, Vec<u64>) {
    let hit = |number: u64| {
        edge.hits.iter().find(|hit| hit.series == series && hit.numbers.contains(&number)).map(|hit| hit.how)
    };
    let missing = arrived.missing(series, sent).into_iter();
    let (mut at_ends, mut others) = (Vec::new(), Vec::new());
    missing.for_each(|number| match hit(number) {
        Some(how) => at_ends.push(how),
        None => others.push(number),
    });
    (at_ends, others)
}

/// Says what is known of a record that came twice for no cause: which fault that concerned its agent ended last before it came.
fn riddle(double: &Double, troubles: &[Trouble]) -> String {
    let Double { agent, first, again } = double;
    let seconds =
        |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_secs_f64();
    let before = troubles
        .iter()
        .filter(|trouble| trouble.agent.is_none_or(|known| known == *agent))
        .filter_map(|trouble| Some((trouble.to.filter(|to| to <= first)?, trouble.cause.as_str())))
        .max_by_key(|(to, _)| *to);
    let before = before.map_or_else(String::new, |(to, cause)| {
        format!("; {cause} was over {:.3} s before it came first", seconds(to, *first))
    });
    format!("records of agent {agent} came again after {:.3} s{before}", seconds(*first, *again))
}

/// Returns why a record came twice: what was wrong between its first arrival and the second, the likeliest first.
fn cause<'a>(double: &Double, troubles: &'a [Trouble]) -> Option<&'a str> {
    let concerns = |trouble: &&Trouble| {
        let on_its_way = |to: SystemTime| ON_ITS_WAY.max(to.duration_since(trouble.from).unwrap_or_default());
        let in_time = |to| to + AFTERWARDS >= double.again && to + on_its_way(to) >= double.first;
        trouble.to.is_none_or(in_time)
            && trouble.from <= double.again
            && trouble.agent.is_none_or(|agent| agent == double.agent)
    };
    let rank = |trouble: &&Trouble| match trouble.cause.as_str() {
        "agent Kill" | "agent Stop" | "agent Memory" => Some(0),
        "service LostAnswer" | "service BrokenAnswer" | "service Closed" | "service Late" => Some(1),
        "gateway Kill" | "gateway Stop" | "gateway Upgrade" | "gateway Memory" => Some(2),
        "link Cut" | "link Reset" | "link Loss" | "link Slow" => Some(3),
        "agent Freeze" | "gateway Freeze" | "service Garbage" | "service Refused" | "service Certificate" => {
            Some(4)
        }
        "agent ReloadChanged" | "agent DiskFull" | "agent Descriptors" | "agent Clock" => Some(5),
        _ => None,
    };
    let likely = troubles.iter().filter(concerns).filter_map(|trouble| Some((rank(&trouble)?, trouble)));
    likely.min_by_key(|(rank, _)| *rank).map(|(_, trouble)| trouble.cause.as_str())
}

/// Ends the agents, and looks whether the gateways have given everything back.
pub(crate) async fn give_back(stage: &Stage, sums: &mut Sums) {
    for edge in &stage.edges {
        let mut edge = edge.lock().await;
        if let Err(error) = edge.leave().await {
            stage.journal.broken(error);
        }
    }
    for (number, gate) in stage.gates.iter().enumerate() {
        let gate = gate.lock().await;
        let (idle, until) = (stage.idle[number], Instant::now() + GIVEN_BACK);
        loop {
            let left = left_over(&gate, idle);
            if left.is_empty() {
                break;
            }
            if Instant::now() > until {
                stage.journal.broken(format!("gateway {number} has left over: {left:?}"));
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        sums.holding.push((idle, Holding::of(gate.pid()).unwrap_or_default()));
        sums.starts += gate.starts();
        for line in gate.said().lines().filter(|line| line.contains("panicked")) {
            stage.journal.broken(format!("gateway {number}: {line}"));
        }
    }
}

fn left_over(gate: &crate::gate::Gate, idle: Holding) -> Vec<String> {
    let (mut left, mut pool) = (Vec::new(), 0);
    match gate.metrics() {
        Err(error) => left.push(error),
        Ok(metrics) => {
            for name in [
                "la_gateway_tunnels_active",
                "la_gateway_setups_in_progress",
                "la_gateway_setups_waiting",
                "la_gateway_connected_clients",
                "la_gateway_active_client_connections",
                "la_gateway_pipes_in_use",
            ] {
                let value = metrics.sum(name).unwrap_or(f64::NAN);
                if value != 0.0 {
                    left.push(format!("{name} {value}"));
                }
            }
            // Empty pipes are kept for the next tunnel, a few at most.
            pool = metrics.sum("la_gateway_pipes_open").unwrap_or_default() as usize;
            if pool > MOST_PIPES {
                left.push(format!("{pool} pipes"));
            }
        }
    }
    let Some(now) = Holding::of(gate.pid()) else { return vec!["its process is gone".to_owned()] };
    if now.descriptors > idle.descriptors + MORE_DESCRIPTORS + 2 * pool {
        left.push(format!("{} descriptors, {} at first", now.descriptors, idle.descriptors));
    }
    if now.pipes > idle.pipes + 2 * pool {
        left.push(format!("{} ends of pipes, {} at first", now.pipes, idle.pipes));
    }
    if now.threads > idle.threads + MORE_THREADS {
        left.push(format!("{} threads, {} at first", now.threads, idle.threads));
    }
    if now.memory > idle.memory + MORE_MEMORY {
        left.push(format!("{} bytes of memory, {} at first", now.memory, idle.memory));
    }
    left
}

/// Says how the run went, for people.
pub(crate) fn summary(stage: &Stage, sums: &Sums, begin: &str) -> String {
    let arrived = stage.tally.look();
    let mut text = format!("\n{begin}\n\n");
    let mut line = |what: &str, value: String| text.push_str(&format!("{what:<44} {value}\n"));
    let map = |map: &BTreeMap<String, u64>| {
        let parts: Vec<String> = map.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    };
    let ways = |map: &BTreeMap<&str, u64>| {
        map.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    line("records handed over", ways(&sums.sent));
    line("rows that arrived, those twice among them", format!("{}", arrived.rows));
    line("not arrived: unread when an agent ended", map(&sums.missing_at_ends));
    line("not arrived otherwise, all counted", sums.missing_counted.to_string());
    line("losses counted", map(&sums.losses));
    line("twice, by cause", map(&sums.doubles));
    line("records that broke off with a connection", arrived.beginnings.to_string());
    line("processes started", sums.starts.to_string());
    line("everything sent after the last fault", format!("{:.1} s", sums.drained.as_secs_f64()));
    for (number, (idle, now)) in sums.holding.iter().enumerate() {
        let value = format!(
            "{}/{} descriptors, {}/{} pipe ends, {}/{} threads, {:.1}/{:.1} MB",
            now.descriptors,
            idle.descriptors,
            now.pipes,
            idle.pipes,
            now.threads,
            idle.threads,
            now.memory as f64 / 1e6,
            idle.memory as f64 / 1e6
        );
        line(&format!("gateway {number}, at the end/at first"), value);
    }
    let mut problems: BTreeMap<String, u64> = BTreeMap::new();
    for problem in stage.azure.problems() {
        let text: String = problem.text.chars().take(60).collect();
        *problems.entry(format!("{:?}: {text}", problem.place)).or_default() += 1;
    }
    line("requests that were not as they should be", map(&problems));
    text.push_str("\nfaults:\n");
    for (what, count) in stage.journal.counts() {
        text.push_str(&format!("{count:>6}  {what}\n"));
    }
    let broken = stage.journal.all_broken();
    match broken.is_empty() {
        true => text.push_str("\nholds: nothing lost, nothing left over\n"),
        false => text.push_str(&format!("\nDOES NOT HOLD:\n{}\n", broken.join("\n"))),
    }
    text
}
