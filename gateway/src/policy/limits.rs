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
    settings: Settings,
    clock: DefaultClock,
    requests: DefaultKeyedRateLimiter<NetworkKey>,
    connects: DefaultKeyedRateLimiter<ClientKey>,
    failures: Failures,
    barred: Mutex<HashMap<NetworkKey, Instant>>,
    tunnels: Mutex<Tunnels>,
    connections: Mutex<HashMap<NetworkKey, u32>>,
}

#[derive(Default)]
struct Tunnels {
    all: u32,
    by_role: HashMap<Box<str>, u32>,
    by_client: HashMap<ClientKey, u32>,
}

/// Leave to have one password checked. Only [`Limits::knock`] makes one.
#[derive(Debug)]
pub struct Knock(NetworkKey);

/// A client's place among the tunnels, given back when dropped. Only [`Limits::admit`] makes one.
pub struct Slot {
    limits: Arc<Limits>,
    key: ClientKey,
    role: Box<str>,
}

/// A connection's place among those of its address, given back when dropped.
pub struct Arrival {
    limits: Arc<Limits>,
    key: NetworkKey,
}

impl Limits {
    /// Makes fresh counters.
    pub fn new(settings: Settings) -> Self {
        let requests = Quota::per_second(settings.requests_per_second_per_address)
            .allow_burst(settings.request_burst_per_address);
        let connects = Quota::per_second(settings.connects_per_second).allow_burst(settings.burst);
        let failures = Quota::per_minute(settings.failed_logins_per_minute);
        Self {
            clock: DefaultClock::default(),
            requests: RateLimiter::keyed(requests),
            connects: RateLimiter::keyed(connects),
            failures: RateLimiter::keyed(failures).with_middleware(),
            barred: Mutex::default(),
            tunnels: Mutex::default(),
            connections: Mutex::default(),
            settings,
        }
    }

    /// Gives a connection its place, within the number of its address.
    pub fn arrive(self: &Arc<Self>, from: IpAddr) -> Result<Arrival, Refusal> {
        let key = NetworkKey::of(from);
        let mut connections = lock(&self.connections);
        let open = connections.entry(key).or_default();
        if *open >= self.settings.connections_per_address {
            return Err(Refusal::AddressConnections);
        }
        *open += 1;
        Ok(Arrival { limits: Arc::clone(self), key })
    }

    /// Lets a network address make a request, within its rate.
    pub fn request(&self, from: IpAddr) -> Result<(), Refusal> {
        self.requests
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
        let until = match self.failures.check_key(&knock.0) {
            Ok(state) if state.remaining_burst_capacity() > 0 => return,
            Ok(state) => self.clock.now() + state.quota().replenish_interval().into(),
            Err(until) => until.earliest_possible(),
        };
        lock(&self.barred).insert(knock.0, until);
    }

    /// Gives a client a slot, within its rate and the numbers of tunnels.
    pub fn admit(self: &Arc<Self>, key: ClientKey, role: &Role) -> Result<Slot, Refusal> {
        if let Err(until) = self.connects.check_key(&key) {
            return Err(Refusal::RateLimited { retry_after: until.wait_time_from(self.clock.now()) });
        }
        let mut tunnels = lock(&self.tunnels);
        if tunnels.all >= self.settings.tunnels {
            return Err(Refusal::GatewayTunnels);
        }
        let of_role = tunnels.by_role.get(&role.name).copied().unwrap_or_default();
        if of_role >= role.tunnels {
            return Err(Refusal::RoleTunnels);
        }
        let held = tunnels.by_client.get(&key).copied().unwrap_or_default();
        if held >= self.settings.tunnels_per_client {
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
        self.requests.retain_recent();
        self.requests.shrink_to_fit();
        self.connects.retain_recent();
        self.failures.retain_recent();
        self.connects.shrink_to_fit();
        self.failures.shrink_to_fit();
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
mod tests {
    use super::*;
    use crate::policy::destinations::Destinations;

    fn limits(change: impl FnOnce(&mut Settings)) -> Arc<Limits> {
        let number = |n| NonZeroU32::new(n).expect("not zero");
        let mut settings = Settings {
            tunnels: 100,
            tunnels_per_client: 100,
            connects_per_second: number(1000),
            burst: number(1000),
            connections_per_address: 3,
            requests_per_second_per_address: number(1),
            request_burst_per_address: number(5),
            failed_logins_per_minute: number(3),
        };
        change(&mut settings);
        Arc::new(Limits::new(settings))
    }

    fn role(tunnels: u32) -> Role {
        Role { name: "agents".into(), destinations: Destinations::default(), tunnels }
    }

    fn admit(limits: &Arc<Limits>, name: &str) -> Result<Slot, Refusal> {
        limits.admit(user(name), &role(u32::MAX))
    }

    fn user(name: &str) -> ClientKey {
        ClientKey::User(name.into())
    }

    #[test]
    fn s05_exactly_as_many_tunnels_are_admitted_as_allowed_and_the_counts_return_to_zero() {
        let limits = limits(|s| (s.tunnels, s.tunnels_per_client) = (5, 3));
        let mut slots: Vec<Slot> = (0..3).map(|_| admit(&limits, "ann").expect("within")).collect();
        assert_eq!(admit(&limits, "ann").err(), Some(Refusal::ClientTunnels));
        slots.extend((0..2).map(|_| admit(&limits, "bob").expect("within")));
        assert_eq!(admit(&limits, "eve").err(), Some(Refusal::GatewayTunnels));
        slots.clear();
        assert_eq!(limits.tunnels(), 0);
        assert!(lock(&limits.tunnels).by_client.is_empty());
        assert!(admit(&limits, "ann").is_ok());
    }

    #[test]
    fn a_role_has_its_own_number_of_tunnels() {
        let limits = limits(|_| ());
        let held = limits.admit(user("ann"), &role(1)).expect("within");
        assert_eq!(limits.admit(user("bob"), &role(1)).err(), Some(Refusal::RoleTunnels));
        drop(held);
        assert!(limits.admit(user("bob"), &role(1)).is_ok());
    }

    #[test]
    fn one_address_has_its_own_number_of_connections_and_its_own_rate_of_requests() {
        let limits = limits(|_| ());
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut places: Vec<Arrival> = (0..3).map(|_| limits.arrive(here).expect("within")).collect();
        assert_eq!(limits.arrive(here).err(), Some(Refusal::AddressConnections));
        assert!(limits.arrive(there).is_ok());
        places.pop();
        assert!(limits.arrive(here).is_ok());
        let verdicts = (0..6).map(|_| limits.request(here).is_ok()).collect::<Vec<_>>();
        assert_eq!(verdicts, [true, true, true, true, true, false]);
        assert!(limits.request(there).is_ok());
    }

    #[test]
    fn a_client_beyond_its_rate_is_told_when_to_come_back_and_others_are_not_touched() {
        let limits = limits(|s| {
            s.connects_per_second = NonZeroU32::MIN;
            s.burst = NonZeroU32::new(2).expect("not zero");
        });
        let verdicts: Vec<_> = (0..3).map(|_| admit(&limits, "ann").map(|_| ())).collect();
        assert_eq!(&verdicts[..2], &[Ok(()), Ok(())]);
        assert!(matches!(verdicts[2], Err(Refusal::RateLimited { retry_after }) if !retry_after.is_zero()));
        assert!(admit(&limits, "bob").is_ok());
    }

    #[test]
    fn a07_a_network_is_barred_after_its_failed_logins_and_only_that_network() {
        let limits = limits(|_| ());
        let guesser: IpAddr = "10.0.0.1".parse().expect("an address");
        let mut tries = 0;
        while let Ok(knock) = limits.knock(guesser) {
            limits.failed(knock);
            tries += 1;
            assert!(tries < 10, "never barred");
        }
        assert_eq!(tries, 3, "the third failure bars");
        assert!(limits.knock("10.0.0.2".parse().expect("an address")).is_ok());
    }

    #[test]
    fn ipv6_addresses_count_by_their_first_64_bits_and_mapped_ones_as_ipv4() {
        let key = |ip: &str| NetworkKey::of(ip.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    }

    #[test]
    fn a_sweep_keeps_those_still_barred() {
        let limits = limits(|s| s.failed_logins_per_minute = NonZeroU32::MIN);
        let guesser: IpAddr = "10.0.0.1".parse().expect("an address");
        while let Ok(knock) = limits.knock(guesser) {
            limits.failed(knock);
        }
        limits.sweep();
        assert!(limits.knock(guesser).is_err());
    }
}
