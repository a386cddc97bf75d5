//! Names to addresses: one question a family for each decision, and one verdict on both answers.
//!
//! Names are asked for as they are, absolute: search lists and the hosts file of the system never
//! apply. Servers are raced, beginning with the last that answered: the next is asked when one fails or
//! has been silent for 300 ms. When all fail, the last good answer is used for a bounded time. Over UDP
//! with EDNS (1232 bytes), over TCP when the reply is truncated. Letter case is not randomized (0x20):
//! servers that do not echo it would need TCP, which is often closed in a DMZ; random ports and ids
//! must do.

mod answer;
mod cache;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use common::host_port::HostName;
use common::host_port::HostPort;
use hickory_resolver::NameServerPool;
use hickory_resolver::PoolContext;
use hickory_resolver::TlsConfig;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::proto::op::DnsRequestOptions;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use crate::dial::race::race;
use crate::dial::resolve::answer::Answer;
use crate::dial::resolve::answer::Trouble;
use crate::dial::resolve::cache::Cache;
use crate::policy::addresses::Addresses;
use crate::policy::addresses::Vetted;
use crate::policy::destinations::Permit;
use crate::policy::names::DnsSettings;
use crate::policy::names::FixedAddress;
use crate::refusal::Refusal;

/// Most addresses returned for one name.
pub const MOST_ADDRESSES: usize = 16;
/// How long the second family is waited for once the first has answered with addresses
/// (RFC 8305 section 3, Resolution Delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long a server is alone before the next is asked, too.
const STAGGER: Duration = Duration::from_millis(300);
/// How long the servers are waited for while a stale answer is at hand (RFC 8767 section 5).
const STALE_PATIENCE: Duration = Duration::from_millis(1800);

/// Looks names up, and remembers the answers for as long as they allow.
pub struct Resolver {
    settings: DnsSettings,
    addresses: Vec<SocketAddr>,
    servers: Vec<NameServerPool<TokioRuntimeProvider>>,
    preferred: AtomicUsize,
    cache: Arc<Cache>,
    resolution_delay: Duration,
}

/// Why a [`Resolver`] cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// No servers are configured, and those of the system are not known.
    #[error("cannot read the system's name servers: {0}")]
    System(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The transport to the name servers cannot be set up.
    #[error("cannot set up the transport to the name servers: {0}")]
    Transport(#[source] NetError),
}

type Outcome = Result<Vec<IpAddr>, Trouble>;

impl Resolver {
    /// Builds the resolver; fails when the system's name servers are needed and cannot be read.
    ///
    /// The system's configuration is read here, and by [`Resolver::renewed`].
    pub fn new(settings: &DnsSettings) -> Result<Self, ResolverError> {
        Self::asking(settings, addresses(settings)?)
    }

    /// Returns the resolver for other settings: this one where nothing changed, also not the system's name
    /// servers. Its answers stay known while the same servers are asked and may be stale for as long.
    pub fn renewed(self: &Arc<Self>, settings: &DnsSettings) -> Result<Arc<Self>, ResolverError> {
        let addresses = addresses(settings)?;
        let same_servers = addresses == self.addresses;
        if same_servers && *settings == self.settings {
            return Ok(Arc::clone(self));
        }
        let mut renewed = Self::asking(settings, addresses)?;
        if same_servers && settings.stale_for == self.settings.stale_for {
            renewed.cache = Arc::clone(&self.cache);
        }
        Ok(Arc::new(renewed))
    }

    fn asking(settings: &DnsSettings, addresses: Vec<SocketAddr>) -> Result<Self, ResolverError> {
        let mut options = ResolverOpts::default();
        options.timeout = settings.timeout;
        let transport = TlsConfig::new().map_err(ResolverError::Transport)?;
        let context = Arc::new(PoolContext::new(options, transport));
        // One pool a server: a pool of several would take the first server's SERVFAIL for the answer.
        let pool =
            |address| NameServerPool::from_config([server(address)], context.clone(), Default::default());
        Ok(Self {
            settings: settings.clone(),
            servers: addresses.iter().copied().map(pool).collect(),
            addresses,
            preferred: AtomicUsize::new(0),
            cache: Arc::default(),
            resolution_delay: RESOLUTION_DELAY,
        })
    }

    /// Returns the addresses of a name with the port to dial, families alternating, at most
    /// [`MOST_ADDRESSES`] and never none.
    ///
    /// Addresses of either family are enough. With none, both families are judged together: a
    /// timeout tells more than a failure, and only two empty answers say that there is no such name.
    pub async fn resolve(&self, target: &HostPort) -> Result<Vec<SocketAddr>, Refusal> {
        if let Some(fixed) = self.settings.hosts.get(target.name()) {
            return fixed_answer(fixed, target.port());
        }
        let v6 = self.look_up(target.name(), RecordType::AAAA);
        let v4 = self.look_up(target.name(), RecordType::A);
        let (v6, v4) = both(v6, v4, self.resolution_delay).await;
        let found = judge(v6, v4)?;
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, target.port())).collect())
    }

    /// Returns an address of a permitted target as one that may be dialled. Where report mode alone permits
    /// it, `[addresses] allow` and other ports are only for what the operator wrote for this very name.
    pub fn vet(&self, permit: &Permit, found: SocketAddr, addresses: &Addresses) -> Result<Vetted, Refusal> {
        match permit.reported() {
            Some(_) if !self.is_fixed(permit.target(), found) => addresses.vet_unlisted(found),
            Some(_) | None => addresses.vet(found),
        }
    }

    /// Says whether the operator wrote this very address for the target's name, in `[dns] hosts`.
    fn is_fixed(&self, target: &HostPort, address: SocketAddr) -> bool {
        let fixed = self.settings.hosts.get(target.name()).map(|fixed| fixed_answer(fixed, target.port()));
        fixed.is_some_and(|answer| answer.is_ok_and(|addresses| addresses.contains(&address)))
    }

    async fn look_up(&self, host: &HostName, family: RecordType) -> Outcome {
        if let Some(addresses) = self.cache.find(host, family, Instant::now()) {
            return Ok(addresses);
        }
        let stale = self.cache.is_stale(host, family, Instant::now());
        let patience = if stale { STALE_PATIENCE.min(self.settings.timeout) } else { self.settings.timeout };
        let asked = timeout(patience, self.ask(host, family)).await.unwrap_or(Err(Trouble::Timeout));
        match asked {
            Ok(answer) => {
                self.cache.keep(host, family, &answer, self.settings.stale_for, Instant::now());
                Ok(answer.addresses)
            }
            Err(trouble) => self.cache.stale(host, family, Instant::now()).ok_or(trouble),
        }
    }

    /// Asks again for what was used and is about to expire, so that requests find it fresh. Called
    /// every second or so by the gateway.
    pub async fn refresh(&self) {
        self.refresh_at(Instant::now()).await;
    }

    async fn refresh_at(&self, now: Instant) {
        for (host, family) in self.cache.due(now) {
            let asked = timeout(self.settings.timeout, self.ask(&host, family)).await;
            if let Ok(Ok(answer)) = asked {
                self.cache.keep(&host, family, &answer, self.settings.stale_for, Instant::now());
            }
        }
    }

    async fn ask(&self, host: &HostName, family: RecordType) -> Result<Answer, Trouble> {
        let name = Name::from_ascii(format!("{host}.")).map_err(|_| Trouble::Failed)?;
        let first = self.preferred.load(Ordering::Relaxed);
        let order = (0..self.servers.len()).cycle().skip(first).take(self.servers.len()).collect();
        let (answer, index) =
            race(order, |index| self.ask_one(*index, &name, family), STAGGER, Trouble::Failed).await?;
        self.preferred.store(index, Ordering::Relaxed);
        Ok(answer)
    }

    async fn ask_one(&self, index: usize, name: &Name, family: RecordType) -> Result<Answer, Trouble> {
        let server = self.servers.get(index).ok_or(Trouble::Failed)?;
        let query = Query::query(name.clone(), family);
        let reply = server.lookup(query, DnsRequestOptions::default()).first_answer().await;
        Answer::read(name, family, reply)
    }
}

/// Returns the name servers that are asked: those of the settings, else those of the system as it is now.
/// Returns the name servers that are asked: those of the settings, or the system's.
pub fn addresses(settings: &DnsSettings) -> Result<Vec<SocketAddr>, ResolverError> {
    match settings.servers.as_slice() {
        [] => Ok(system_servers(&read_system_conf().map_err(|error| ResolverError::System(error.into()))?.0)),
        servers => Ok(servers.to_vec()),
    }
}

/// Returns the name servers of the system, and nothing else of its configuration.
fn system_servers(system: &ResolverConfig) -> Vec<SocketAddr> {
    let port = ConnectionConfig::udp().port;
    system.name_servers().iter().map(|server| SocketAddr::new(server.ip, port)).collect()
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut config.connections {
        connection.port = address.port();
    }
    config
}

fn fixed_answer(fixed: &[FixedAddress], port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let dialled = |address: &FixedAddress| SocketAddr::new(address.ip, address.port.unwrap_or(port));
    match fixed {
        [] => Err(Refusal::NameNotFound),
        some => Ok(some.iter().take(MOST_ADDRESSES).map(dialled).collect()),
    }
}

/// Waits for both families, but not long for the second once the first has addresses.
async fn both(
    v6: impl Future<Output = Outcome>,
    v4: impl Future<Output = Outcome>,
    delay: Duration,
) -> (Outcome, Outcome) {
    let (mut v6, mut v4) = (pin!(v6), pin!(v4));
    tokio::select! {
        biased;
        first = &mut v6 => {
            let second = second(&first, v4, delay).await;
            (first, second)
        }
        first = &mut v4 => {
            let second = second(&first, v6, delay).await;
            (second, first)
        }
    }
}

async fn second(first: &Outcome, other: impl Future<Output = Outcome>, delay: Duration) -> Outcome {
    match first {
        Ok(addresses) if !addresses.is_empty() => {
            timeout(delay, other).await.unwrap_or(Err(Trouble::Timeout))
        }
        _ => other.await,
    }
}

fn judge(v6: Outcome, v4: Outcome) -> Result<Vec<IpAddr>, Refusal> {
    let trouble = v6.as_ref().err().max(v4.as_ref().err()).copied();
    let found = interleave(v6.unwrap_or_default(), v4.unwrap_or_default());
    match trouble {
        _ if !found.is_empty() => Ok(found),
        None => Err(Refusal::NameNotFound),
        Some(Trouble::Failed) => Err(Refusal::NameFailed),
        Some(Trouble::Timeout) => Err(Refusal::NameTimeout),
    }
}

/// Alternates between the families, so that the cap leaves some of each.
fn interleave(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for index in 0..v6.len().max(v4.len()) {
        for address in [v6.get(index), v4.get(index)].into_iter().flatten() {
            if !found.contains(address) {
                found.push(*address);
            }
        }
    }
    found.truncate(MOST_ADDRESSES);
    found
}
