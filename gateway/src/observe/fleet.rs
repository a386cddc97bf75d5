//! The fleet: who comes through the gateway, how much of what, and who is no longer heard of.
//!
//! Only clients that were identified stand in the table, so a stranger cannot fill it. Numbers of tunnels
//! that are open count while they move. The table survives a reload, and not a restart. Metrics know roles
//! and families, never clients.

mod client;
mod pages;
mod table;
mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use common::host_port::HostName;
use prometheus::IntCounter;
use tracing::info;
use tracing::warn;

use self::client::Client;
use self::client::Held;
pub use self::client::MOST_ADDRESSES;
pub use self::client::MOST_WORKSPACES;
use self::client::Moment;
pub use self::client::REGULAR;
use self::client::Share;
pub use self::pages::FleetCounts;
pub use self::pages::REFUSED_FOR;
pub use self::pages::Sort;
pub use self::table::GONE;
use self::table::Room;
use self::table::Table;
pub use self::view::ClientPage;
pub use self::view::ClientState;
pub use self::view::ClientView;
pub use self::view::FleetSnapshot;
use self::view::Look;
pub use self::view::MOST_OF_A_PAGE;
pub use self::view::Query;
pub use self::view::RoleView;
pub use self::view::USUAL_PAGE;
use crate::events;
use crate::observe::access::Traffic;
use crate::observe::metrics::FleetMetrics;
use crate::observe::metrics::Metrics;
use crate::policy::accounts;
use crate::policy::fleet::Family;
use crate::policy::fleet::FleetSettings;
use crate::policy::limits::ClientKey;

/// Most clients that one sweep names in records, and one snapshot; the others are counted.
pub const MOST_NAMED: usize = 50;
/// A client that was not seen for this long is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The silent time that ranks clients where silence is not looked for.
const USUAL_SILENCE: Duration = Duration::from_secs(15 * 60);
/// Sweeps in a silent time, and the bounds of the time between two.
const SWEEPS: u32 = 8;
const SHORTEST_SWEEP: Duration = Duration::from_millis(250);
const LONGEST_SWEEP: Duration = Duration::from_secs(10);

/// The clients of this gateway.
pub struct Fleet {
    began: Instant,
    settings: ArcSwap<FleetSettings>,
    table: Mutex<Table>,
    metrics: FleetMetrics,
}

/// A client that was identified, for as long as its request is worked on.
#[derive(Clone, Debug)]
pub struct Sighting {
    began: Instant,
    role: Arc<str>,
    client: Option<Held>,
}

impl Sighting {
    /// Counts that the request was refused.
    pub fn refused(&self, reason: &'static str) {
        if let Some(client) = &self.client {
            client.refused(reason, self.began.elapsed());
        }
    }
}

/// A tunnel whose bytes are counted as they move; it is open until this is dropped.
pub struct Tunnel {
    began: Instant,
    share: Option<Share>,
    up: IntCounter,
    down: IntCounter,
    told: Traffic,
}

impl Tunnel {
    /// Takes note of how many bytes were carried so far.
    pub fn tell(&mut self, traffic: Traffic) {
        let up = traffic.up.saturating_sub(self.told.up);
        let down = traffic.down.saturating_sub(self.told.down);
        if up == 0 && down == 0 {
            return;
        }
        self.told = traffic;
        self.up.inc_by(up);
        self.down.inc_by(down);
        if let Some(share) = &self.share {
            share.add(Traffic { up, down }, self.began.elapsed());
        }
    }
}

impl Fleet {
    /// Begins an empty fleet of these roles.
    pub fn new<'a>(
        settings: FleetSettings,
        roles: impl IntoIterator<Item = &'a str>,
        metrics: &Metrics,
    ) -> Result<Self, prometheus::Error> {
        let fleet = Self {
            began: Instant::now(),
            settings: ArcSwap::from_pointee(settings),
            table: Mutex::default(),
            metrics: FleetMetrics::new(metrics)?,
        };
        fleet.metrics.know(roles);
        Ok(fleet)
    }

    /// Takes new numbers and roles; the table stays.
    pub fn configure<'a>(&self, settings: FleetSettings, roles: impl IntoIterator<Item = &'a str>) {
        self.settings.store(Arc::new(settings));
        self.metrics.know(roles);
    }

    /// Forgets the users that are no more, as a reload finds them; one with an open tunnel stays.
    pub fn keep_users(&self, is_user: impl Fn(&str) -> bool) {
        self.table().keep(|key| match key {
            ClientKey::User(user) => is_user(user),
            ClientKey::Network(_) => true,
        });
    }

    /// Takes note that a client made a request.
    pub fn seen(&self, client: &accounts::Client, from: IpAddr, now: Instant) -> Sighting {
        self.enter(ClientKey::of(client, from), &client.role().name, from, now)
    }

    fn enter(&self, key: ClientKey, role: &str, from: IpAddr, now: Instant) -> Sighting {
        let (now, from) = (self.moment(now), from.to_canonical());
        let role: Arc<str> = role.into();
        let client = self.table().enter(key, &role, self.room(), now);
        if let Some(client) = &client {
            client.seen(&role, from, now);
        }
        Sighting { began: self.began, role, client }
    }

    /// Begins to count a tunnel of a client that was seen.
    pub fn tunnel(&self, sighting: &Sighting, host: &HostName) -> Tunnel {
        let (up, down) = self.metrics.bytes(&sighting.role, Family::of(host));
        let share = sighting.client.clone().map(|client| Share::begin(client, host));
        Tunnel { began: self.began, share, up, down, told: Traffic::default() }
    }

    /// Returns how long to wait for the next sweep.
    pub fn until_sweep(&self) -> Duration {
        let after = self.settings.load().silent_after.unwrap_or(USUAL_SILENCE);
        (after / SWEEPS).clamp(SHORTEST_SWEEP, LONGEST_SWEEP)
    }

    /// Finds out who has become silent and who is back, tells it, and brings the metrics up to date.
    pub fn sweep(&self, now: Instant) {
        let (now, silent_after) = (self.moment(now), self.settings.load().silent_after);
        let all = {
            let mut table = self.table();
            table.forget(FORGOTTEN_AFTER, now);
            table.all()
        };
        let (mut silent, mut back) = (Vec::new(), Vec::new());
        let mut states: BTreeMap<Arc<str>, [i64; 2]> = BTreeMap::new();
        for client in all {
            client.look();
            let is_silent = client.is_silent(silent_after, now);
            let [active, quiet] = states.entry(Arc::clone(&client.detail().role)).or_default();
            *(if is_silent { quiet } else { active }) += 1;
            match (client.silent.swap(is_silent, Relaxed), is_silent) {
                (false, true) => silent.push(client),
                (true, false) => back.push(client),
                (true, true) | (false, false) => {}
            }
        }
        let look = self.look(now);
        tell_silent(&look, &silent);
        tell_back(&back);
        let (forgotten, not_entered) = {
            let table = self.table();
            (table.forgotten, table.not_entered)
        };
        self.metrics.swept(&states, forgotten, not_entered);
    }

    /// Returns the fleet in few words, with the silent ones by name.
    pub fn snapshot(&self, now: Instant) -> FleetSnapshot {
        let look = self.look(self.moment(now));
        let (all, forgotten, not_entered) = {
            let table = self.table();
            (table.all(), table.forgotten, table.not_entered)
        };
        let mut roles: BTreeMap<String, RoleView> = BTreeMap::new();
        let mut silent = Vec::new();
        for client in &all {
            let role = roles.entry(client.detail().role.to_string()).or_default();
            match look.state(client) {
                ClientState::Active => role.active += 1,
                ClientState::Silent => {
                    role.silent += 1;
                    silent.push(client);
                }
            }
            role.open_tunnels += u64::from(client.open.load(Relaxed));
            role.bytes.add(client.bytes());
        }
        silent.sort_by_key(|client| client.last());
        let settings = self.settings.load();
        FleetSnapshot {
            time: look.time(look.now),
            most_clients: settings.clients,
            silent_after_seconds: settings.silent_after.unwrap_or_default().as_secs(),
            clients: all.len(),
            active: all.len() - silent.len(),
            silent: silent.len(),
            open_tunnels: roles.values().map(|role| role.open_tunnels).sum(),
            forgotten,
            not_entered,
            roles,
            silent_clients: silent.into_iter().take(MOST_NAMED).map(|client| look.client(client)).collect(),
        }
    }

    /// Returns the bytes of all roles that are known, those of open tunnels included.
    pub fn bytes(&self) -> Traffic {
        self.metrics.total()
    }

    fn look(&self, now: Moment) -> Look {
        Look { now, wall: SystemTime::now(), silent_after: self.settings.load().silent_after }
    }

    fn room(&self) -> Room {
        let settings = self.settings.load();
        Room { most: settings.clients, silent_after: settings.silent_after.unwrap_or(USUAL_SILENCE) }
    }

    fn moment(&self, now: Instant) -> Moment {
        now.saturating_duration_since(self.began)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_silent(look: &Look, silent: &[Arc<Client>]) {
    let event_id = events::CLIENT_SILENT.0;
    for client in silent.iter().take(MOST_NAMED) {
        let seen = look.client(client);
        warn!(
            event_id,
            id = seen.id,
            role = seen.role,
            address = seen.addresses.first().map_or("", String::as_str),
            last_seen = seen.last_seen,
            open_tunnels = seen.open_tunnels,
            "a client that was seen regularly is silent"
        );
    }
    if let more @ 1.. = silent.len().saturating_sub(MOST_NAMED) {
        warn!(event_id, more, "more clients are silent; /api/clients?state=silent names them");
    }
}

fn tell_back(back: &[Arc<Client>]) {
    let event_id = events::CLIENT_BACK.0;
    for client in back.iter().take(MOST_NAMED) {
        let (id, role) = (client.id(), Arc::clone(&client.detail().role));
        info!(event_id, id, role = &*role, "a silent client is back");
    }
    if let more @ 1.. = back.len().saturating_sub(MOST_NAMED) {
        info!(event_id, more, "more silent clients are back");
    }
}

#[cfg(test)]
mod tests;
