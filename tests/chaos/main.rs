//! Chaos: many agents with numbered records through several gateways to the service, while everything goes wrong.
//!
//! Agents and gateways are killed, frozen, stopped, reloaded, upgraded, squeezed; links cut, disks filled, clocks set
//! off, logs rotated, names and the service broken, all drawn from a seed. In the end everything heals, and: what was
//! handed over is in the workspace exactly as sent; what could not be is counted; what came twice is explained; the
//! gateways hold nothing any more. The exit code is 1 when that does not hold. Needs root; nothing leaves the machine.

// A proof that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod draw;
mod edge;
mod gate;
mod load;
mod memory;
mod processes;
mod schedule;
mod soak;
mod stage;
mod strike;
mod tally;
mod verdict;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use clap::Parser;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::Load;
use crate::schedule::Cast;
use crate::schedule::draw;
use crate::stage::Stage;
use crate::strike::strike;
use crate::verdict::Sums;

/// How often it is looked whether everybody lives.
const LOOK: Duration = Duration::from_millis(250);
/// Says that mounts are this process's own.
const INSIDE: &str = "CHAOS_INSIDE";

/// Breaks agents, gateways, links and the service at random, and proves that nothing is lost.
#[derive(Parser, Clone, Debug)]
struct Arguments {
    /// What the faults are drawn from; the time, if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults come: 60s, 20m, 1h.
    #[arg(long = "for", default_value = "60s", value_parser = time)]
    lasts: Duration,
    /// How far faults are apart on average.
    #[arg(long, default_value = "700ms", value_parser = time)]
    every: Duration,
    /// Agents.
    #[arg(long, default_value_t = 12)]
    agents: usize,
    /// Gateways, at most 4.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    gateways: u8,
    /// Records a second of each of an agent's three sources.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// No faults: memory, descriptors and series are watched instead, and must not grow.
    #[arg(long)]
    soak: bool,
    /// Shows the faults that would come, and runs nothing.
    #[arg(long)]
    plan: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| "a number and a unit: 60s".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err("the unit is ms, s, m or h".to_owned()),
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that was set");
    let seed = *arguments.seed.get_or_insert(now.as_secs());
    let cast = Cast { agents: arguments.agents, gateways: arguments.gateways.into() };
    let steps = if arguments.soak { Vec::new() } else { draw(seed, cast, arguments.lasts, arguments.every) };
    if arguments.plan {
        for step in &steps {
            println!(
                "{:>9.3} s  {}: {:?} for {:.3} s",
                step.at.as_secs_f64(),
                step.who,
                step.fault,
                step.lasts.as_secs_f64()
            );
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(INSIDE).is_none() {
        return inside(seed);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments, seed, cast, steps))
}

/// Starts itself again with mounts of its own, so that none outlives it.
fn inside(seed: u64) -> ExitCode {
    let program = std::env::current_exe().expect("a program");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(program).args(std::env::args_os().skip(1));
    if !std::env::args().any(|argument| argument.starts_with("--seed")) {
        command.args(["--seed", &seed.to_string()]);
    }
    let error = command.env(INSIDE, "1").exec();
    println!("skipped: unshare cannot be started: {error}");
    ExitCode::SUCCESS
}

async fn run(arguments: &Arguments, seed: u64, cast: Cast, steps: Vec<schedule::Step>) -> ExitCode {
    let Some(stage) = Stage::start(cast).await else { return ExitCode::SUCCESS };
    let stage = Arc::new(stage);
    let lasts = arguments.lasts.as_secs_f64();
    let begin = format!(
        "chaos: seed {seed}, {} faults in {lasts} s, {} agents, {} gateways, {} records/s from each of 3 sources",
        steps.len(),
        cast.agents,
        cast.gateways,
        arguments.rate
    );
    stage.journal.say("begin", json!({ "what": begin, "seed": seed }));
    let mut tasks = JoinSet::new();
    tasks.spawn(stage.tally.clone().follow(Arc::clone(&stage.azure)));
    let load = Load::start(stage.network.place("a"), series(&stage).await, arguments.rate);
    let mut sums = Sums::default();
    if arguments.soak {
        soak::watch(&stage, arguments.lasts).await;
    } else {
        tasks.spawn(look_after(Arc::clone(&stage)));
        misbehave(&stage, steps, arguments.lasts).await;
    }
    stage.journal.say("end of faults", json!({}));
    tokio::task::spawn_blocking(move || load.stop()).await.expect("no load panics");
    sums.drained = verdict::drain(&stage).await;
    verdict::compare(&stage, &mut sums).await;
    tasks.shutdown().await;
    verdict::give_back(&stage, &mut sums).await;
    println!("{}", verdict::summary(&stage, &sums, &begin));
    if stage.journal.all_broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn series(stage: &Stage) -> Vec<(Arc<load::Series>, load::Place)> {
    let mut all = Vec::new();
    for edge in &stage.edges {
        let edge = edge.lock().await;
        all.extend(edge.series.iter().map(|series| (Arc::clone(series), edge.place(series))));
    }
    all
}

/// Lets every fault strike at its time, and waits until the last is healed.
async fn misbehave(stage: &Arc<Stage>, steps: Vec<schedule::Step>, lasts: Duration) {
    let (begin, mut strikes) = (Instant::now(), JoinSet::new());
    for step in steps {
        sleep(step.at.saturating_sub(begin.elapsed())).await;
        strikes.spawn(strike(Arc::clone(stage), step));
    }
    sleep(lasts.saturating_sub(begin.elapsed())).await;
    while let Some(done) = strikes.join_next().await {
        if let Err(error) = done {
            stage.journal.broken(format!("a fault could not be made: {error}"));
        }
    }
}

/// Looks whether everybody lives to whom nothing is done at the moment.
async fn look_after(stage: Arc<Stage>) {
    loop {
        sleep(LOOK).await;
        for (number, edge) in stage.edges.iter().enumerate() {
            let Ok(mut edge) = edge.try_lock() else { continue };
            if !edge.runs() {
                stage.journal.broken(format!("agent {number} has ended by itself: {}", edge.last_words()));
                edge.start_again().await;
            }
        }
        for (number, gate) in stage.gates.iter().enumerate() {
            let Ok(mut gate) = gate.try_lock() else { continue };
            if !gate.runs() {
                stage.journal.broken(format!("gateway {number} has ended by itself: {}", gate.last_words()));
                if let Err(error) = gate.start().await {
                    stage.journal.broken(error);
                }
            }
        }
    }
}
