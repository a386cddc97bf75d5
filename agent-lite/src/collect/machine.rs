//! Facts about the machine the agent runs on.

#[cfg_attr(unix, path = "machine/linux.rs")]
#[cfg_attr(windows, path = "machine/windows.rs")]
mod asked;

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::parse::proc::release::Release;
use crate::record::Timestamp;

/// The UUID of a machine that does not say its own.
pub const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
/// Most private addresses that are told.
const MOST_ADDRESSES: usize = 64;

/// What stays the same as long as the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The host's name, as the kernel has it.
    pub hostname: String,
    /// What the system calls itself.
    pub release: Release,
    /// `x86_64`, `aarch64` …
    pub architecture: &'static str,
    /// The SMBIOS UUID in lower case, [`NO_UUID`] where there is none or only root may read it.
    pub uuid: String,
    /// Whether this is a container.
    pub container: bool,
}

impl Machine {
    /// Asks the machine.
    pub fn ask() -> Self {
        asked::ask()
    }
}

/// Returns the private addresses: those of RFC 1918, and the unique local ones of IPv6 (RFC 4193).
pub fn private_addresses() -> Vec<IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> =
        found.iter().map(if_addrs::Interface::ip).filter(|ip| is_private(*ip)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST_ADDRESSES);
    addresses
}

/// Returns the time now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros().try_into().unwrap_or(i64::MAX))
}

/// Returns a random part of a time, so that many agents that start together do not act together.
pub fn part_of(whole: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness there is no spreading, and nothing worse.
    let _ = getrandom::fill(&mut bytes);
    whole.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX))
}

/// Looks for what Docker, Podman, systemd and Kubernetes leave in their containers.
pub fn is_container(root: &Path) -> bool {
    let marks =
        ["/.dockerenv", "/run/.containerenv", "/run/systemd/container", "/var/run/secrets/kubernetes.io"];
    let is_pod = root.parent().is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    is_pod || marks.iter().any(|mark| root.join(mark.trim_start_matches('/')).exists())
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_private_networks_are_private() {
        let cases = [
            ("10.0.0.4", true),
            ("172.16.9.9", true),
            ("192.168.1.1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("8.8.8.8", false),
            ("fd00::1", true),
            ("fe80::1", false),
            ("::1", false),
        ];
        for (ip, expected) in cases {
            assert_eq!(is_private(ip.parse().unwrap()), expected, "{ip}");
        }
        assert!(private_addresses().into_iter().all(is_private));
    }

    #[test]
    fn a_part_is_within_the_whole() {
        let whole = Duration::from_secs(30);
        let parts: Vec<_> = (0..50).map(|_| part_of(whole)).collect();
        assert!(parts.iter().all(|part| *part <= whole));
        assert!(parts.iter().any(|part| *part != parts[0]), "no randomness");
    }
}
