//! Deadlines of the journeys: generous, because they only end tests that would fail anyway.

use std::time::Duration;

use tokio::time;

/// How long anything may take on a slow, busy machine before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at that nobody announces.
pub const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for a future, and panics with `what` when it takes longer than [`PATIENCE`].
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("gave up after {PATIENCE:?}: {what}"),
    }
}
