//! The cast of the tests of this floor: an authority, a gateway that does what it is told, an origin.

mod authority;
mod gateway;
mod origin;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;
use uuid::Uuid;

pub(super) use self::authority::Authority;
pub(super) use self::gateway::FakeGateway;
pub(super) use self::gateway::Script;
pub(super) use self::origin::FakeOrigin;
pub(super) use self::origin::Reply;
pub(super) use self::origin::Seen;
use crate::config::settings::GatewaySettings;
use crate::counters::Counters;
use crate::events::Event;
use crate::transport::Agent;
use crate::upload::gateways::Gateways;
use crate::upload::identity::Pair;
use crate::upload::identity::make_pair;
use crate::upload::roots::Roots;
use crate::upload::topology::MachineFacts;

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that leads to an origin with a certificate for some names.
pub(super) struct Stage {
    pub(super) authority: Authority,
    pub(super) gateway: FakeGateway,
    pub(super) origin: FakeOrigin,
}

impl Stage {
    pub(super) async fn new(
        names: &[&str],
        answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let authority = Authority::new("Azure");
        let origin = FakeOrigin::start(authority.acceptor(names), answering).await;
        let gateway = FakeGateway::start(Script::Lead(origin.address)).await;
        Self { authority, gateway, origin }
    }

    pub(super) fn gateways(&self) -> Gateways {
        gateways(&[self.gateway.value()])
    }

    pub(super) fn roots(&self) -> Roots {
        roots(&self.authority)
    }
}

pub(super) fn machine() -> MachineFacts {
    let agent = Agent {
        computer: "edge7".to_owned(),
        agent_id: Uuid::nil(),
        version: "0.1.0",
        host_ip: "10.0.0.7".to_owned(),
        machine_uuid: Uuid::nil().to_string(),
    };
    MachineFacts {
        agent,
        name: "edge7".to_owned(),
        os_name: Some("Debian".to_owned()),
        os_version: Some("12".to_owned()),
        os_manufacturer: Some("SPI".to_owned()),
        architecture: "x64".to_owned(),
        container: false,
    }
}

/// Returns one of three pairs that are made once for all tests.
pub(super) async fn pair(which: usize) -> Pair {
    static PAIRS: [OnceCell<Pair>; 3] = [const { OnceCell::const_new() }; 3];
    let made = PAIRS[which].get_or_init(async || make_pair("workspace", Uuid::nil()).await.unwrap()).await;
    made.clone()
}

/// Keeps what is logged while it lives, on this thread.
pub(super) struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Log {
    pub(super) fn keep() -> Self {
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = subscriber.with_writer(move || Lines(writer.clone())).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns how often an event was said.
    pub(super) fn count(&self, event: Event) -> usize {
        let text = String::from_utf8_lossy(&lock(&self.lines)).into_owned();
        text.matches(&format!("event_id={} ", event.id())).count()
    }
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
