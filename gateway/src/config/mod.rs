//! What was written: the configuration file and the files it names, read and checked as a whole.
//!
//! [`load`] gives either a [`Config`] that can be run or every problem in it. It binds nothing and
//! looks nothing up. The keys, their defaults and their units stand in `deploy/config/gateway.toml`.

mod admin;
mod control;
mod file;
mod listeners;
mod policy;
mod readiness;
mod reload;
mod roles;
pub mod users;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

pub use common::document::LARGEST_FILE;
pub use common::document::Problem;
pub use common::document::Problems;
pub use common::document::Source;
use common::document::decode;
pub use common::document::read_file;
use ipnet::IpNet;
use serde::Deserialize;

pub use self::admin::Admin;
pub use self::admin::Open;
pub use self::control::ControlSocket;
pub use self::listeners::ClientCertificatePolicy;
pub use self::listeners::Listener;
pub use self::listeners::ProxyProtocol;
pub use self::listeners::Tls;
pub use self::reload::EndTunnels;
pub use self::reload::Files;
pub use self::reload::Reload;
use self::reload::Whole;
pub use self::roles::RoleSummary;
pub use self::roles::Roles;
use crate::events::Log;
use crate::policy::addresses::Addresses;
use crate::policy::canaries::Canaries;
use crate::policy::fleet::FleetSettings;
use crate::policy::limits;
use crate::policy::names::DnsSettings;
use crate::policy::relays::RelaySettings;
use crate::policy::surge;
use crate::system;

const BUILT_IN: &str = include_str!("default.toml");

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// The proxy's listeners, at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener, unless it is off.
    pub admin: Option<Admin>,
    /// Where `status`, `reload`, `drain` and a successor come.
    pub control: ControlSocket,
    /// How names are looked up.
    pub dns: DnsSettings,
    /// Upstream proxies.
    pub relay: RelaySettings,
    /// Ranges that may be dialled although they are not global.
    pub allow: Vec<IpNet>,
    /// Deadlines and checks of a tunnel.
    pub tunnel: Tunnel,
    /// Rates and numbers of clients.
    pub limits: limits::Settings,
    /// Set-ups at once, and those that wait for one.
    pub surge: surge::Settings,
    /// How canaries are walked, and what they mean.
    pub readiness: crate::policy::readiness::Settings,
    /// The canaries.
    pub canaries: Canaries,
    /// Most client connections at once.
    pub connections: u32,
    /// How long a client may take to send its request head, TLS handshake included.
    pub head_timeout: Duration,
    /// Whether the process shuts itself in after start.
    pub sandbox: bool,
    /// What a reload does.
    pub reload: Reload,
    /// Form, place and level of the records.
    pub log: Log,
    /// How many clients are remembered, and when one counts as silent.
    pub fleet: FleetSettings,
    /// Roles with their users and networks.
    pub roles: Roles,
    /// The file, or `None` for the built-in default.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Returns the TLS identities of all listeners.
    pub fn identities(&self) -> impl Iterator<Item = &Tls> {
        let admin = self.admin.as_ref().and_then(|admin| admin.tls.as_ref());
        self.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(admin)
    }
}

/// Deadlines and checks of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Lowest TLS version that may be spoken inside.
    pub minimum_tls: MinimumTls,
    /// What the server name inside must be.
    pub server_name: ServerNamePolicy,
    /// How long each side may take for its hello.
    pub hello: Duration,
    /// How long connecting may take, over all addresses.
    pub connect: Duration,
    /// How long a tunnel may be without progress in either direction.
    pub idle: Duration,
    /// How long open tunnels may go on once the gateway drains.
    pub drain: Duration,
    /// How long connections are still accepted once readiness is red.
    pub lame_duck: Duration,
}

/// Lowest TLS version that may be spoken inside a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum MinimumTls {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What the server name (SNI) of the TLS session inside a tunnel must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerNamePolicy {
    /// Present, and the host of the CONNECT.
    MustMatch,
    /// Absent, or the host of the CONNECT.
    MayBeAbsent,
    /// Anything.
    Ignore,
}

/// Loads a configuration: the named file, else the one in its usual place, else the built-in default.
pub fn load(named: Option<&Path>) -> Result<Config, Problems> {
    let usual = system::usual_place();
    // A place that cannot be looked at counts as taken: reading it says why.
    let found = || usual.try_exists().unwrap_or(true).then_some(usual.as_path());
    match named.or_else(found) {
        None => read(Source { file: Path::new("built-in default"), text: BUILT_IN }, None),
        Some(file) => {
            let text = read_file(file).map_err(|problem| Problems(vec![problem]))?;
            parse(Source { file, text: &text })
        }
    }
}

/// Reads the text of a configuration file, and the files it names.
pub fn parse(source: Source<'_>) -> Result<Config, Problems> {
    read(source, Some(source.file))
}

fn read(source: Source<'_>, file: Option<&Path>) -> Result<Config, Problems> {
    let (written, mut problems) = decode::<file::File>(source);
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let listeners = listeners::read(&written.listener, source, folder, &mut problems);
    let admin = admin::read(written.admin, source, folder, &mut problems);
    let relay = relay(written.relay, source, folder, &mut problems);
    let percent_encoded = written.passwords.percent_encoded.0.0;
    let has_client_ca =
        listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    for certificate in
        written.role.values().flat_map(|role| &role.get_ref().certificates).filter(|_| !has_client_ca)
    {
        let text = "no listener's `tls` has a `client_ca`, so no certificate is ever asked for; add one";
        problems.push(source.problem(certificate.span(), text));
    }
    let roles = roles::read(&written.role, percent_encoded, source, folder, &mut problems);
    let canaries = readiness::canaries(&written.readiness, &roles, source, &mut problems);
    let (dns, allow) =
        (dns(written.dns), written.addresses.allow.values().map(|net| net.0).collect::<Vec<_>>());
    let addresses = Addresses::new(allow.clone());
    let whole = Whole { roles: &roles, addresses, dns: &dns, relay: &relay };
    let reload = reload::read(&written.reload, &whole, source, &mut problems);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| (problem.file != source.file, problem.place));
        return Err(Problems(problems));
    }
    let limits = written.limits;
    Ok(Config {
        listeners,
        admin,
        control: ControlSocket::of(written.control.socket, folder),
        dns,
        relay,
        allow,
        tunnel: Tunnel {
            minimum_tls: written.tunnel.minimum_tls,
            server_name: written.tunnel.server_name,
            hello: written.tunnel.hello.0.0,
            connect: written.tunnel.connect.0.0,
            idle: written.tunnel.idle.0.0,
            drain: written.tunnel.drain.0.0,
            lame_duck: written.tunnel.lame_duck.0.0,
        },
        limits: limits::Settings {
            tunnels: limits.tunnels.get(),
            tunnels_per_client: limits.tunnels_per_client.get(),
            connects_per_second: limits.connects_per_second,
            burst: limits.burst,
            connections_per_address: limits.connections_per_address.get(),
            requests_per_second_per_address: limits.requests_per_second_per_address,
            request_burst_per_address: limits.request_burst_per_address,
            failed_logins_per_minute: limits.failed_logins_per_minute,
        },
        surge: surge::Settings {
            setups: limits.setups.get(),
            setups_per_client: limits.setups_per_client.get(),
            waiting: limits.setups_waiting.get(),
            wait: limits.setup_wait.0.0,
        },
        readiness: readiness::settings(&written.readiness),
        canaries,
        connections: limits.connections.get(),
        head_timeout: limits.head_timeout.0.0,
        sandbox: written.sandbox.enabled,
        reload,
        log: Log {
            format: written.log.format,
            level: written.log.level,
            journal_socket: folder.join(written.log.journal_socket),
        },
        fleet: FleetSettings {
            clients: usize::try_from(written.fleet.clients.get()).unwrap_or(usize::MAX),
            silent_after: Some(written.fleet.silent_after.0.0).filter(|after| !after.is_zero()),
        },
        roles,
        file: file.map(Path::to_owned),
    })
}

fn relay(
    written: Option<toml::Spanned<file::Relay>>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> RelaySettings {
    let Some(written) = written else { return RelaySettings::default() };
    let (span, written) = (written.span(), written.into_inner());
    let idle = written.proxies.0.is_empty() && (written.ca.is_some() || !written.bypass.0.is_empty());
    if idle && problems.is_empty() {
        let text = "`[relay]` names no relay, so everything goes out directly; list them in `proxies`, or remove the rest";
        problems.push(source.problem(span, text));
    }
    RelaySettings {
        proxies: written.proxies.values().cloned().collect(),
        ca: written.ca.map(|file| folder.join(file)),
        bypass: written.bypass.values().cloned().collect(),
    }
}

fn dns(written: file::Dns) -> DnsSettings {
    let hosts: BTreeMap<_, _> = written
        .hosts
        .into_iter()
        .map(|(name, answers)| (name.0, answers.values().map(|answer| answer.0).collect()))
        .collect();
    DnsSettings {
        servers: written.servers.values().map(|server| server.0).collect(),
        hosts,
        stale_for: written.stale_for.0.0,
        timeout: written.timeout.0.0,
    }
}

#[cfg(test)]
mod tests;
