//! Which addresses may be dialled: global unicast ones, and what the operator adds.
//!
//! A name is allowed by its text; where it leads is judged here, after the look-up, on the very
//! address that is then dialled. Everything but global unicast is refused unless `[addresses] allow`
//! covers it. Forms that embed an IPv4 address are not trusted to hide one: NAT64 (RFC 6052) is
//! decoded and judged, all others are refused.
//!
//! Source: the IANA special-purpose address registries; 168.63.129.16 and 169.254.169.254 are
//! Azure's platform and metadata addresses, fd00:ec2::254 is another cloud's.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use ipnet::IpNet;
use ipnet::Ipv4Net;
use ipnet::Ipv6Net;

use super::destinations::HTTPS;
use crate::refusal::Refusal;

/// An address the gateway may dial. Only [`Addresses::vet`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vetted(SocketAddr);

impl Vetted {
    /// Returns the address and port to dial.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

/// The address policy.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    allow: Vec<IpNet>,
    own: Vec<SocketAddr>,
}

impl Addresses {
    /// Makes the policy: `allow` are ranges that are dialled although they are not global.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow, own: Vec::new() }
    }

    /// Adds the addresses and ports at which this gateway itself listens, 0.0.0.0 and :: included: they are
    /// never dialled.
    pub fn with_own(mut self, own: Vec<SocketAddr>) -> Self {
        self.own = own;
        self
    }

    /// Says whether these are the gateway's own addresses.
    pub fn is_with_own(&self, own: &[SocketAddr]) -> bool {
        self.own == own
    }

    /// Vets every address of an answer. One forbidden address refuses the whole answer: a name
    /// that mixes public and inside addresses is misconfigured or hostile.
    pub fn vet_all(&self, found: &[SocketAddr]) -> Result<Vec<Vetted>, Refusal> {
        found.iter().map(|&address| self.vet(address)).collect()
    }

    /// Says whether the gateway itself listens there. A listener on all interfaces is at every loopback
    /// address, too, and those are not listed one by one.
    fn is_own(&self, found: SocketAddr) -> bool {
        let everywhere = |own: &SocketAddr| own.ip().is_unspecified() && own.port() == found.port();
        self.own.contains(&found) || (found.ip().is_loopback() && self.own.iter().any(everywhere))
    }

    /// Returns a relay's address as one that may be dialled. The operator named the relay, so it may be
    /// anywhere but at the gateway's own listeners.
    pub fn vet_relay(&self, found: SocketAddr) -> Result<Vetted, Refusal> {
        match self.is_own(found) {
            true => Err(Refusal::SelfConnection { address: found.ip() }),
            false => Ok(Vetted(found)),
        }
    }

    /// Returns the address as one that may be dialled for a name that no rule lists. What `[addresses] allow`
    /// opens it opens for the names that the operator listed, and these may be anybody's.
    pub fn vet_unlisted(&self, found: SocketAddr) -> Result<Vetted, Refusal> {
        match found.port() {
            HTTPS => self.vet_with(&[], found),
            _ => Err(Refusal::PortDenied),
        }
    }

    /// Returns the address as one that may be dialled, or says which range forbids it.
    pub fn vet(&self, found: SocketAddr) -> Result<Vetted, Refusal> {
        self.vet_with(&self.allow, found)
    }

    fn vet_with(&self, allow: &[IpNet], found: SocketAddr) -> Result<Vetted, Refusal> {
        let address = found.ip();
        if self.is_own(found) {
            return Err(Refusal::SelfConnection { address });
        }
        // The system dials the IPv4 address inside, so no range of IPv6 addresses may allow one.
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(Refusal::AddressForbidden { address, range: "IPv4-mapped" });
        }
        let judged = embedded_by_nat64(address).map_or(address, IpAddr::V4);
        let allowed = allow.iter().any(|net| net.contains(&judged) && is_specific(*net, judged));
        match forbidden_range(judged) {
            Some(range) if !allowed => Err(Refusal::AddressForbidden { address, range }),
            _ => Ok(Vetted(found)),
        }
    }
}

/// Addresses where a cloud hands secrets to its machines. A range does not allow them; they must be listed alone.
pub(super) const PLATFORM: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
];

fn is_specific(net: IpNet, address: IpAddr) -> bool {
    !PLATFORM.contains(&address) || net.prefix_len() == net.max_prefix_len()
}

/// Returns the IPv4 address in one of NAT64's well-known prefix, 64:ff9b::/96 (RFC 6052 section 2.1).
fn embedded_by_nat64(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

/// Returns what NAT64 makes of an IPv4 range.
pub(super) fn embedded_in_nat64(net: Ipv4Net) -> Ipv6Net {
    let [high, low] =
        [net.network().to_bits() >> 16, net.network().to_bits() & 0xffff].map(|half| half as u16);
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low), 96 + net.prefix_len())
}

fn forbidden_range(address: IpAddr) -> Option<&'static str> {
    if PLATFORM.contains(&address) {
        return Some("cloud platform or metadata address");
    }
    match address {
        IpAddr::V4(v4) => V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, name)| *name),
        IpAddr::V6(v6) if !GLOBAL_UNICAST.contains(&v6) => Some("not global unicast"),
        IpAddr::V6(v6) => V6.iter().find(|(net, _)| net.contains(&v6)).map(|(_, name)| *name),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

pub(super) const V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared address space"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

pub(super) const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 3);

pub(super) const V6: [(Ipv6Net, &str); 4] = [
    (v6(0x2001, 0, 23), "protocol assignments (Teredo, ORCHID)"),
    (v6(0x2001, 0x0db8, 32), "documentation"),
    (v6(0x2002, 0, 16), "6to4"),
    (v6(0x3fff, 0, 20), "documentation"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), 443)
    }

    #[test]
    fn d02_d03_d04_every_address_that_is_not_global_unicast_is_refused() {
        let forbidden = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.192",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:20.42.65.90",
            "::10.0.0.1",
            "2002:0a00:0001::1",
            "2001:0:102:304::1",
            "64:ff9b::a00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
            "5f00::1",
            "3fff::1",
            "fec0::1",
        ];
        for ip in forbidden {
            let verdict = Addresses::default().vet(at(ip));
            assert!(matches!(verdict, Err(Refusal::AddressForbidden { .. })), "{ip}: {verdict:?}");
        }
    }

    #[test]
    fn public_addresses_pass_and_so_do_public_ones_behind_nat64() {
        for ip in ["20.42.65.90", "172.32.0.1", "100.128.0.1", "2603:1030::1", "64:ff9b::142a:415a"] {
            assert_eq!(Addresses::default().vet(at(ip)).map(Vetted::address), Ok(at(ip)), "{ip}");
        }
    }

    #[test]
    fn private_addresses_are_refused_unless_allowed() {
        let allow = vec!["10.1.0.0/16".parse().expect("a range"), "fd12::/16".parse().expect("a range")];
        let addresses = Addresses::new(allow);
        for (ip, dialled) in
            [("10.1.2.3", true), ("10.2.0.1", false), ("fd12::5", true), ("64:ff9b::a01:203", true)]
        {
            assert_eq!(addresses.vet(at(ip)).is_ok(), dialled, "{ip}");
        }
    }

    #[test]
    fn for_a_name_that_no_rule_lists_nothing_is_allowed_beside_global_addresses_at_port_443() {
        let allow = ["10.1.0.0/16", "168.63.129.16/32"].map(|range| range.parse().expect("a range"));
        let addresses = Addresses::new(allow.to_vec()).with_own(vec![at("20.0.0.7")]);
        for (ip, listed, unlisted) in [
            ("20.42.65.90", true, true),
            ("10.1.2.3", true, false),
            ("64:ff9b::a01:203", true, false),
            ("168.63.129.16", true, false),
            ("20.0.0.7", false, false),
        ] {
            let verdicts = (addresses.vet(at(ip)).is_ok(), addresses.vet_unlisted(at(ip)).is_ok());
            assert_eq!(verdicts, (listed, unlisted), "{ip}");
        }
        let other_port = "20.42.65.90:8443".parse().expect("an address");
        assert!(addresses.vet(other_port).is_ok());
        assert_eq!(addresses.vet_unlisted(other_port), Err(Refusal::PortDenied));
    }

    #[test]
    fn a_platform_address_is_allowed_only_when_it_is_listed_alone() {
        for ip in PLATFORM {
            let everything = vec!["0.0.0.0/0".parse().expect("a range"), "::/0".parse().expect("a range")];
            let found = SocketAddr::new(ip, 443);
            if let IpAddr::V4(v4) = ip {
                let mapped = SocketAddr::new(v4.to_ipv6_mapped().into(), 443);
                assert!(Addresses::new(everything.clone()).vet(mapped).is_err(), "{mapped}");
            }
            assert!(Addresses::new(everything).vet(found).is_err(), "{ip}");
            assert!(Addresses::new(vec![IpNet::from(ip)]).vet(found).is_ok(), "{ip}");
        }
    }

    #[test]
    fn d05_one_forbidden_address_refuses_the_whole_answer() {
        let answer = [at("20.42.65.90"), at("10.0.0.7")];
        let refused = Refusal::AddressForbidden { address: answer[1].ip(), range: "private" };
        assert_eq!(Addresses::default().vet_all(&answer), Err(refused));
        assert_eq!(Addresses::default().vet_all(&answer[..1]).map(|vetted| vetted.len()), Ok(1));
    }

    #[test]
    fn d09_the_gateways_own_listener_is_never_dialled_even_when_its_range_is_allowed() {
        let addresses =
            Addresses::new(vec!["10.0.0.0/8".parse().expect("a range")]).with_own(vec![at("10.0.0.5")]);
        assert_eq!(
            addresses.vet(at("10.0.0.5")),
            Err(Refusal::SelfConnection { address: at("10.0.0.5").ip() })
        );
        assert!(addresses.vet(at("10.0.0.6")).is_ok());
        let everywhere =
            Addresses::new(vec!["127.0.0.0/8".parse().expect("a range")]).with_own(vec![at("0.0.0.0")]);
        assert!(everywhere.vet(at("127.0.0.2")).is_err() && everywhere.vet_relay(at("127.0.0.2")).is_err());
    }
}
