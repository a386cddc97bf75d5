//! What systemd is told, where there is one. Elsewhere nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;
use tokio::time::sleep_until;

/// The least time between two signs of life.
const SHORTEST: Duration = Duration::from_millis(10);

/// The service manager of this process.
pub(super) struct Service {
    /// Half the time after which a silent process counts as stuck.
    beat: Option<Duration>,
    next: Instant,
    /// A successor is the service's main process now; this one is heard no more.
    silent: bool,
}

impl Service {
    pub(super) fn new() -> Self {
        let beat = sd_notify::watchdog_enabled().map(|limit| (limit / 2).max(SHORTEST));
        Self { beat, next: Instant::now(), silent: false }
    }

    /// Says that the gateway serves.
    pub(super) fn ready(&self, status: &str) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says that the configuration is being read.
    pub(super) fn reloading(&self) {
        let now = NotifyState::monotonic_usec_now();
        self.notify(&[NotifyState::Reloading, now.unwrap_or(NotifyState::Reloading)]);
    }

    /// Says that the gateway is ending.
    pub(super) fn stopping(&self, status: &str) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Names the process that is the service from now on. The main process itself says so, which systemd
    /// believes with `NotifyAccess=main`.
    pub(super) fn succeeded_by(&mut self, pid: i32) {
        // 0 is a process that this one cannot see: it is not of this service.
        if let Ok(pid @ 1..) = u32::try_from(pid) {
            self.notify(&[NotifyState::MainPid(pid)]);
        }
        self.silent = true;
    }

    /// Waits for the time of the next sign of life, and gives it.
    pub(super) async fn beat(&mut self) {
        let Some(beat) = self.beat.filter(|_| !self.silent) else { return std::future::pending().await };
        sleep_until(self.next).await;
        self.notify(&[NotifyState::Watchdog]);
        self.next = Instant::now() + beat;
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        if !self.silent {
            // Without systemd there is nobody to tell.
            let _ = sd_notify::notify(states);
        }
    }
}
