//! The address policy as a packet filter can keep it: ranges in an order, of which the first that matches
//! decides.
//!
//! The same verdicts as `Addresses::vet`, on the same table, with IPv4 ranges also in the form that NAT64 gives
//! them. What depends on more than an address (the gateway's own listeners) is not in it.

use std::net::Ipv6Addr;

use ipnet::IpNet;
use ipnet::Ipv4Net;
use ipnet::Ipv6Net;

use super::addresses::GLOBAL_UNICAST;
use super::addresses::PLATFORM;
use super::addresses::V4;
use super::addresses::V6;
use super::addresses::embedded_in_nat64;

const PLATFORM_NAME: &str = "cloud platform or metadata address";
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// What becomes of a connection to one of some ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be made.
    pub verdict: Verdict,
    /// Where it comes from, for a reader.
    pub origin: &'static str,
    /// The ranges, each with a name; never none.
    pub ranges: Vec<(IpNet, &'static str)>,
}

/// Whether a connection may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Pass,
    /// It may not.
    Refuse,
}

/// Returns the decisions for every address there is, the first that matches counts. `allow` is `[addresses] allow`.
pub fn decisions(allow: &[IpNet]) -> Vec<Decision> {
    let listed = PLATFORM.map(IpNet::from).into_iter().filter(|alone| allow.contains(alone)).collect();
    let allow = IpNet::aggregate(&allow.to_vec());
    let v4 = allow.iter().filter(|net| matches!(net, IpNet::V4(_))).copied();
    let v6 = allow.iter().filter(|net| matches!(net, IpNet::V6(_))).copied();
    let allowed = |nets: Vec<IpNet>| decision(Verdict::Pass, "[addresses] allow", named(nets, ""));
    let forbidden = |ranges| decision(Verdict::Refuse, "never dialled", ranges);
    let global = |net: IpNet, name| decision(Verdict::Pass, "global unicast", vec![(net, name)]);
    let everything_else = IpNet::V6(Ipv6Net::default());
    [
        allowed(in_both_forms(listed)),
        forbidden(named(in_both_forms(PLATFORM.map(IpNet::from).to_vec()), PLATFORM_NAME)),
        allowed(in_both_forms(v4.collect())),
        forbidden(
            V4.iter().flat_map(|(net, name)| named(in_both_forms(vec![IpNet::V4(*net)]), name)).collect(),
        ),
        global(IpNet::V4(Ipv4Net::default()), "everything else of IPv4"),
        global(IpNet::V6(NAT64), "everything else behind NAT64"),
        forbidden(vec![(IpNet::V6(MAPPED), "IPv4-mapped")]),
        allowed(v6.collect()),
        forbidden(V6.iter().map(|(net, name)| (IpNet::V6(*net), *name)).collect()),
        global(IpNet::V6(GLOBAL_UNICAST), "everything else of IPv6"),
        forbidden(vec![(everything_else, "not global unicast")]),
    ]
    .into_iter()
    .filter(|decision| !decision.ranges.is_empty())
    .collect()
}

fn decision(verdict: Verdict, origin: &'static str, ranges: Vec<(IpNet, &'static str)>) -> Decision {
    Decision { verdict, origin, ranges }
}

fn named(nets: Vec<IpNet>, name: &'static str) -> Vec<(IpNet, &'static str)> {
    nets.into_iter().map(|net| (net, name)).collect()
}

/// Adds what NAT64 makes of each IPv4 range.
fn in_both_forms(nets: Vec<IpNet>) -> Vec<IpNet> {
    let forms = |net: IpNet| match net {
        IpNet::V4(v4) => vec![net, IpNet::V6(embedded_in_nat64(v4))],
        IpNet::V6(_) => vec![net],
    };
    nets.into_iter().flat_map(forms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::net::Ipv4Addr;
    use std::net::SocketAddr;

    use crate::policy::addresses::Addresses;
    use proptest::prelude::*;

    fn passes(decisions: &[Decision], ip: IpAddr) -> bool {
        let of = |decision: &&Decision| decision.ranges.iter().any(|(net, _)| net.contains(&ip));
        decisions.iter().find(of).expect("a decision for every address").verdict == Verdict::Pass
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a range")
    }

    #[test]
    fn an_address_passes_if_and_only_if_the_gateway_would_dial_it() {
        let lists: [&[&str]; 7] = [
            &[],
            &["10.1.0.0/16", "fd12::/16"],
            &["0.0.0.0/0", "::/0"],
            &["168.63.129.16/32", "169.254.0.0/16"],
            &["168.63.129.16/32", "168.63.0.0/16"],
            &["fd00:ec2::254/128", "64:ff9b::/96"],
            &["10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/16", "::ffff:0:0/96"],
        ];
        let addresses = [
            "10.1.2.3",
            "10.2.0.1",
            "20.42.65.90",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.1.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd12::5",
            "fd00:ec2::254",
            "2603:1030::1",
            "2001:db8::1",
            "2002::1",
            "64:ff9b::a01:203",
            "64:ff9b::a02:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::142a:415a",
            "64:ff9b:1::1",
            "::ffff:10.1.2.3",
            "::ffff:20.42.65.90",
            "3fff::1",
            "ff02::1",
        ];
        for allow in lists {
            let allow: Vec<IpNet> = allow.iter().map(|text| net(text)).collect();
            for ip in addresses.map(|text| text.parse::<IpAddr>().expect("an address")) {
                let dialled = Addresses::new(allow.clone()).vet(SocketAddr::new(ip, 443)).is_ok();
                assert_eq!(passes(&decisions(&allow), ip), dialled, "{ip}, {allow:?}");
            }
        }
    }

    #[test]
    fn no_decision_has_two_ranges_that_overlap() {
        // A set of nftables does not take them.
        let allow = ["10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/16", "fd00::/8", "fd12::/16"].map(net);
        for decision in decisions(&allow) {
            for (at, (one, _)) in decision.ranges.iter().enumerate() {
                let mut others = decision.ranges.iter().skip(at + 1);
                assert!(others.all(|(other, _)| !one.contains(other) && !other.contains(one)), "{one}");
            }
        }
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
        let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits)));
        let global = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits >> 3 | 1 << 125)));
        let nat64 =
            any::<u32>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(0x64_ff9b_u128 << 96 | u128::from(bits))));
        prop_oneof![v4, v6, global, nat64]
    }

    fn any_range() -> impl Strategy<Value = IpNet> {
        (any_address(), 0_u8..=128).prop_map(|(ip, length)| {
            let most = IpNet::from(ip).max_prefix_len();
            IpNet::new(ip, length.min(most)).expect("a length").trunc()
        })
    }

    proptest! {
        #[test]
        fn any_address_passes_if_and_only_if_the_gateway_would_dial_it(
            allow in proptest::collection::vec(any_range(), 0..4), ip in any_address()
        ) {
            let dialled = Addresses::new(allow.clone()).vet(SocketAddr::new(ip, 443)).is_ok();
            prop_assert_eq!(passes(&decisions(&allow), ip), dialled);
        }
    }
}
