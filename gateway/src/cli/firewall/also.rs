//! `--also`: what the operator lets a machine reach beside the gateway's business.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::table::Protocol;

/// A protocol, the addresses and the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Also {
    pub(super) protocol: Protocol,
    pub(super) net: IpNet,
    pub(super) port: u16,
}

impl FromStr for Also {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or("write `tcp/` or `udp/`, an address or a range, and a port, as in `udp/10.0.0.1:123` or `tcp/[fd00::/64]:6514`")
    }
}

fn parse(text: &str) -> Option<Also> {
    let (protocol, rest) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (net, port) = rest.rsplit_once(':')?;
    let (net, is_v6) = match net.strip_prefix('[') {
        Some(inner) => (inner.strip_suffix(']')?, true),
        None => (net, false),
    };
    let net = net.parse::<IpAddr>().map(IpNet::from).or_else(|_| net.parse::<IpNet>()).ok()?.trunc();
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (matches!(net, IpNet::V6(_)) == is_v6).then_some(Also { protocol, net, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_range_with_its_port_is_read_and_nothing_else_is() {
        for (text, net, port) in [
            ("udp/10.0.0.1:123", "10.0.0.1/32", 123),
            ("tcp/10.0.9.7/24:6514", "10.0.9.0/24", 6514),
            ("tcp/[fd00::1]:22", "fd00::1/128", 22),
            ("udp/[fd00::/64]:123", "fd00::/64", 123),
        ] {
            let also: Also = text.parse().expect(text);
            assert_eq!((also.net.to_string().as_str(), also.port), (net, port));
        }
        for text in [
            "",
            "10.0.0.1:123",
            "icmp/10.0.0.1:1",
            "tcp/10.0.0.1",
            "tcp/10.0.0.1:0",
            "tcp/10.0.0.1:65536",
            "tcp/fd00::1:22",
            "tcp/[10.0.0.1]:22",
            "tcp/ntp.example:123",
            "tcp/10.0.0.1/33:1",
            "tcp/10.0.0.1:1 accept",
        ] {
            assert!(text.parse::<Also>().is_err(), "{text}");
        }
    }
}
