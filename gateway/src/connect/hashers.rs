//! The threads that hash passwords, each with memory of its own. They run when no other thread wants the processor, so that
//! who guesses passwords takes no time from agents that are known. One more steps in where nothing is left over for them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::policy::accounts::Client;
use crate::policy::accounts::PasswordCheck;
use crate::policy::passwords::HashMemory;
use crate::refusal::Refusal;
use crate::system;

/// How long a check waits for processor time that is left over.
const PATIENCE: Duration = Duration::from_secs(1);

/// A verdict on a password.
pub(super) type Verdict = Result<Client, Refusal>;
type Done = Box<dyn FnOnce(Verdict) + Send>;

/// A check, and what becomes of its verdict.
struct Job {
    check: PasswordCheck,
    done: Done,
    since: Instant,
}

/// Checks that wait for a thread; whoever hands them in bounds how many they are.
#[derive(Default)]
struct Jobs {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    over: bool,
}

/// See above. They are started with the first check: inside the sandbox, and not where there are no passwords.
pub(super) struct Hashers {
    count: usize,
    jobs: OnceLock<Arc<Jobs>>,
}

impl Hashers {
    /// Makes the place for so many threads, and one more.
    pub(super) fn new(count: usize) -> Self {
        Self { count, jobs: OnceLock::new() }
    }

    /// Runs a check, and has its verdict `noted` also when nobody waits for it any more. The caller bounds how many run at
    /// once; more would wait for each other.
    pub(super) async fn run(
        &self,
        check: PasswordCheck,
        noted: impl FnOnce(&Verdict) + Send + 'static,
    ) -> Verdict {
        let (tell, told) = oneshot::channel();
        let done = Box::new(move |verdict| {
            noted(&verdict);
            let _ = tell.send(verdict);
        });
        self.jobs.get_or_init(|| start(self.count)).add(Job { check, done, since: Instant::now() });
        told.await.map_err(|_| Refusal::Internal)?
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        if let Some(jobs) = self.jobs.get() {
            jobs.lock().over = true;
            jobs.changed.notify_all();
        }
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Job) {
        let mut waiting = self.lock();
        // Without any thread a verdict that is dropped says so.
        if !waiting.over {
            waiting.jobs.push_back(job);
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Waits for a check that is at least this old; nothing when there will be none any more.
    fn next(&self, age: Duration) -> Option<Job> {
        let mut waiting = self.lock();
        while !waiting.over {
            let oldest = waiting.jobs.front().map(|job| age.saturating_sub(job.since.elapsed()));
            waiting = match oldest {
                Some(Duration::ZERO) => return waiting.jobs.pop_front(),
                Some(early) => {
                    self.changed.wait_timeout(waiting, early).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        None
    }
}

/// Starts the threads. One that cannot be started is left out; without any, checks end as internal errors.
fn start(count: usize) -> Arc<Jobs> {
    let jobs = Arc::new(Jobs::default());
    let begin = |name: &str, age: Duration, yielding: fn()| {
        let jobs = Arc::clone(&jobs);
        let thread = thread::Builder::new().name(name.to_owned());
        thread
            .spawn(move || {
                yielding();
                work(&jobs, age)
            })
            .is_ok()
    };
    let idle = (0..count).filter(|_| begin("hasher", Duration::ZERO, system::run_when_idle)).count();
    if !begin("hasher-reserve", PATIENCE, system::run_nicely) && idle == 0 {
        jobs.lock().over = true;
    }
    jobs
}

fn work(jobs: &Jobs, age: Duration) {
    let mut memory = HashMemory::default();
    while let Some(Job { check, done, .. }) = jobs.next(age) {
        // A mistake of a hash's code must cost one check and no thread.
        let verdict = catch_unwind(AssertUnwindSafe(|| check.run(&mut memory)));
        done(verdict.unwrap_or(Err(Refusal::Internal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::accounts::tests::unproven;

    #[tokio::test]
    async fn where_no_time_is_left_over_the_reserve_steps_in() {
        let hashers = Hashers::new(0);
        assert_eq!(
            hashers.run(unproven("right"), |_| ()).await.map(|client| client.user().is_some()),
            Ok(true)
        );
        assert_eq!(hashers.run(unproven("wrong"), |_| ()).await.map(drop), Err(Refusal::CredentialsRejected));
    }

    #[tokio::test]
    async fn a_verdict_is_noted_also_when_nobody_waits_for_it_any_more() {
        let hashers = Hashers::new(1);
        let (note, noted) = std::sync::mpsc::channel();
        let run =
            hashers.run(unproven("wrong"), move |verdict| note.send(verdict.is_err()).expect("we listen"));
        tokio::select! {
            biased;
            _ = run => {}
            () = async {} => {}
        }
        assert_eq!(noted.recv(), Ok(true));
    }

    #[tokio::test]
    async fn a_check_that_nobody_will_run_ends_as_an_internal_error() {
        let hashers = Hashers::new(1);
        hashers.jobs.get_or_init(Arc::default).lock().over = true;
        assert_eq!(hashers.run(unproven("right"), |_| ()).await.map(drop), Err(Refusal::Internal));
    }
}
