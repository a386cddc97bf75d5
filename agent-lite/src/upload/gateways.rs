//! The only way out: tunnels through gateways, with failover and return.
//!
//! ```text
//! 2xx                                          the tunnel
//! 4xx but 408: a verdict about us or our target    final for this tunnel, no other gateway is asked
//! 5xx, 408, silence after CONNECT              the next gateway is asked; this one is not called down,
//!                                              for the trouble may be the target's own
//! no name, TCP, TLS, end, garbage              the next gateway is asked; this one is down
//! ```
//!
//! Why a 403, 407 or 429 is final: gateways of one list are replicas; what one refuses is to be mended there,
//! and a limit is not to be dodged at its neighbour. All workspaces share what is known: the gateway that served last
//! is used first. After `return_after` one tunnel tries the earlier gateways again, for [`PROBE`] at most.

mod dial;
mod error;
mod names;
mod order;
#[cfg(test)]
mod tests;
mod tunnel;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use common::host_port::HostPort;
use common::proxy_url::Scheme;
use tokio::time::Instant;
use tokio_rustls::rustls;

pub use self::error::GatewayError;
pub use self::error::GatewayNote;
pub use self::error::GatewayPhase;
pub use self::error::GatewayReason;
pub use self::tunnel::Tunnel;
use crate::config::settings::GatewaySettings;
use crate::counters::Counters;
use crate::events::Event;
use crate::events::say;
use crate::upload::gateways::dial::Gateway;
use crate::upload::gateways::order::Order;
use crate::upload::roots::Roots;
use crate::upload::roots::RootsError;
#[cfg(test)]
use crate::upload::roots::TlsTrouble;

/// How long one tunnel may be delayed by a look at whether earlier gateways serve again.
pub const PROBE: Duration = Duration::from_secs(2);

/// The gateways. Clones are the same gateways.
#[derive(Clone)]
pub struct Gateways(Arc<Inner>);

struct Inner {
    gateways: Vec<Gateway>,
    order: Mutex<Order>,
    connect: Duration,
    counters: Counters,
}

/// Why the gateways cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum GatewaysError {
    /// An empty list.
    #[error("no gateway is configured; write at least one, there is no other way out")]
    None,
    /// A host name that TLS cannot ask for.
    #[error("the gateway's host name `{0}` cannot be a server name in TLS; write its name in DNS")]
    ServerName(String),
    /// The authorities for gateways with `https://`.
    #[error("the authorities of the gateways: {0}")]
    Roots(#[from] RootsError),
    /// TLS cannot be set up.
    #[error("TLS to the gateways cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Gateways {
    /// Sets up the gateways; reads the authorities of `https` gateways here, once. Connects nowhere.
    pub fn new(settings: &GatewaySettings, counters: Counters) -> Result<Self, GatewaysError> {
        if settings.proxies.is_empty() {
            return Err(GatewaysError::None);
        }
        let secure = settings.proxies.iter().any(|proxy| proxy.scheme() == Scheme::Https);
        let tls = match secure {
            true => Some(Roots::load(settings.ca.as_deref())?.client(None)?),
            false => None,
        };
        let gateways = settings.proxies.iter().enumerate();
        let gateways = gateways.map(|(at, proxy)| Gateway::new(at, proxy, tls.as_ref()));
        let gateways = gateways.collect::<Result<Vec<_>, _>>()?;
        let order = Mutex::new(Order::new(gateways.len(), settings.return_after));
        Ok(Self(Arc::new(Inner { gateways, order, connect: settings.connect, counters })))
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.0.gateways.len()
    }

    /// Returns the gateway that would be asked first now, without its password.
    pub fn current(&self) -> String {
        let at = self.order().current();
        self.0.gateways.get(at).map_or_else(String::new, |gateway| gateway.label().to_owned())
    }

    /// Opens a tunnel within `limit`; each gateway has its time to connect, or its share of what is left.
    ///
    /// When none gives a tunnel, the error is that of the gateway that was asked first.
    pub async fn tunnel(&self, target: &HostPort, limit: Duration) -> Result<Tunnel, GatewayError> {
        let ends = Instant::now() + limit;
        let plan = self.order().plan(Instant::now().into_std());
        let mut first = None;
        let probes_end = ends.min(Instant::now() + PROBE);
        for (legs, ends, probing) in [(plan.probes, probes_end, true), (plan.legs, ends, false)] {
            let mut untried = u32::try_from(legs.len()).unwrap_or(u32::MAX);
            for at in legs {
                let left = ends.saturating_duration_since(Instant::now());
                let share = (left / untried.max(1)).min(self.0.connect);
                untried = untried.saturating_sub(1);
                match self.try_one(at, target, share).await {
                    Ok(tunnel) => return Ok(tunnel),
                    // A probe is for our own sake: the gateway that serves decides.
                    Err(error) if !probing && error.reason.is_verdict() => return Err(error),
                    Err(error) => first = first.or(Some(error)),
                }
            }
        }
        Err(first.unwrap_or_else(|| GatewayError::silent(target)))
    }

    /// Opens a tunnel through the gateway at this place only, from 0 on: for a look at each of them.
    pub async fn tunnel_through(
        &self,
        at: usize,
        target: &HostPort,
        limit: Duration,
    ) -> Result<Tunnel, GatewayError> {
        self.try_one(at, target, limit.min(self.0.connect)).await
    }

    async fn try_one(&self, at: usize, target: &HostPort, limit: Duration) -> Result<Tunnel, GatewayError> {
        let Some(gateway) = self.0.gateways.get(at) else { return Err(GatewayError::silent(target)) };
        let outcome = gateway.tunnel(target, limit).await;
        let label = outcome.as_ref().map_or_else(GatewayReason::label, |_| "tunnel");
        self.0.counters.gateway_connection(at + 1, label);
        match outcome {
            Ok(tunnel) => {
                self.served(at, gateway);
                Ok(tunnel)
            }
            Err(reason) => Err(self.failed(at, gateway, target, reason)),
        }
    }

    fn served(&self, at: usize, gateway: &Gateway) {
        let news = self.order().served(at, Instant::now().into_std());
        if news.up {
            say(Event::GatewayUp, gateway.label(), "it gives tunnels again");
        }
        if let Some(before) = news.instead_of {
            let before = self.0.gateways.get(before).map_or("another", Gateway::label);
            say(
                Event::GatewayChanged,
                gateway.label(),
                format_args!("it is used from now on instead of {before}"),
            );
        }
    }

    fn failed(&self, at: usize, gateway: &Gateway, target: &HostPort, reason: GatewayReason) -> GatewayError {
        let error = GatewayError { gateway: gateway.label().into(), target: target.clone(), reason };
        if error.reason.is_down() && self.order().down(at) {
            say(
                Event::GatewayDown,
                gateway.label(),
                format_args!("{}; {}", error.reason, error.what_to_change()),
            );
        }
        error
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.0.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
