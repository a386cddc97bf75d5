//! Tunnels through upstream proxies, with failover from one to the next.
//!
//! ```text
//! name -> addresses, not our own -> TCP -> TLS if https -> CONNECT -> 2xx    the tunnel
//!                                                                  -> 4xx    final: it refuses the destination
//!   anything else on the way, also 407 and 5xx -> the relay is set back, and the next one is tried
//! ```
//!
//! A relay is told the target, our password for it and which gateways the request has passed; all of
//! it comes from parsed values, so nothing else of the client's request can be in ours.

mod failure;
mod health;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use common::connect::connect;
use common::host_port::HostPort;
use common::proxy_url::Host;
use common::proxy_url::ProxyUrl;
use common::proxy_url::Scheme;
use common::secret::Secret;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::InvalidDnsNameError;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::info;
use tracing::warn;

pub use self::tls::TlsError;
use crate::dial::direct;
use crate::dial::direct::Connected;
use crate::dial::relay::failure::Failure;
use crate::dial::relay::failure::telling;
use crate::dial::relay::health::Health;
use crate::dial::relay::health::News;
use crate::dial::resolve::Resolver;
use crate::events;
use crate::policy::addresses::Addresses;
use crate::policy::relays::Passed;
use crate::policy::relays::RelaySettings;
use crate::policy::via::Via;
use crate::refusal::Refusal;
use crate::stream::Stream;

/// The upstream proxies and what is known of their health.
#[derive(Debug)]
pub struct Relays {
    relays: Vec<Relay>,
    health: Mutex<Health>,
    via: Via,
}

/// A tunnel through a relay.
#[derive(Debug)]
pub struct Relayed {
    /// The connection to the relay, at the first byte of the tunnel that is not in `early`.
    pub stream: Stream,
    /// The relay's address that was dialled.
    pub address: SocketAddr,
    /// The first bytes of the tunnel, which came with the relay's answer.
    pub early: Bytes,
}

/// Why [`Relays`] cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// An empty list.
    #[error("no relay is listed")]
    None,
    /// A host name that TLS cannot ask for.
    #[error("the relay's host name `{0}` cannot be a server name in TLS: {1}")]
    ServerName(Host, InvalidDnsNameError),
    /// TLS that cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Relays {
    /// Sets up the relays; reads the authorities of `https` relays here, once. `via` is our own name.
    pub fn new(settings: &RelaySettings, via: Via) -> Result<Self, RelayError> {
        if settings.proxies.is_empty() {
            return Err(RelayError::None);
        }
        let secure = settings.proxies.iter().any(|proxy| proxy.scheme() == Scheme::Https);
        let tls = secure.then(|| tls::connector(settings.ca.as_deref())).transpose()?;
        let relays = settings.proxies.iter().map(|proxy| Relay::new(proxy, tls.as_ref()));
        let relays = relays.collect::<Result<Vec<_>, _>>()?;
        let health = Mutex::new(Health::new(relays.len()));
        Ok(Self { relays, health, via })
    }

    /// Opens a tunnel through the first relay that gives one; `limit` bounds the whole.
    ///
    /// Each relay has an equal share of the time that is left, so a silent one leaves some for the next.
    /// When none gives a tunnel, the most telling failure is reported.
    pub async fn connect(
        &self,
        target: &HostPort,
        passed: &Passed,
        resolver: &Resolver,
        addresses: &Addresses,
        limit: Duration,
    ) -> Result<Relayed, Refusal> {
        let via = passed.and(&self.via).to_string();
        let way = Way { target, via: &via, resolver, addresses };
        let begun = Instant::now();
        let mut untried = (0..self.relays.len()).collect();
        let mut worst = Refusal::RelayUnreachable;
        while let Some((turn, relay)) = self.next(&mut untried) {
            let sharers = u32::try_from(untried.len() + 1).unwrap_or(u32::MAX);
            let share = limit.saturating_sub(begun.elapsed()) / sharers;
            let outcome = timeout(share, relay.tunnel(&way, share)).await;
            let failure = match outcome.unwrap_or(Err(Failure::Timeout)) {
                Ok(relayed) => {
                    self.succeeds(turn, relay);
                    return Ok(relayed);
                }
                Err(failure) => failure,
            };
            let refusal = failure.refusal();
            match refusal {
                Refusal::RelayDenied => {
                    self.succeeds(turn, relay);
                    return Err(refusal);
                }
                Refusal::Internal => return Err(refusal),
                _ => self.fails(turn, relay, &failure),
            }
            if telling(&refusal) > telling(&worst) {
                worst = refusal;
            }
        }
        Err(worst)
    }

    fn next(&self, untried: &mut Vec<usize>) -> Option<(usize, &Relay)> {
        let turn = self.health().next(untried, Instant::now().into_std())?;
        Some((turn, self.relays.get(turn)?))
    }

    fn succeeds(&self, turn: usize, relay: &Relay) {
        if self.health().succeeds(turn) == News::Tell {
            info!(event_id = events::RELAY.0, relay = relay.place, "relay answers again");
        }
    }

    fn fails(&self, turn: usize, relay: &Relay, failure: &Failure) {
        if self.health().fails(turn, Instant::now().into_std()) == News::Tell {
            let (relay, cause) = (relay.place.as_str(), failure.to_string());
            warn!(event_id = events::RELAY.0, relay, cause = cause.as_str(), "relay set back");
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a relay is asked, and with what it is found.
struct Way<'a> {
    target: &'a HostPort,
    via: &'a str,
    resolver: &'a Resolver,
    addresses: &'a Addresses,
}

struct Relay {
    host: Host,
    port: u16,
    /// Host and port as text, for the operator.
    place: String,
    authorization: Option<Secret>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Relay {
    fn new(proxy: &ProxyUrl, tls: Option<&TlsConnector>) -> Result<Self, RelayError> {
        let (host, port) = (proxy.host().clone(), proxy.port());
        let tls = match (proxy.scheme(), tls) {
            (Scheme::Https, Some(connector)) => Some((connector.clone(), server_name(&host)?)),
            (Scheme::Https | Scheme::Http, _) => None,
        };
        let place = format!("{host}:{port}");
        Ok(Self { host, port, place, authorization: proxy.authorization(), tls })
    }

    async fn tunnel(&self, way: &Way<'_>, limit: Duration) -> Result<Relayed, Failure> {
        let Connected { stream, address } = self.reach(way, limit).await?;
        let mut stream = match &self.tls {
            None => Stream::Plain(stream),
            Some((connector, name)) => {
                let secured = connector.connect(name.clone(), stream).await.map_err(Failure::Tls)?;
                Stream::Tls(Box::new(secured.into()))
            }
        };
        let early = connect(&mut stream, way.target, self.authorization.as_ref(), Some(way.via)).await?;
        Ok(Relayed { stream, address, early })
    }

    /// Connects to the relay itself, wherever it is but here.
    async fn reach(&self, way: &Way<'_>, limit: Duration) -> Result<Connected, Refusal> {
        let found = match &self.host {
            Host::Name(name) => way.resolver.resolve(&HostPort::new(name.clone(), self.port)).await?,
            Host::Address(address) => vec![SocketAddr::new(*address, self.port)],
        };
        let vetted = found.into_iter().map(|address| way.addresses.vet_relay(address));
        direct::connect(&vetted.collect::<Result<Vec<_>, _>>()?, limit).await
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, RelayError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|error| RelayError::ServerName(host.clone(), error)),
    }
}
