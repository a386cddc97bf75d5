//! From a configuration to what is in force, with what still holds of the one before.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use super::relays;
use crate::config::Config;
use crate::connect::AdminAccess;
use crate::connect::Live;
use crate::dial::relay::Relays;
use crate::dial::resolve::Resolver;
use crate::listen::tls::Identity;
use crate::policy::Policy;
use crate::policy::addresses::Addresses;
use crate::policy::passwords::Verified;
use crate::policy::via::Via;

/// The parts of a configuration in force that can fail, because they read files of their own.
pub(super) struct Parts {
    pub(super) resolver: Arc<Resolver>,
    relays: Option<Arc<Relays>>,
    admin_tls: Option<Arc<Identity>>,
}

impl Parts {
    /// Sets them up anew.
    pub(super) fn new(config: &Config, via: Via) -> Result<Self, StartError> {
        let resolver = Arc::new(Resolver::new(&config.dns)?);
        let relays = relays(config, via)?.map(Arc::new);
        Ok(Self { resolver, relays, admin_tls: admin_tls(config, None)? })
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
        Ok(Self { resolver, relays, admin_tls: admin_tls(config, before.admin.tls.as_ref())? })
    }

    /// Puts the whole together. `own` are the addresses that are never dialled.
    pub(super) fn live(self, config: &Config, own: Vec<SocketAddr>, verified: Arc<Verified>) -> Live {
        let admin = config.admin.as_ref().map(|admin| AdminAccess {
            shut: false,
            from: admin.from.clone(),
            names: admin.names.clone(),
            open: admin.open.clone(),
            accounts: admin.accounts(Arc::clone(&verified)),
            tls: self.admin_tls,
        });
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
            admin: admin.unwrap_or_else(|| AdminAccess { shut: true, ..AdminAccess::default() }),
            end_tunnels: config.reload.end_tunnels,
        }
    }
}

/// Reads the admin listener's TLS identity, unless the one before has the same settings.
fn admin_tls(config: &Config, before: Option<&Arc<Identity>>) -> Result<Option<Arc<Identity>>, StartError> {
    let Some(tls) = config.admin.as_ref().and_then(|admin| admin.tls.as_ref()) else { return Ok(None) };
    let kept = before.filter(|before| before.settings() == tls);
    Ok(Some(match kept {
        Some(kept) => Arc::clone(kept),
        None => Arc::new(Identity::load(tls)?),
    }))
}
