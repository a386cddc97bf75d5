//! What a tunnel stands on, judged again when another configuration is in force.

use std::net::IpAddr;
use std::net::SocketAddr;

use common::host_port::HostPort;
use tokio::sync::watch;

use super::Live;
use super::Stations;
use crate::config::EndTunnels;
use crate::policy::accounts::Client;
use crate::policy::accounts::Known;
use crate::refusal::Refusal;

/// Who a tunnel is for and where it leads.
pub(super) struct Standing {
    known: Known,
    from: IpAddr,
    target: HostPort,
    /// The address that was dialled, unless a relay chose it.
    pub(super) dialled: Option<SocketAddr>,
    reloads: watch::Receiver<()>,
}

impl Standing {
    /// Begins with a client and its target. `reloads` was taken before the configuration that admits them.
    pub(super) fn new(client: &Client, from: IpAddr, target: HostPort, reloads: watch::Receiver<()>) -> Self {
        Self { known: client.known(), from, target, dialled: None, reloads }
    }

    /// Judges again if another configuration came into force in the meantime: from the moment it does,
    /// nobody gets a 200 by the one before.
    pub(super) fn check(&mut self, stations: &Stations) -> Result<(), Refusal> {
        match self.reloads.has_changed() {
            Ok(true) => {
                self.reloads.mark_unchanged();
                self.judge(&stations.live.load())
            }
            Ok(false) | Err(_) => Ok(()),
        }
    }

    /// Returns once a configuration that ends such tunnels would refuse this one.
    pub(super) async fn is_lost(&mut self, stations: &Stations) {
        while self.reloads.changed().await.is_ok() {
            let live = stations.live.load_full();
            if live.end_tunnels == EndTunnels::Denied && self.judge(&live).is_err() {
                return;
            }
        }
        // No configuration comes any more.
        std::future::pending().await
    }

    fn judge(&self, live: &Live) -> Result<(), Refusal> {
        let client = live.policy.accounts.again(&self.known, self.from)?;
        let permit = client.role().destinations.authorize(&self.target)?;
        match self.dialled {
            Some(address) => live.resolver.vet(&permit, address, &live.policy.addresses).map(drop),
            None => Ok(()),
        }
    }
}
