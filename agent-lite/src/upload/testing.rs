//! The cast of the tests of this floor: an authority, a gateway that does what it is told, an origin.

mod authority;
mod gateway;
mod origin;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::time::sleep;
use tokio::time::timeout;

pub(super) use self::authority::Authority;
pub(super) use self::gateway::FakeGateway;
pub(super) use self::gateway::Script;
pub(super) use self::origin::FakeOrigin;
pub(super) use self::origin::Reply;
pub(super) use self::origin::Seen;
use crate::config::settings::GatewaySettings;
use crate::counters::Counters;
use crate::upload::gateways::Gateways;
use crate::upload::roots::Roots;

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn settings(values: &[String], ca: Option<PathBuf>) -> GatewaySettings {
    GatewaySettings {
        proxies: values.iter().map(|value| value.parse().unwrap()).collect(),
        ca,
        connect: PATIENCE,
        return_after: Duration::from_secs(300),
    }
}

pub(super) fn gateways(values: &[String]) -> Gateways {
    Gateways::new(&settings(values, None), Counters::new()).unwrap()
}

pub(super) fn roots(authority: &Authority) -> Roots {
    Roots::load(Some(&authority.file())).unwrap()
}

/// Waits until something holds.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
