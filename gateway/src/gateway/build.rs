//! From a configuration to what is in force, with what still holds of the one before.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use super::relays;
use crate::config::Config;
use crate::connect::Live;
use crate::dial::relay::Relays;
use crate::dial::resolve::Resolver;
use crate::policy::Policy;
use crate::policy::addresses::Addresses;
use crate::policy::passwords::Verified;
use crate::policy::via::Via;

/// The parts of a configuration in force that can fail, because they read files of their own.
pub(super) struct Parts {
    pub(super) resolver: Arc<Resolver>,
    relays: Option<Arc<Relays>>,
}

impl Parts {
    /// Sets them up anew.
    pub(super) fn new(config: &Config, via: Via) -> Result<Self, StartError> {
        let resolver = Arc::new(Resolver::new(&config.dns)?);
        let relays = relays(config, via)?.map(Arc::new);
        Ok(Self { resolver, relays })
    }

    /// Keeps of `before` what is the same: the answers of name servers, and what is known of the relays'
    /// health unless the file with their authorities changed.
    pub(super) fn renewed(
        config: &Config,
        before: &Live,
        same_authorities: bool,
        via: Via,
    ) -> Result<Self, StartError> {
        let resolver = before.resolver.renewed(&config.dns)?;
        let relays = match same_authorities && config.relay == before.relay_settings {
            true => before.relays.clone(),
            false => relays(config, via)?.map(Arc::new),
        };
        Ok(Self { resolver, relays })
    }

    /// Puts the whole together. `own` are the addresses that are never dialled.
    pub(super) fn live(self, config: &Config, own: Vec<SocketAddr>, verified: Arc<Verified>) -> Live {
        Live {
            policy: Policy {
                accounts: config.roles.accounts(verified),
                addresses: Addresses::new(config.allow.clone()).with_own(own),
            },
            resolver: self.resolver,
            relays: self.relays,
            relay_settings: config.relay.clone(),
            tunnel: Arc::new(config.tunnel.clone()),
            head_timeout: config.head_timeout,
            admin_from: config.admin.as_ref().map(|admin| admin.from.clone()).unwrap_or_default(),
            end_tunnels: config.reload.end_tunnels,
        }
    }
}
