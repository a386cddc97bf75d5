//! What the service manager of Windows is told, where it has started the gateway. Elsewhere nothing is said.

use std::time::Duration;

use agent_lite_windows::service;
use agent_lite_windows::service::State;
use tokio::time::Instant;
use tokio::time::sleep_until;

/// How often the service manager hears that a gateway still drains: it gives up one that says nothing.
const BEAT: Duration = Duration::from_secs(5);

/// The service manager of this process.
pub(super) struct Service {
    next: Option<Instant>,
}

impl Service {
    pub(super) fn new() -> Self {
        Self { next: None }
    }

    /// Says that the gateway serves.
    pub(super) fn ready(&self, _status: &str) {
        service::report(State::Running);
    }

    /// Has nothing to say of reloads: the service manager knows no such state.
    pub(super) fn reloading(&self) {}

    /// Says that the gateway is ending.
    pub(super) fn stopping(&self, _status: &str) {
        service::report(State::Stopping);
    }

    /// Waits for the time of the next sign of life, and gives it while the gateway drains.
    pub(super) async fn beat(&mut self) {
        let next = *self.next.get_or_insert_with(|| Instant::now() + BEAT);
        sleep_until(next).await;
        service::go_on_stopping();
        self.next = None;
    }
}
