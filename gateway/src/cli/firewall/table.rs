//! The words of nftables: sets, rules, and the frame that is the same for every host.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;

use super::also::Also;
use super::printable;

/// The table of everything here.
pub(super) const TABLE: &str = "la_gateway";
/// How a dropped packet's record is kept from filling the log.
const LOG: &str = "limit rate 10/minute burst 20 packets log level info";
/// Without these there is no IPv6 neighbour (RFC 4861), and no multicast to find one by (RFC 3810).
const NEIGHBOURS_IN: &str =
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query } accept";
const NEIGHBOURS_OUT: &str = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } accept";

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Lines in the making.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    depth: usize,
}

impl Lines {
    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) {
        if !line.is_empty() {
            (0..self.depth).for_each(|_| self.text.push('\t'));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes a comment; what an operator wrote stays in its line.
    pub(super) fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", text.replace(char::is_control, "?")));
    }

    /// Writes a block.
    pub(super) fn block(&mut self, head: &str, inner: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line("}");
    }

    /// Writes a base chain that lets nothing through that its rules do not accept.
    pub(super) fn base_chain(&mut self, hook: &str, inner: impl FnOnce(&mut Self)) {
        self.block(&format!("chain {hook}"), |lines| {
            lines.line(&format!("type filter hook {hook} priority filter; policy drop;"));
            match hook {
                "input" => lines.opening("iif", NEIGHBOURS_IN),
                "output" => lines.opening("oif", NEIGHBOURS_OUT),
                _ => {}
            }
            inner(lines);
            lines.drop(hook);
        });
        self.line("");
    }

    fn opening(&mut self, interface: &str, neighbours: &str) {
        self.line(&format!("{interface} \"lo\" accept"));
        self.line(neighbours);
        self.line("ct state established,related accept");
    }

    /// Logs, counts and drops what is left.
    pub(super) fn drop(&mut self, name: &str) {
        self.line(&format!("{LOG} prefix \"la-gateway {name}: \""));
        self.line(&format!("counter name dropped_{name} drop"));
    }

    /// Accepts a protocol's port at addresses.
    pub(super) fn accept(&mut self, nets: &[IpNet], direction: &str, protocol: Protocol, port: u16) {
        for set in sets(nets, direction) {
            self.line(&format!("{set}{protocol} dport {port} accept"));
        }
    }

    /// Accepts what `--also` names.
    pub(super) fn also(&mut self, also: &[Also]) {
        for Also { protocol, net, port } in also {
            self.comment(&format!("--also {protocol}/{net}:{port}"));
            self.accept(&[*net], "daddr", *protocol, *port);
        }
    }

    /// Reads the operator's own rules of a chain.
    pub(super) fn own_rules(&mut self, folder: &Path, chain: &str) {
        self.comment(&format!(
            "Your own rules of this chain: one a line, as in `tcp dport 9100 ip {} 10.0.9.0/24 accept`",
            if chain == "input" { "saddr" } else { "daddr" }
        ));
        self.line(&format!("include \"{}/{chain}/*.nft\"", printable(folder)));
    }
}

/// Returns a whole file: the table is there only once, and changes at one stroke.
pub(super) fn file(head: &[String], counters: &[&str], inner: impl FnOnce(&mut Lines)) -> String {
    let mut lines = Lines::default();
    lines.line("#!/usr/sbin/nft -f");
    head.iter().for_each(|text| lines.comment(text));
    lines.line("");
    lines.comment("What was there of an earlier load goes, in the same transaction.");
    lines.line(&format!("table inet {TABLE}"));
    lines.line(&format!("delete table inet {TABLE}"));
    lines.line("");
    lines.block(&format!("table inet {TABLE}"), |lines| {
        counters.iter().for_each(|name| lines.line(&format!("counter dropped_{name} {{ }}")));
        lines.line("");
        inner(lines);
    });
    lines.text
}

/// Returns what a rule for these addresses begins with, one a family; ranges that overlap become one.
pub(super) fn sets(nets: &[IpNet], direction: &str) -> Vec<String> {
    let nets = IpNet::aggregate(&nets.to_vec());
    let of = |family: &str, is: fn(&IpNet) -> bool| {
        let elements: Vec<String> = nets.iter().filter(|net| is(net)).map(|net| element(*net)).collect();
        match elements.as_slice() {
            [] => None,
            [everything] if everything.ends_with("/0") => {
                Some(format!("meta nfproto {} ", if family == "ip" { "ipv4" } else { "ipv6" }))
            }
            _ => Some(format!("{family} {direction} {{ {} }} ", elements.join(", "))),
        }
    };
    let v4 = of("ip", |net| matches!(net, IpNet::V4(_)));
    let v6 = of("ip6", |net| matches!(net, IpNet::V6(_)));
    v4.into_iter().chain(v6).collect()
}

/// Returns a range as an element of a set; a single address without its length.
pub(super) fn element(net: IpNet) -> String {
    // The form with an IPv4 address at the end is none that nft reads.
    let address = match net.network() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(_) => {
                let words: Vec<String> = v6.segments().iter().map(|word| format!("{word:x}")).collect();
                words.join(":")
            }
            None => v6.to_string(),
        },
    };
    match net.prefix_len() == net.max_prefix_len() {
        true => address,
        false => format!("{address}/{}", net.prefix_len()),
    }
}

/// Returns what a rule for an own address begins with; none for every address of both families.
pub(super) fn at(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "meta nfproto ipv4 ".to_owned(),
        // Such a socket takes IPv4, too.
        IpAddr::V6(ip) if ip.is_unspecified() => String::new(),
        IpAddr::V4(ip) => format!("ip daddr {ip} "),
        IpAddr::V6(ip) => format!("ip6 daddr {ip} "),
    }
}
