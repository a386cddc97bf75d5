//! The part of squid.conf that says who may go where: `acl`, `http_access`, `http_port`, `cache_peer`.
//!
//! A list counts where an `http_access allow` names it, or an `http_access deny` names its contrary (`!`). What only a
//! `deny` names is not taken over: here nothing is allowed that no rule allows.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use common::host_port::HostName;
use common::proxy_url::ProxyUrl;
use la_gateway::policy::suggestions::Wanted;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use super::Found;
use super::network;

/// Lists that Squid has by itself.
const BUILT_IN: [&str; 6] = ["all", "manager", "localhost", "to_localhost", "to_linklocal", "CONNECT"];

/// What is gathered on the way.
#[derive(Default)]
struct Lists {
    /// Values of `dstdomain` and of `src` lists.
    domains: BTreeMap<String, Vec<String>>,
    networks: BTreeMap<String, Vec<String>>,
    /// Kinds of all other lists.
    others: BTreeMap<String, String>,
    allowed: BTreeSet<String>,
    denied: BTreeSet<String>,
    rules: usize,
}

/// Reads a squid.conf; `read_list` gives the text of a file that it names.
pub(super) fn read(text: &str, read_list: impl Fn(&str) -> Option<String>) -> Found {
    let (mut found, mut lists) = (Found::default(), Lists::default());
    let joined = text.replace("\\\r\n", " ").replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["acl", name, kind, values @ ..] => lists.add(name, kind, values, &read_list, &mut found),
            ["http_access", verdict, names @ ..] => lists.access(verdict, names),
            ["http_port", address, ..] if found.port.is_none() => {
                found.port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            }
            ["cache_peer", host, "parent", port, options @ ..] => peer(host, port, options, &mut found),
            ["auth_param", ..] if !found.left.iter().any(|(what, _)| what == "auth_param") => {
                found.leave(
                    "auth_param",
                    "passwords stay where they are: make users with `la-gateway users add`",
                );
            }
            ["include", ..] => found.leave(line, "included files are not read: import them one by one"),
            ["https_port", ..] => found.leave(line, "TLS at the listener: write `tls` at `[[listener]]`"),
            ["ssl_bump", ..] => found.leave(line, "TLS is not opened here"),
            ["external_acl_type", ..] => found.leave(line, "no helper programs are asked here"),
            _ => {}
        }
    }
    lists.judge(&mut found);
    found
}

impl Lists {
    fn add(
        &mut self,
        name: &str,
        kind: &str,
        values: &[&str],
        read_list: impl Fn(&str) -> Option<String>,
        found: &mut Found,
    ) {
        let name = name.to_owned();
        let into = match kind {
            "dstdomain" => self.domains.entry(name).or_default(),
            "src" => self.networks.entry(name).or_default(),
            other => return drop(self.others.insert(name, other.to_owned())),
        };
        for value in values.iter().filter(|value| !value.starts_with('-')) {
            match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
                None => into.push((*value).to_owned()),
                Some(file) => match read_list(file) {
                    Some(text) => {
                        let lines =
                            text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
                        into.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
                    }
                    None => {
                        found.leave(value, "the file cannot be read: import where it is, or bring it along")
                    }
                },
            }
        }
    }

    fn access(&mut self, verdict: &str, names: &[&str]) {
        for name in names {
            let (name, contrary) = match name.strip_prefix('!') {
                Some(name) => (name, true),
                None => (*name, false),
            };
            match (verdict, contrary) {
                ("allow", false) | ("deny", true) => drop(self.allowed.insert(name.to_owned())),
                ("deny", false) | ("allow", true) => drop(self.denied.insert(name.to_owned())),
                _ => {}
            }
        }
        let of_domains = |name: &&str| self.domains.contains_key(name.trim_start_matches('!'));
        if verdict == "allow" && names.iter().any(of_domains) {
            self.rules += 1;
        }
    }

    fn judge(self, found: &mut Found) {
        let both = |name: &String| self.allowed.contains(name) && !self.denied.contains(name);
        for (name, values) in &self.domains {
            if !both(name) {
                found.leave(
                    &format!("acl {name} dstdomain"),
                    "not allowed by `http_access`, or also denied: look at it yourself",
                );
                continue;
            }
            values.iter().for_each(|value| domain(value, found));
        }
        for (name, values) in self.networks.iter().filter(|(name, _)| both(name)) {
            for value in values {
                match network(value) {
                    Some(net) => found.networks.push(net),
                    None => {
                        found.leave(&format!("acl {name} src {value}"), "no network: write it with --from")
                    }
                }
            }
        }
        found.networks.sort();
        found.networks.dedup();
        let names = self.others.iter().filter(|(name, _)| self.allowed.contains(*name) && !is_built_in(name));
        for (name, kind) in names {
            let why = match kind.as_str() {
                "port" | "method" | "proto" => continue,
                "dstdom_regex" | "url_regex" | "urlpath_regex" => {
                    "no regular expressions here: the records of report mode show which hosts are used"
                }
                "dst" => "no addresses here: names only",
                "proxy_auth" => "users: `la-gateway users add`",
                _ => "no list of this kind here",
            };
            found.leave(&format!("acl {name} {kind}"), why);
        }
        if self.rules > 1 {
            found.leave(
                "several `http_access allow` lines",
                "became one role: split it where not every network may go to every host",
            );
        }
    }
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// Takes one value of a `dstdomain`: a host, or a domain with a dot in front.
fn domain(text: &str, found: &mut Found) {
    let (name, below) = match text.strip_prefix('.') {
        Some(name) => (name, true),
        None => (text, false),
    };
    match name.parse::<HostName>() {
        Ok(name) if below => drop(found.wanted.insert(Wanted::Domain(name))),
        Ok(name) => drop(found.wanted.insert(Wanted::Host(name))),
        Err(_) => found.leave(text, "no host name"),
    }
}

/// Takes a parent proxy as a relay.
fn peer(host: &str, port: &str, options: &[&str], found: &mut Found) {
    let tls = options.iter().any(|option| matches!(*option, "ssl" | "tls"));
    let login = options.iter().find_map(|option| option.strip_prefix("login="));
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let user = match login {
        None => String::new(),
        Some(login) => match login.split_once(':') {
            Some((user, password)) => format!("{}:{}@", encoded(user), encoded(password)),
            None => {
                found.leave(
                    &format!("cache_peer {host} login"),
                    "the gateway sends its own user and password to a relay: write them into `[relay] proxies`",
                );
                String::new()
            }
        },
    };
    let url = format!("{}://{user}{host}:{port}", if tls { "https" } else { "http" });
    match url.parse::<ProxyUrl>() {
        Ok(_) => found.relays.push(url),
        Err(_) => found.leave(&format!("cache_peer {host} {port}"), "no proxy's address"),
    }
}
