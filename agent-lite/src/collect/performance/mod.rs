//! Performance counters, on Linux from `/proc` (what each means is in `docs/counters.md`), on Windows from PDH.
//!
//! `Schedule` says which sets are due, `Sampler` reads what they need, [`run`] delivers one batch a
//! wakeup. A rate is of the time that really went by between two samplings, so a wakeup that is late or
//! missed makes no wrong value.

#[cfg(unix)]
mod linux;
mod schedule;
#[cfg(windows)]
mod windows;

use std::time::Duration;

use tokio::time;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use self::linux::sampler::Sampler;
use self::schedule::Schedule;
#[cfg(windows)]
use self::windows::Sampler;
use crate::collect::inlet::Inlet;
use crate::collect::machine;
use crate::config::settings::PerformanceSettings;
use crate::counters::Loss;
use crate::record::Frames;
use crate::record::Table;

/// Memory for records that is kept between two wakeups.
const KEPT: usize = 64 * 1024;

/// Samples until it is stopped. The caption is the system's name, the instance of the object `System`.
pub async fn run(settings: PerformanceSettings, caption: String, inlet: Inlet, stop: CancellationToken) {
    let sampler = Sampler::of_this_machine(&settings, caption);
    tokio::select! {
        () = stop.cancelled() => {}
        () = sample(sampler, &inlet) => {}
    }
}

/// Reads what rates begin with after a time of the agent's own, then samples at multiples of the intervals.
async fn sample(mut sampler: Sampler, inlet: &Inlet) {
    let intervals = sampler.intervals();
    let Some(shortest) = intervals.iter().min() else { return std::future::pending().await };
    time::sleep(machine::part_of(*shortest)).await;
    let mut schedule = Schedule::new(Instant::now(), intervals);
    let mut frames = Frames::default();
    sampler.begin(schedule.origin()).await;
    loop {
        time::sleep_until(schedule.next()).await;
        let now = Instant::now();
        let lost = sampler.sample(&schedule.due(now), now, machine::now(), &mut frames).await;
        inlet.tally().losses.add(Loss::Unsampled, lost);
        inlet.deliver(&Table::Perf, &frames).await;
        frames.clear();
        frames.shrink(KEPT);
    }
}

/// The shortest interval that is kept to.
const SHORTEST: Duration = Duration::from_secs(1);
