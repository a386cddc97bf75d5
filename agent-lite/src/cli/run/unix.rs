//! How Linux and the agent talk: signals, systemd, limits.

use std::time::Duration;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use sd_notify::NotifyState;
use tokio::signal::unix;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time;

use super::Signal;
use super::State;

/// Most files that are open at once, if the system lets.
const MOST_OPEN_FILES: u64 = 65_536;
/// The table of descriptors has room for the highest one of a start from the beginning: to make room while other threads
/// run takes the kernel some 10 ms.
const HIGHEST_DESCRIPTOR: i32 = 1024;

/// The signals that the agent takes.
pub(in crate::cli) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// Takes them from now on.
    pub(in crate::cli) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

/// Takes as many open files as the system lets: each watched file and each connection is one, and without one the
/// queue cannot be written. Whoever calls it is the only thread.
pub(super) fn raise_limits() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MOST_OPEN_FILES, |most| most.min(MOST_OPEN_FILES));
    if limit.current.is_some_and(|current| current < most) {
        // Where this fails the limit is what it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
    drop(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), HIGHEST_DESCRIPTOR));
}

/// Tells systemd, where there is one.
pub(super) fn tell(state: State) {
    match state {
        State::Ready => notify(&[NotifyState::Ready]),
        State::Reloading => notify(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading),
        ]),
        State::Stopping => notify(&[NotifyState::Stopping]),
    }
}

fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Feeds systemd's watchdog at half its time, where there is one: a stuck runtime does not.
pub(super) async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        time::sleep((limit / 2).max(Duration::from_millis(10))).await;
        notify(&[NotifyState::Watchdog]);
    }
}
