//! What the canaries have shown, and whether the gateway is ready.
//!
//! Whoever walks takes what is [`Readiness::due`] and gives the outcome back. A change is recorded once,
//! when it comes. Texts hold names, reasons and addresses from parsed values, and never a secret.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use crate::events;
use crate::observe::metrics::Metrics;
use crate::policy::canaries::Canaries;
use crate::policy::canaries::Canary;
use crate::policy::class::Class;
use crate::policy::readiness::Course;
use crate::policy::readiness::Failure;
use crate::policy::readiness::RedWhen;
use crate::policy::readiness::Settings;
use crate::policy::readiness::Standing;
use crate::policy::readiness::is_red;

/// The canaries, their courses, and what they mean together.
pub struct Readiness {
    watch: Mutex<Watch>,
    changed: Notify,
    leaving: CancellationToken,
    metrics: Arc<Metrics>,
}

struct Watch {
    settings: Settings,
    watched: Vec<Watched>,
    unnamed: Vec<Class>,
    /// It has been green since the start.
    proven: bool,
    /// What was last told.
    green: bool,
}

struct Watched {
    canary: Canary,
    course: Course,
    last: Option<Last>,
    /// When it is walked next; `None` while it is being walked.
    next: Option<Instant>,
}

struct Last {
    at: Instant,
    took: Duration,
    failure: Option<Failure>,
}

/// What `/readyz` says, for programs.
#[derive(Clone, Debug, Serialize)]
pub struct ReadinessSnapshot {
    /// `/readyz` is green.
    pub ready: bool,
    /// The gateway takes no new work, whatever the canaries say.
    pub draining: bool,
    /// When canaries make it red.
    pub red_when: RedWhen,
    /// Canaries are walked at all.
    pub walking: bool,
    /// Each canary.
    pub canaries: Vec<CanarySnapshot>,
    /// Classes that some role may reach and that no canary stands for.
    pub not_probed: Vec<Class>,
}

/// One canary.
#[derive(Clone, Debug, Serialize)]
pub struct CanarySnapshot {
    /// The class it stands for.
    pub class: Class,
    /// The host.
    pub host: String,
    /// What is held of it.
    pub state: Standing,
    /// Failures since the last success.
    pub failures: u32,
    /// Why the last walk ended early, if it did.
    pub failure: Option<Failure>,
    /// How long the last walk took, in milliseconds.
    pub took_ms: Option<u64>,
    /// How long ago it ended, in seconds.
    pub age_seconds: Option<u64>,
}

impl Readiness {
    /// Watches these canaries; red for good once `leaving` is cancelled.
    pub fn new(
        settings: Settings,
        canaries: Canaries,
        metrics: Arc<Metrics>,
        leaving: CancellationToken,
    ) -> Self {
        let watch = Watch {
            settings: settings.clone(),
            watched: Vec::new(),
            unnamed: Vec::new(),
            proven: false,
            green: false,
        };
        let readiness = Self { watch: Mutex::new(watch), changed: Notify::new(), leaving, metrics };
        readiness.set(settings, canaries);
        readiness
    }

    /// Watches other canaries. One that stays keeps what is known of it.
    pub fn set(&self, settings: Settings, canaries: Canaries) {
        let mut watch = self.lock();
        let mut before = std::mem::take(&mut watch.watched);
        let Canaries { mut named, mut unnamed } = canaries;
        if settings.interval.is_zero() {
            // Without walks nothing is known, and nothing is held against it.
            unnamed.extend(named.drain(..).map(|canary| canary.class));
            unnamed.sort_unstable();
            unnamed.dedup();
        }
        let now = Instant::now();
        for canary in named {
            let same = before.iter().position(|old| old.canary.host() == canary.host());
            let old = same.map(|at| before.swap_remove(at));
            let (course, last) = old.map(|old| (old.course, old.last)).unwrap_or_default();
            watch.watched.push(Watched { canary, course, last, next: Some(now) });
        }
        (watch.settings, watch.unnamed) = (settings, unnamed);
        self.show(&mut watch);
        drop(watch);
        self.changed.notify_one();
    }

    /// Takes over from a gateway that ran until now: what is not known yet holds nothing up.
    pub fn take_over(&self) {
        let mut watch = self.lock();
        watch.proven = true;
        self.show(&mut watch);
    }

    /// Takes a canary that is due.
    pub fn due(&self, now: Instant) -> Option<Canary> {
        let mut watch = self.lock();
        let due = watch.watched.iter_mut().find(|watched| watched.next.is_some_and(|next| next <= now))?;
        due.next = None;
        Some(due.canary.clone())
    }

    /// Returns when the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.lock().watched.iter().filter_map(|watched| watched.next).min()
    }

    /// Waits until there are other canaries.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the outcome of a walk that was due. `random` scatters the next one.
    pub fn note(&self, canary: &Canary, took: Duration, outcome: Result<(), Failure>, random: u64) {
        let failure = outcome.err();
        self.metrics.canaries.walked(canary.class, took, failure.as_ref().map(|failure| failure.station));
        let mut watch = self.lock();
        let Watch { settings, watched, .. } = &mut *watch;
        // A reload may have taken it out meanwhile.
        let Some(watched) = watched.iter_mut().find(|watched| watched.canary.host() == canary.host()) else {
            return;
        };
        let before = watched.course.standing;
        if watched.course.note(failure.is_none(), settings) {
            tell(canary, before, failure.as_ref());
        }
        let now = Instant::now();
        watched.next = Some(now + watched.course.next(settings, random));
        watched.last = Some(Last { at: now, took, failure });
        self.show(&mut watch);
    }

    /// Returns what `/readyz` says.
    pub fn snapshot(&self) -> ReadinessSnapshot {
        let mut watch = self.lock();
        self.show(&mut watch);
        let canaries = watch.watched.iter().map(Watched::snapshot).collect();
        ReadinessSnapshot {
            ready: watch.green,
            draining: self.leaving.is_cancelled(),
            red_when: watch.settings.red_when,
            walking: !watch.settings.interval.is_zero(),
            canaries,
            not_probed: watch.unnamed.clone(),
        }
    }

    /// Brings the metrics up to date, and tells a change of the whole.
    fn show(&self, watch: &mut Watch) {
        let standing = |watched: &Watched| (watched.canary.class, watched.course.standing);
        let standings: Vec<_> = watch.watched.iter().map(standing).collect();
        self.metrics.canaries.show(&standings);
        let standings: Vec<_> = standings.into_iter().map(|(_, standing)| standing).collect();
        let leaving = self.leaving.is_cancelled();
        let green = !leaving && !is_red(watch.settings.red_when, &standings, watch.proven);
        self.metrics.canaries.ready(green);
        let was = std::mem::replace(&mut watch.green, green);
        let proven = watch.proven;
        watch.proven |= green;
        let id = events::READINESS.0;
        match (was, green) {
            (true, false) if leaving => info!(event_id = id, "not ready: draining"),
            (true, false) => warn!(event_id = id, "not ready: see the canaries that fail"),
            (false, true) if proven => info!(event_id = id, "ready again"),
            (true, true) | (false, _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn snapshot(&self) -> CanarySnapshot {
        let last = self.last.as_ref();
        CanarySnapshot {
            class: self.canary.class,
            host: self.canary.host().to_string(),
            state: self.course.standing,
            failures: self.course.failures,
            failure: last.and_then(|last| last.failure.clone()),
            took_ms: last.and_then(|last| u64::try_from(last.took.as_millis()).ok()),
            age_seconds: last.map(|last| last.at.elapsed().as_secs()),
        }
    }
}

fn tell(canary: &Canary, before: Standing, failure: Option<&Failure>) {
    let (class, host) = (canary.class.label(), canary.host());
    match failure {
        Some(Failure { station, reason, detail }) => {
            let station = station.label();
            warn!(event_id = events::CANARY_FAILED.0, class, %host, station, reason, "canary fails: {detail}");
        }
        None if before == Standing::Down => {
            info!(event_id = events::CANARY_ANSWERS.0, class, %host, "canary answers again");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests;
