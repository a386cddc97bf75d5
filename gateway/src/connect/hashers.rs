//! The threads that hash passwords: at most one a processor, each with memory of its own, and all of them behind
//! whatever else the gateway does, so that who guesses passwords takes no time from agents that are known.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::sync::oneshot;

use crate::policy::accounts::Client;
use crate::policy::accounts::PasswordCheck;
use crate::policy::passwords::HashMemory;
use crate::refusal::Refusal;

/// How nice they are: a tenth of a processor that others want, all of one that nobody wants (`setpriority(2)`).
const NICENESS: i32 = 10;

/// A check, and who waits for its verdict.
struct Job {
    check: PasswordCheck,
    verdict: oneshot::Sender<Result<Client, Refusal>>,
}

/// See above. They are started with the first check: inside the sandbox, and not where there are no passwords.
pub(super) struct Hashers {
    count: usize,
    jobs: OnceLock<Sender<Job>>,
}

impl Hashers {
    pub(super) fn new(count: usize) -> Self {
        Self { count, jobs: OnceLock::new() }
    }

    /// Runs a check. The caller bounds how many run at once; more would wait for each other.
    pub(super) async fn run(&self, check: PasswordCheck) -> Result<Client, Refusal> {
        let (verdict, told) = oneshot::channel();
        let jobs = self.jobs.get_or_init(|| start(self.count));
        jobs.send(Job { check, verdict }).map_err(|_| Refusal::Internal)?;
        told.await.map_err(|_| Refusal::Internal)?
    }
}

/// Starts the threads. One that cannot be started is left out; without any, checks end as internal errors.
fn start(count: usize) -> Sender<Job> {
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let jobs = Arc::clone(&receiver);
        let _ = thread::Builder::new().name("hasher".to_owned()).spawn(move || work(&jobs));
    }
    sender
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    // Without it hashing is only less polite.
    let _ = setpriority_process(Some(gettid()), NICENESS);
    let mut memory = HashMemory::default();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { check, verdict }) = next else { return };
        // A mistake of a hash's code must cost one check and no thread.
        let done = catch_unwind(AssertUnwindSafe(|| check.run(&mut memory)));
        let _ = verdict.send(done.unwrap_or(Err(Refusal::Internal)));
    }
}
