//! The gateway's host: agents come in at the listeners; the gateway's user gets out to name servers and to the
//! addresses that it may dial; nothing passes through.

use std::net::IpAddr;
use std::net::SocketAddr;

use anyhow::bail;
use common::proxy_url::Host;
use ipnet::IpNet;
use la_gateway::config::Config;
use la_gateway::config::Listener;
use la_gateway::policy::addresses::Addresses;
use la_gateway::policy::destinations::HTTPS;
use la_gateway::policy::filter::Decision;
use la_gateway::policy::filter::Verdict;
use la_gateway::policy::filter::decisions;

use super::Arguments;
use super::Owner;
use super::printable;
use super::table;
use super::table::Lines;
use super::table::Protocol;
use super::table::sets;

/// The rules in the making.
pub(super) struct Dmz<'a> {
    pub(super) config: &'a Config,
    pub(super) what: &'a Arguments,
    /// The name servers that are asked.
    pub(super) servers: Vec<SocketAddr>,
}

/// From where clients come to a listener.
enum Sources {
    Anywhere,
    Nets(Vec<IpNet>),
}

impl Dmz<'_> {
    /// Returns the rules.
    pub(super) fn rules(&self) -> anyhow::Result<String> {
        for listener in &self.config.listeners {
            if listener.address.port() == 0 && !listener.address.ip().is_loopback() {
                bail!(
                    "the system chooses the port of the listener at {}, so no rule can name it; write one",
                    listener.address
                );
            }
        }
        let file = self.config.file.as_deref();
        let from = file.map_or_else(|| "the built-in default".to_owned(), printable);
        let head = [
            format!("Rules of the gateway's host, made by `la-gateway firewall nft` of {from}."),
            "Make them anew when the configuration has changed; your own rules stand in files of their own."
                .to_owned(),
        ];
        let counters = ["input", "forward", "output", "address"];
        Ok(table::file(&head, &counters, |lines| {
            lines.base_chain("input", |lines| self.input(lines));
            lines.comment("Nothing goes past the gateway, whatever net.ipv4.ip_forward says.");
            lines.base_chain("forward", |_| {});
            lines.base_chain("output", |lines| self.output(lines));
            self.gateway(lines);
            if self.dials_anywhere() {
                lines.line("");
                self.destinations(lines);
            }
        }))
    }

    /// Says what the rules shut, or leave open, that an operator should know of.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.what.ssh_from.is_empty() {
            warnings.push("no --ssh-from NET: these rules shut ssh out of this host".to_owned());
        }
        for server in self.servers.iter().filter(|server| server.ip().is_loopback()) {
            warnings.push(format!(
                "the name server {server} is on this host itself, and what it asks is not known here; add those with --name-server IP"
            ));
        }
        let named = self.config.relay.proxies.iter().filter(|relay| matches!(relay.host(), Host::Name(_)));
        warnings.extend(named.map(|relay| {
            format!("relay {relay} is written by name: its port is open to every address; write its address to narrow that")
        }));
        let is_open = |listener: &Listener| {
            !listener.address.ip().is_loopback() && matches!(self.sources(listener).0, Sources::Anywhere)
        };
        if self.config.listeners.iter().any(is_open) {
            warnings.push(
                "clients with a password or a certificate may come from anywhere; narrow that with --agents-from NET"
                    .to_owned(),
            );
        }
        warnings
    }

    fn input(&self, lines: &mut Lines) {
        lines.line("ct state invalid counter name dropped_input drop");
        if !self.what.ssh_from.is_empty() {
            lines.comment("--ssh-from");
            lines.accept(&self.what.ssh_from, "saddr", Protocol::Tcp, self.what.ssh_port);
        }
        for listener in &self.config.listeners {
            let (sources, origin) = self.sources(listener);
            lines.comment(&format!("[[listener]] address = \"{}\", {origin}", listener.address));
            let_in(lines, listener.address, &sources);
        }
        match &self.config.admin {
            Some(admin) => {
                lines.comment(&format!("[admin] address = \"{}\", from", admin.address));
                let_in(lines, admin.address, &Sources::Nets(admin.from.clone()));
            }
            None => lines.comment("[admin] address = \"off\""),
        }
        lines.own_rules(&self.what.own_rules, "input");
    }

    /// Returns from where clients may come to a listener, and which lines say so.
    fn sources(&self, listener: &Listener) -> (Sources, String) {
        let balancers = listener.proxy_protocol.as_ref();
        if let Some(proxy) = balancers.filter(|proxy| proxy.required) {
            return (Sources::Nets(proxy.trusted.clone()), "proxy_protocol = { trusted }".to_owned());
        }
        let mut nets: Vec<IpNet> = balancers.map(|proxy| proxy.trusted.clone()).unwrap_or_default();
        let mut origins: Vec<String> =
            nets.first().map(|_| "proxy_protocol".to_owned()).into_iter().collect();
        let mut are_known = true;
        for role in &self.config.roles.all {
            let known = role.anonymous_from.iter().filter(|net| !net.addr().is_loopback());
            nets.extend(known);
            origins.push(format!("[role.{}] anonymous_from", role.role.name));
            are_known &= role.users == 0 && role.users_file.is_none() && role.certificates == 0;
        }
        if are_known {
            return (Sources::Nets(nets), origins.join(", "));
        }
        if self.what.agents_from.is_empty() {
            return (Sources::Anywhere, "users and certificates may come from anywhere".to_owned());
        }
        nets.extend(&self.what.agents_from);
        origins.push("--agents-from".to_owned());
        (Sources::Nets(nets), origins.join(", "))
    }

    fn output(&self, lines: &mut Lines) {
        let origin = match (self.what.name_server.is_empty(), self.config.dns.servers.is_empty()) {
            (false, _) => "--name-server",
            (true, false) => "[dns] servers",
            (true, true) => "[dns] servers is not there: those of /etc/resolv.conf, as of now",
        };
        lines.comment(&format!("{origin}; open to every process"));
        for server in &self.servers {
            if server.ip().is_loopback() {
                lines.comment(&format!("{server} is on this host"));
                continue;
            }
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                lines.accept(&[IpNet::from(server.ip())], "daddr", protocol, server.port());
            }
        }
        lines.also(&self.what.also);
        lines.own_rules(&self.what.own_rules, "output");
        match &self.what.user {
            Owner::Any => lines.line("jump gateway"),
            Owner::User(user) if user.bytes().all(|byte| byte.is_ascii_digit()) => {
                lines.line(&format!("meta skuid {user} jump gateway"));
            }
            Owner::User(user) => lines.line(&format!("meta skuid \"{user}\" jump gateway")),
        }
    }

    /// Says whether destinations are dialled that only their names tell.
    fn dials_anywhere(&self) -> bool {
        self.config.relay.proxies.is_empty() || !self.config.relay.bypass.is_empty()
    }

    /// Writes where the gateway itself gets to.
    fn gateway(&self, lines: &mut Lines) {
        lines.block("chain gateway", |lines| {
            for relay in &self.config.relay.proxies {
                match relay.host() {
                    Host::Address(ip) => {
                        lines.comment(&format!("[relay] proxies = [\"{relay}\"]"));
                        lines.accept(&[IpNet::from(*ip)], "daddr", Protocol::Tcp, relay.port());
                    }
                    Host::Name(_) => {
                        lines
                            .comment(&format!("[relay] proxies = [\"{relay}\"], at whatever address it has"));
                        lines.line(&format!("tcp dport {} accept", relay.port()));
                    }
                }
            }
            if !self.dials_anywhere() {
                lines.comment("With relays and no [relay] bypass, no destination is dialled.");
                return;
            }
            self.fixed(lines);
            lines.line(&format!("tcp dport {HTTPS} goto destinations"));
        });
    }

    /// Writes the answers of `[dns] hosts` that have a port of their own, as far as they are dialled.
    fn fixed(&self, lines: &mut Lines) {
        let policy = Addresses::new(self.config.allow.clone());
        for (name, answers) in &self.config.dns.hosts {
            for answer in answers {
                let Some(port) = answer.port.filter(|port| *port != HTTPS) else { continue };
                let address = SocketAddr::new(answer.ip, port);
                let line = format!("[dns] hosts = {{ \"{name}\" = [\"{address}\"] }}");
                match policy.vet(address) {
                    Err(refusal) => lines.comment(&format!("{line}: never dialled, {refusal}")),
                    Ok(_) if answer.ip.is_loopback() => lines.comment(&format!("{line}: on this host")),
                    Ok(_) => {
                        lines.comment(&line);
                        lines.accept(&[IpNet::from(answer.ip)], "daddr", Protocol::Tcp, port);
                    }
                }
            }
        }
    }

    /// Writes the address policy.
    fn destinations(&self, lines: &mut Lines) {
        lines.block("chain destinations", |lines| {
            for decision in decisions(&self.config.allow) {
                judge(lines, &decision);
            }
        });
        lines.line("");
        lines.block("chain refused_address", |lines| lines.drop("address"));
    }
}

/// Accepts connections to a listener.
fn let_in(lines: &mut Lines, address: SocketAddr, sources: &Sources) {
    if address.ip().is_loopback() {
        lines.comment("on loopback: open to this host alone");
        return;
    }
    let (at, port) = (table::at(address), address.port());
    let nets: Vec<IpNet> = match sources {
        Sources::Anywhere => {
            lines.line(&format!("{at}tcp dport {port} accept"));
            return;
        }
        Sources::Nets(nets) => nets.iter().filter(|net| comes_to(**net, address.ip())).copied().collect(),
    };
    if nets.is_empty() {
        lines.comment("nobody from another host");
    }
    for from in sets(&nets, "saddr") {
        lines.line(&format!("{at}{from}tcp dport {port} accept"));
    }
}

/// Says whether packets of this range can come to an own address: both are of one family.
fn comes_to(net: IpNet, own: IpAddr) -> bool {
    let both = own.is_ipv6() && own.is_unspecified();
    let of_one = own.is_ipv4() == matches!(net, IpNet::V4(_));
    !net.addr().is_loopback() && (both || of_one)
}

fn judge(lines: &mut Lines, decision: &Decision) {
    lines.comment(decision.origin);
    let verdict = match decision.verdict {
        Verdict::Pass => "accept",
        Verdict::Refuse => "goto refused_address",
    };
    for (family, is) in [("ip", true), ("ip6", false)] {
        let of_family = |(net, _): &&(IpNet, &str)| matches!(net, IpNet::V4(_)) == is;
        let ranges: Vec<_> = decision.ranges.iter().filter(of_family).collect();
        match ranges.as_slice() {
            [] => {}
            [(everything, _)] if everything.prefix_len() == 0 => {
                lines.line(&format!("meta nfproto {} {verdict}", if is { "ipv4" } else { "ipv6" }));
            }
            ranges => {
                lines.line(&format!("{family} daddr {{"));
                for (net, name) in ranges {
                    let comment = if name.is_empty() { String::new() } else { format!(" # {name}") };
                    lines.line(&format!("\t{},{comment}", table::element(*net)));
                }
                lines.line(&format!("}} {verdict}"));
            }
        }
    }
}
