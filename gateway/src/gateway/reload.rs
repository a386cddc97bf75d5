//! Another configuration while the gateway runs: read, checked, tried, and put in force as a whole; or
//! refused, and nothing is changed.
//!
//! ```text
//! files -> read twice alike -> parse, users, must_allow and must_deny -> sandbox -> TLS, relays, resolver
//!   a problem anywhere: refused, the configuration before stays in force
//!   none: limits, then what listeners speak, then the snapshot that every new request takes
//! ```

mod candidate;
mod files;
mod said;
mod settled;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::candidate::Candidate;
use self::files::Contents;
use self::files::Stamps;
use self::files::irregular;
use self::said::Said;
pub(super) use self::settled::Listening;
pub(super) use self::settled::Settled;
pub(super) use self::watch::watch;
use super::bounds;
use super::connections;
use super::identities;
use super::places::Places;
use super::report_mode;
use super::say_fewer;
use crate::config::Config;
use crate::config::Files;
use crate::connect::Stations;
use crate::listen::tls::Identity;
use crate::observe::metrics::Bounds;
use crate::observe::metrics::ReloadResult;
use crate::observe::situation::ReloadState;
use crate::policy::passwords::Verified;
use crate::sandbox::Openings;
use crate::sandbox::Sandbox;
use crate::system;

/// Longest reading of the files: a file system that is gone must not keep the next reload waiting.
const LONGEST_READ: Duration = Duration::from_secs(60);

/// Most problems of one reload that are kept and told.
const MOST_PROBLEMS: usize = 100;

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether another configuration is in force now.
    pub outcome: ReloadResult,
    /// Why it was refused, each as `FILE:LINE:COLUMN: problem`.
    pub problems: Vec<String>,
    /// What of the configuration in force waits for a hand-over (SIGUSR2) or a restart.
    pub waits: Vec<String>,
}

/// The files of a configuration as they were before it was loaded: whatever changes from then on is a change.
#[derive(Default)]
pub struct Baseline {
    contents: Contents,
    seen: Stamps,
}

impl Baseline {
    /// Returns a few digits that are others for another text of the files.
    pub(super) fn fingerprint(&self) -> String {
        self.contents.fingerprint()
    }

    /// Looks at the files of the configuration that will be loaded from here.
    pub fn of(named: Option<&Path>) -> Self {
        let file = named.map_or_else(system::usual_place, Path::to_owned);
        // What a pipe holds can be read once, and loading does.
        if !irregular(std::slice::from_ref(&file)).is_empty() {
            return Self { contents: Contents::default(), seen: Stamps::of([&file]) };
        }
        let files = files(Some(&file));
        let seen = Stamps::of(files.all());
        let is_regular = irregular(&files.read).is_empty();
        Self { contents: if is_regular { Contents::of(&files.read) } else { Contents::default() }, seen }
    }
}

/// Returns what is known of a configuration that has come into force.
pub(super) fn state(config: &Config, hash: String, waits: Vec<String>) -> ReloadState {
    ReloadState {
        file: config.file.clone(),
        hash,
        watch: config.reload.watch,
        last_success: now(),
        problems: Vec::new(),
        waits,
        policy: config.policy(),
    }
}

/// Puts another configuration in force.
pub struct Reloader {
    stations: Arc<Stations>,
    places: Arc<Places>,
    verified: Arc<Verified>,
    settled: Settled,
    sandbox: OnceLock<(Openings, Sandbox)>,
    seen: Mutex<Stamps>,
    /// The right to read the files. Who is late keeps it until he is done.
    reads: Arc<Semaphore>,
    work: tokio::sync::Mutex<Work>,
}

/// What one reload leaves for the next. Held through a reload: one at a time.
struct Work {
    contents: Contents,
    said: Said,
}

impl Reloader {
    /// Begins with what the files of the configuration in force held before it was loaded.
    pub(super) fn new(
        baseline: Baseline,
        stations: Arc<Stations>,
        places: Arc<Places>,
        verified: Arc<Verified>,
        settled: Settled,
    ) -> Self {
        let work = Work { contents: baseline.contents, said: Said::default() };
        Self {
            stations,
            places,
            verified,
            settled,
            sandbox: OnceLock::new(),
            seen: Mutex::new(baseline.seen),
            reads: Arc::new(Semaphore::new(1)),
            work: tokio::sync::Mutex::new(work),
        }
    }

    /// Says what the sandbox around this process leaves open. Without it, everything is.
    pub fn is_confined(&self, openings: Openings, sandbox: Sandbox) {
        // It is closed once and never again.
        let _ = self.sandbox.set((openings, sandbox));
    }

    /// Reads the configuration and every file it names anew and puts it in force, or says why not. `why`
    /// stands in the record.
    pub async fn reload(self: &Arc<Self>, why: &str) -> Outcome {
        let mut work = self.work.lock().await;
        let candidate = match self.read(work.contents.clone()).await {
            Ok(candidate) => candidate,
            Err(problems) => return self.refuse(&mut work, problems, why),
        };
        let waits = self.settled.waits(&candidate.config);
        let result = match candidate.is_other(&self.stations.live.load(), &work.contents) {
            true => ReloadResult::Applied,
            false => ReloadResult::Unchanged,
        };
        let summary = candidate.summary();
        work.contents = candidate.contents.clone();
        self.take(&candidate.config, &work.contents, &waits);
        if result == ReloadResult::Applied {
            self.put_in_force(candidate);
        }
        for identity in self.identities() {
            identities::look_at(&identity).await;
        }
        self.stations.metrics.reload(result, waits.len());
        let outcome = Outcome { outcome: result, problems: Vec::new(), waits };
        work.said.say(&outcome, why, &summary, &self.state().policy);
        outcome
    }

    /// Reads the files. What was seen of them counts only if somebody still waits for it, else a change
    /// would be lost.
    async fn read(self: &Arc<Self>, before: Contents) -> Result<Candidate, Vec<String>> {
        let Ok(turn) = Arc::clone(&self.reads).try_acquire_owned() else {
            let text = "the files are still being read since an earlier reload; is their file system there?";
            return Err(vec![text.to_owned()]);
        };
        let this = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            Candidate::read(&this, &before)
        });
        match timeout(LONGEST_READ, reading).await {
            Ok(Ok((candidate, stamps))) => {
                *lock(&self.seen) = stamps;
                candidate
            }
            Ok(Err(error)) => Err(vec![error.to_string()]),
            Err(_) => {
                let text = "the files could not be read within a minute; is their file system there?";
                Err(vec![text.to_owned()])
            }
        }
    }

    /// Returns whether what is written is in force, and what waits for a hand-over (SIGUSR2) or a restart.
    pub fn state(&self) -> ReloadState {
        self.stations.situation.reload()
    }

    /// Returns the TLS identities in use.
    pub(super) fn identities(&self) -> Vec<Arc<Identity>> {
        let admin = self.stations.live.load().admin.tls.clone();
        self.settled.listeners.iter().filter_map(|one| one.speaks.load().tls.clone()).chain(admin).collect()
    }

    fn refuse(&self, work: &mut Work, mut problems: Vec<String>, why: &str) -> Outcome {
        shorten(&mut problems);
        let waits = self.stations.situation.change(|state| {
            state.problems.clone_from(&problems);
            state.waits.clone()
        });
        self.stations.metrics.reload(ReloadResult::Refused, waits.len());
        let outcome = Outcome { outcome: ReloadResult::Refused, problems, waits };
        work.said.say(&outcome, why, "", "");
        outcome
    }

    fn take(&self, config: &Config, contents: &Contents, waits: &[String]) {
        let new = state(config, contents.fingerprint(), waits.to_vec());
        self.stations.situation.change(|state| *state = new);
    }

    fn put_in_force(&self, candidate: Candidate) {
        let Candidate { config, parts, speaks, own, .. } = candidate;
        let (most, limits) = connections(&config);
        self.stations.situation.bound(bounds(&config, most));
        self.stations.metrics.bounds.limits(most, limits.tunnels);
        self.stations.limits.change(limits);
        self.stations.gate.set(config.surge);
        self.stations.readiness.set(config.readiness.clone(), config.canaries.clone());
        if self.places.change(most) {
            say_fewer(&config, most);
        }
        self.stations.fleet.configure(config.fleet, config.roles.names());
        self.settled.speak(speaks);
        self.stations.replace(parts.live(&config, own, Arc::clone(&self.verified)));
        report_mode(&config, &self.stations.metrics);
        let live = self.stations.live.load();
        self.stations.fleet.keep_users(|name| live.policy.accounts.is_name(name));
    }

    /// Returns the metrics of what runs out.
    pub(super) fn bounds(&self) -> &Bounds {
        &self.stations.metrics.bounds
    }

    fn is_watching(&self) -> bool {
        self.stations.situation.change(|state| state.watch)
    }

    fn seen(&self) -> Stamps {
        lock(&self.seen).clone()
    }

    fn is_reading(&self) -> bool {
        self.reads.available_permits() == 0
    }
}

/// Returns the configuration file, where it is or would be, and every file it names.
fn files(file: Option<&Path>) -> Files {
    match file {
        Some(file) => Files::of(file),
        None => Files::of(&system::usual_place()),
    }
}

/// Every line of a users file may be a problem; nobody reads them all here.
fn shorten(problems: &mut Vec<String>) {
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    if more > 0 {
        problems.truncate(MOST_PROBLEMS);
        problems.push(format!("{more} more problems; `la-gateway check` shows them all"));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_problems_the_first_are_kept_and_the_rest_is_counted() {
        let mut problems: Vec<String> = (0..MOST_PROBLEMS + 7).map(|number| number.to_string()).collect();
        shorten(&mut problems);
        assert_eq!((problems.len(), problems[0].as_str()), (MOST_PROBLEMS + 1, "0"));
        assert!(problems[MOST_PROBLEMS].starts_with("7 more problems"));
        problems.truncate(MOST_PROBLEMS);
        shorten(&mut problems);
        assert_eq!(problems.len(), MOST_PROBLEMS);
    }

    #[test]
    fn an_outcome_is_plain_to_a_script() {
        let outcome = Outcome {
            outcome: ReloadResult::Refused,
            problems: vec!["gateway.toml:1:1: wrong".to_owned()],
            waits: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&outcome).expect("JSON"),
            r#"{"outcome":"refused","problems":["gateway.toml:1:1: wrong"],"waits":[]}"#
        );
    }
}
