//! How host names become addresses: the settings, as plain values.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use common::host_port::HostName;

/// Where and how long names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Name servers in order of preference; none means those of the system's `resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Names with fixed answers; they are never asked for anywhere else.
    pub hosts: BTreeMap<HostName, Vec<FixedAddress>>,
    /// How long an answer is used after its end when the name servers fail.
    pub stale_for: Duration,
    /// Longest wait for the answers to one name.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts: BTreeMap::new(),
            stale_for: Duration::ZERO,
            timeout: Duration::from_secs(5),
        }
    }
}

/// One fixed answer for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedAddress {
    /// The address.
    pub ip: IpAddr,
    /// The port to dial in place of the target's.
    pub port: Option<u16>,
}
