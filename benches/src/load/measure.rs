//! One measurement: a program started anew, one job through it, and what its processes used meanwhile.

use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;

use super::job::Done;
use super::job::Job;
use super::processes::Partner;
use super::processes::Use;
use super::programs::Program;
use super::programs::Running;
use super::scenarios::Sample;
use super::scenarios::Scenario;
use super::scenarios::Size;
use super::stage::Stage;
use super::tunnel::Leg;

/// Milliseconds that an upload of a held agent may take.
const FAST: f64 = 1000.0;
/// Uploads a second that are tried: from, to, and how often the distance is halved.
const FEWEST: f64 = 500.0;
const MOST: f64 = 8_000.0;
const NEARER: usize = 3;
/// How often a rate is tried until it holds: what else runs on the machine only ever takes time away.
const TRIES: usize = 3;
/// How long tunnels may take to stand.
const READY: Duration = Duration::from_secs(60);
/// How long a job may take beyond its time.
const SLACK: Duration = Duration::from_secs(60);
/// A process that uses less processor time than this over [`LOOK`] has come to rest.
const REST: Duration = Duration::from_micros(500);
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to come to rest.
const AT_REST: Duration = Duration::from_secs(3);

/// One figure, and what it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub figure: f64,
    pub raw: Value,
}

/// Takes one figure of one program.
pub(crate) fn measure(
    stage: &Stage,
    program: &Program,
    scenario: Scenario,
    size: Size,
) -> anyhow::Result<Measurement> {
    if scenario == Scenario::Held {
        return held(stage, program, size);
    }
    let (done, before, after) = once(stage, program, scenario, size)?;
    ensure!(done.failed == 0, "{} of {} failed: {:?}", done.failed, done.count + done.failed, done.error);
    ensure!(
        done.not_resumed * 10 <= done.count,
        "{} of {} sessions were not resumed",
        done.not_resumed,
        done.count
    );
    let sample = Sample {
        count: done.count,
        bytes: done.up + done.down,
        processor: after.processor.saturating_sub(before.processor).as_secs_f64(),
        memory: after.memory as f64 - before.memory as f64,
    };
    let raw = json!({
        "done": done, "processor_seconds": sample.processor, "memory_before": before.memory,
        "memory_after": after.memory, "processes": after.processes,
    });
    Ok(Measurement { figure: scenario.figure(sample), raw })
}

/// Starts a program, lets a client do a job through it, and ends it.
fn once(
    stage: &Stage,
    program: &Program,
    scenario: Scenario,
    size: Size,
) -> anyhow::Result<(Done, Use, Use)> {
    let mut running = program.start(stage, scenario.leg())?;
    let outcome = work(stage, &running, scenario.job(size), scenario.leg());
    running.process.end();
    outcome.with_context(|| format!("{}: {}", program.name, scenario.name()))
}

/// Finds the most agents of an upload a minute whose p99 is below [`FAST`]: doubles, then halves the distance.
fn held(stage: &Stage, program: &Program, size: Size) -> anyhow::Result<Measurement> {
    let mut trials = Vec::new();
    // What cannot be started holds not a few agents: there is no figure.
    program.start(stage, Scenario::Held.leg())?.process.end();
    let mut holds = |uploads: f64| {
        (0..TRIES).any(|_| {
            let outcome = once(stage, program, Scenario::Held, Size { uploads, ..size });
            let holds = outcome.as_ref().is_ok_and(|(done, ..)| done.failed == 0 && done.p99 < FAST);
            trials.push(match outcome {
                Ok((done, ..)) => json!({ "uploads_a_second": uploads, "done": done }),
                Err(error) => json!({ "uploads_a_second": uploads, "error": format!("{error:#}") }),
            });
            holds
        })
    };
    let (mut held, mut lost) = (0.0, FEWEST);
    while lost <= MOST && holds(lost) {
        (held, lost) = (lost, lost * 2.0);
    }
    for _ in 0..NEARER {
        let middle = (held + lost) / 2.0;
        if holds(middle) {
            held = middle;
        } else {
            lost = middle;
        }
    }
    Ok(Measurement { figure: held * 60.0 / 1000.0, raw: json!({ "trials": trials }) })
}

/// Lets a client do a job through a program; returns what came of it, and what the program had used before and after.
pub(crate) fn work(stage: &Stage, running: &Running, job: Job, leg: Leg) -> anyhow::Result<(Done, Use, Use)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["client", &running.address.to_string(), &serde_json::to_string(&job)?]);
    command.arg(serde_json::to_string(&leg)?).arg(stage.folder());
    let mut client = Partner::start(&stage.network.far(command))?;
    let outcome = converse(stage, running, job, &mut client);
    match outcome {
        Ok(outcome) => {
            client.say("end")?;
            client.wait()?;
            Ok(outcome)
        }
        Err(error) => {
            client.kill();
            Err(error)
        }
    }
}

fn converse(
    stage: &Stage,
    running: &Running,
    job: Job,
    client: &mut Partner,
) -> anyhow::Result<(Done, Use, Use)> {
    let line = client.hear(READY)?;
    ensure!(line == "ready", "the load says {line:?}");
    let before = at_rest(running.process.pid());
    let seen = stage.totals()?;
    client.say("go")?;
    let line = client.hear(job.duration() + SLACK)?;
    let after = at_rest(running.process.pid());
    let done: Done = serde_json::from_str(&line)?;
    if done.failed > 0 {
        return Ok((done, before, after));
    }
    let now = stage.totals()?;
    let counted = (now.up - seen.up, now.down - seen.down);
    ensure!(
        counted == (done.up, done.down),
        "client: {} up, {} down; origin: {counted:?}",
        done.up,
        done.down
    );
    Ok((done, before, after))
}

/// Waits until a program has nothing more to do, and returns what it has used.
fn at_rest(pid: u32) -> Use {
    let deadline = Instant::now() + AT_REST;
    let mut used = Use::of(pid);
    loop {
        thread::sleep(LOOK);
        let now = Use::of(pid);
        if now.processor.saturating_sub(used.processor) < REST || Instant::now() >= deadline {
            return now;
        }
        used = now;
    }
}
