//! What of the configuration can change while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use common::host_port::HostName;
use ipnet::IpNet;

use crate::config::EndTunnels;
use crate::config::Open;
use crate::config::Tunnel;
use crate::dial::relay::Relays;
use crate::dial::resolve::Resolver;
use crate::listen::tls::Identity;
use crate::policy::Policy;
use crate::policy::accounts::Accounts;
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
    /// Who may read the admin listener.
    pub admin: AdminAccess,
    /// Which open tunnels end when this comes into force.
    pub end_tunnels: EndTunnels,
}

/// Who may read the admin listener, and over what.
#[derive(Default)]
pub struct AdminAccess {
    /// The configuration has no admin listener. One that is bound already answers nobody until it is closed.
    pub shut: bool,
    /// Networks that it answers, beside loopback.
    pub from: Vec<IpNet>,
    /// Names in a `Host` field that are its own.
    pub names: Vec<HostName>,
    /// What it shows without credentials.
    pub open: Vec<Open>,
    /// Who may read the rest; `None` where nobody is asked who he is.
    pub accounts: Option<Accounts>,
    /// Its TLS identity; plain HTTP without one.
    pub tls: Option<Arc<Identity>>,
}
