//! What of the configuration can change while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::EndTunnels;
use crate::config::Tunnel;
use crate::dial::relay::Relays;
use crate::dial::resolve::Resolver;
use crate::policy::Policy;
use crate::policy::relays::RelaySettings;

/// One configuration in force. A request takes one snapshot of it and keeps it until its answer; a
/// reload puts another one in its place as a whole.
///
/// What a tunnel needs of it after the answer it holds by parts, so that a tunnel that goes on for days
/// does not keep the users of its first day in memory.
pub struct Live {
    /// Who may do what.
    pub policy: Policy,
    /// Names to addresses.
    pub resolver: Arc<Resolver>,
    /// Upstream proxies, if there are any.
    pub relays: Option<Arc<Relays>>,
    /// Which hosts go past them.
    pub relay_settings: RelaySettings,
    /// Deadlines and checks of a tunnel; an open one keeps those it began with.
    pub tunnel: Arc<Tunnel>,
    /// How long a client may take to send its request head.
    pub head_timeout: Duration,
    /// Networks that the admin listener answers, beside loopback.
    pub admin_from: Vec<IpNet>,
    /// Which open tunnels end when this comes into force.
    pub end_tunnels: EndTunnels,
}
