//! How much: connections, requests and failed logins by network address; CONNECTs and tunnels by client;
//! tunnels by role and in all.
//!
//! Rates are governor's (GCRA). A network that failed too often is barred from *unproven* credentials
//! only: clients whose password was verified before never knock, so one misconfigured agent behind an
//! address translator does not lock out its neighbours. IPv6 addresses count by their /64.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
use governor::DefaultKeyedRateLimiter;
use governor::Quota;
use governor::RateLimiter;
use governor::clock::Clock;
use governor::clock::DefaultClock;
use governor::clock::Reference;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;

use super::accounts::Client;
use super::accounts::Role;
use crate::refusal::Refusal;

/// The numbers an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most tunnels at once.
    pub tunnels: u32,
    /// Most tunnels at once of one client.
    pub tunnels_per_client: u32,
    /// CONNECTs a second of one client, in the long run.
    pub connects_per_second: NonZeroU32,
    /// CONNECTs of one client at once, above the rate.
    pub burst: NonZeroU32,
    /// Connections at once from one network address.
    pub connections_per_address: u32,
    /// Requests a second from one network address, in the long run, before anything else is looked at.
    pub requests_per_second_per_address: NonZeroU32,
    /// Requests at once from one network address, above the rate.
    pub request_burst_per_address: NonZeroU32,
    /// Failed logins a minute from one network address before it is barred.
    pub failed_logins_per_minute: NonZeroU32,
}

/// What tells one client from another: its user, or else its network address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// A user of a users file.
    User(Arc<str>),
    /// An anonymous client's address.
    Network(NetworkKey),
}

impl ClientKey {
    /// Returns the key of a client that sits at `from`.
    pub fn of(client: &Client, from: IpAddr) -> Self {
        match client.user() {
            Some(user) => Self::User(Arc::clone(user)),
            None => Self::Network(NetworkKey::of(from)),
        }
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkKey(IpAddr);

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

impl NetworkKey {
    /// Returns the key of an address; an IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
            v4 => Self(v4),
        }
    }
}

type Failures =
    RateLimiter<NetworkKey, DefaultKeyedStateStore<NetworkKey>, DefaultClock, StateInformationMiddleware>;
type Instant = <DefaultClock as Clock>::Instant;

/// The counters. They outlive a change of policy.
pub struct Limits {
    bounds: ArcSwap<Bounds>,
    clock: DefaultClock,
    barred: Mutex<HashMap<NetworkKey, Instant>>,
    tunnels: Mutex<Tunnels>,
    connections: Mutex<HashMap<NetworkKey, u32>>,
}

/// The numbers in force, and the rates that were used up of them.
struct Bounds {
    settings: Settings,
    requests: Arc<DefaultKeyedRateLimiter<NetworkKey>>,
    connects: Arc<DefaultKeyedRateLimiter<ClientKey>>,
    failures: Arc<Failures>,
}

impl Bounds {
    fn new(settings: Settings) -> Self {
        Self {
            requests: Arc::new(RateLimiter::keyed(settings.requests())),
            connects: Arc::new(RateLimiter::keyed(settings.connects())),
            failures: Arc::new(RateLimiter::keyed(settings.failures()).with_middleware()),
            settings,
        }
    }
}

impl Settings {
    fn requests(&self) -> Quota {
        Quota::per_second(self.requests_per_second_per_address).allow_burst(self.request_burst_per_address)
    }

    fn connects(&self) -> Quota {
        Quota::per_second(self.connects_per_second).allow_burst(self.burst)
    }

    fn failures(&self) -> Quota {
        Quota::per_minute(self.failed_logins_per_minute)
    }
}

#[derive(Default)]
struct Tunnels {
    all: u32,
    by_role: HashMap<Arc<str>, u32>,
    by_client: HashMap<ClientKey, u32>,
}

/// Leave to have one password checked. Only [`Limits::knock`] makes one.
#[derive(Debug)]
pub struct Knock(NetworkKey);

/// A client's place among the tunnels, given back when dropped. Only [`Limits::admit`] makes one.
pub struct Slot {
    limits: Arc<Limits>,
    key: ClientKey,
    role: Arc<str>,
}

/// A connection's place among those of its address, given back when dropped.
pub struct Arrival {
    limits: Arc<Limits>,
    key: NetworkKey,
}

impl Limits {
    /// Makes fresh counters.
    pub fn new(settings: Settings) -> Self {
        Self {
            bounds: ArcSwap::from_pointee(Bounds::new(settings)),
            clock: DefaultClock::default(),
            barred: Mutex::default(),
            tunnels: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Puts other numbers in force. Everything that is counted goes on; of the rates only those whose
    /// numbers changed begin anew.
    pub fn change(&self, settings: Settings) {
        let before = self.bounds.load();
        let mut bounds = Bounds::new(settings);
        if bounds.settings.requests() == before.settings.requests() {
            bounds.requests = Arc::clone(&before.requests);
        }
        if bounds.settings.connects() == before.settings.connects() {
            bounds.connects = Arc::clone(&before.connects);
        }
        if bounds.settings.failures() == before.settings.failures() {
            bounds.failures = Arc::clone(&before.failures);
        }
        self.bounds.store(Arc::new(bounds));
    }

    /// Gives a connection its place, within the number of its address.
    pub fn arrive(self: &Arc<Self>, from: IpAddr) -> Result<Arrival, Refusal> {
        let key = NetworkKey::of(from);
        let mut connections = lock(&self.connections);
        let open = connections.entry(key).or_default();
        if *open >= self.bounds.load().settings.connections_per_address {
            return Err(Refusal::AddressConnections);
        }
        *open += 1;
        Ok(Arrival { limits: Arc::clone(self), key })
    }

    /// Lets a network address make a request, within its rate.
    pub fn request(&self, from: IpAddr) -> Result<(), Refusal> {
        let bounds = self.bounds.load();
        bounds
            .requests
            .check_key(&NetworkKey::of(from))
            .map_err(|until| Refusal::RateLimited { retry_after: until.wait_time_from(self.clock.now()) })
    }

    /// Lets a network try a password, unless it failed too often of late.
    pub fn knock(&self, from: IpAddr) -> Result<Knock, Refusal> {
        let key = NetworkKey::of(from);
        let now = self.clock.now();
        match lock(&self.barred).get(&key) {
            Some(until) if *until > now => {
                Err(Refusal::FailedLogins { retry_after: until.duration_since(now).into() })
            }
            _ => Ok(Knock(key)),
        }
    }

    /// Counts a failed login, and bars the network once it has used up its tries.
    pub fn failed(&self, knock: Knock) {
        let until = match self.bounds.load().failures.check_key(&knock.0) {
            Ok(state) if state.remaining_burst_capacity() > 0 => return,
            Ok(state) => self.clock.now() + state.quota().replenish_interval().into(),
            Err(until) => until.earliest_possible(),
        };
        lock(&self.barred).insert(knock.0, until);
    }

    /// Gives a client a slot, within its rate and the numbers of tunnels.
    pub fn admit(self: &Arc<Self>, key: ClientKey, role: &Role) -> Result<Slot, Refusal> {
        let bounds = self.bounds.load();
        if let Err(until) = bounds.connects.check_key(&key) {
            return Err(Refusal::RateLimited { retry_after: until.wait_time_from(self.clock.now()) });
        }
        let mut tunnels = lock(&self.tunnels);
        if tunnels.all >= bounds.settings.tunnels {
            return Err(Refusal::GatewayTunnels);
        }
        let of_role = tunnels.by_role.get(&role.name).copied().unwrap_or_default();
        if of_role >= role.tunnels {
            return Err(Refusal::RoleTunnels);
        }
        let held = tunnels.by_client.get(&key).copied().unwrap_or_default();
        if held >= bounds.settings.tunnels_per_client {
            return Err(Refusal::ClientTunnels);
        }
        tunnels.all += 1;
        tunnels.by_role.insert(role.name.clone(), of_role + 1);
        tunnels.by_client.insert(key.clone(), held + 1);
        Ok(Slot { limits: Arc::clone(self), key, role: role.name.clone() })
    }

    /// Returns how many slots are taken.
    pub fn tunnels(&self) -> u32 {
        lock(&self.tunnels).all
    }

    /// Forgets the clients and networks that were quiet for long enough to have all their tries back.
    pub fn sweep(&self) {
        let now = self.clock.now();
        lock(&self.barred).retain(|_, until| *until > now);
        let bounds = self.bounds.load();
        bounds.requests.retain_recent();
        bounds.requests.shrink_to_fit();
        bounds.connects.retain_recent();
        bounds.failures.retain_recent();
        bounds.connects.shrink_to_fit();
        bounds.failures.shrink_to_fit();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut tunnels = lock(&self.limits.tunnels);
        tunnels.all = tunnels.all.saturating_sub(1);
        give_back(&mut tunnels.by_role, &self.role);
        give_back(&mut tunnels.by_client, &self.key);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        give_back(&mut lock(&self.limits.connections), &self.key);
    }
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
