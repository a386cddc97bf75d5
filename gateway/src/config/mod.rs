//! What was written: the configuration file and the files it names, read and checked as a whole.
//!
//! [`load`] gives either a [`Config`] that can be run or every problem in it. It binds nothing and
//! looks nothing up. The keys, their defaults and their units stand in `deploy/config/gateway.toml`.

mod decode;
mod file;
mod problems;
mod roles;
pub mod users;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

pub use self::problems::Problem;
pub use self::problems::Problems;
pub use self::problems::Source;
pub use self::roles::Roles;
use self::values::AdminAddress;
use crate::events::Log;
use crate::policy::limits;
use crate::policy::names::DnsSettings;

/// Where the configuration is looked for when none is named.
pub const USUAL_PLACE: &str = "/etc/la-gateway/gateway.toml";
/// Largest configuration or users file that is read, in bytes: 16 MiB.
pub const LARGEST_FILE: u64 = 16 * 1024 * 1024;

const BUILT_IN: &str = include_str!("default.toml");

/// A configuration that can be run.
#[derive(Debug)]
pub struct Config {
    /// The proxy's listeners, at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener, unless it is off.
    pub admin: Option<Admin>,
    /// How names are looked up.
    pub dns: DnsSettings,
    /// Ranges that may be dialled although they are not global.
    pub allow: Vec<IpNet>,
    /// Deadlines and checks of a tunnel.
    pub tunnel: Tunnel,
    /// Rates and numbers of clients.
    pub limits: limits::Settings,
    /// Most client connections at once.
    pub connections: u32,
    /// How long a client may take to send its request head, TLS handshake included.
    pub head_timeout: Duration,
    /// Whether the process shuts itself in after start.
    pub sandbox: bool,
    /// Form and level of the records.
    pub log: Log,
    /// Roles with their users and networks.
    pub roles: Roles,
    /// The file, or `None` for the built-in default.
    pub file: Option<PathBuf>,
}

/// One listener of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether plain HTTP is answered.
    pub plain: bool,
    /// Whether TLS is answered, on the same port.
    pub tls: Option<Tls>,
    /// Whose PROXY headers are believed.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Whose PROXY headers are believed at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Load balancers.
    pub trusted: Vec<IpNet>,
    /// Whether every connection must come from one of them, with a header.
    pub required: bool,
}

/// Files of a listener's TLS identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain, PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Certificates of the CAs that vouch for clients, PEM.
    pub client_ca: Option<PathBuf>,
    /// Revocation lists of those CAs, PEM.
    pub client_crl: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub client_certificate: ClientCertificatePolicy,
}

/// Whether the clients of a TLS listener must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificatePolicy {
    /// They are not asked for one.
    None,
    /// They may come without; one that is shown must be right.
    Optional,
    /// They must.
    Required,
}

impl Tls {
    /// Returns every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let clients = [self.client_ca.as_deref(), self.client_crl.as_deref()];
        [self.certificate.as_path(), self.key.as_path()].into_iter().chain(clients.into_iter().flatten())
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Networks that are answered beside loopback.
    pub from: Vec<IpNet>,
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
    let usual = Path::new(USUAL_PLACE);
    match named.or_else(|| usual.exists().then_some(usual)) {
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
    let (written, mut problems) = decode::decode::<file::File>(source);
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let listeners = listeners(&written.listener, source, folder, &mut problems);
    let admin = admin(written.admin, source, &mut problems);
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
    if !problems.is_empty() {
        problems.sort_by_key(|problem| (problem.file != source.file, problem.place));
        return Err(Problems(problems));
    }
    let limits = written.limits;
    Ok(Config {
        listeners,
        admin,
        dns: dns(written.dns),
        allow: written.addresses.allow.values().map(|net| net.0).collect(),
        tunnel: Tunnel {
            minimum_tls: written.tunnel.minimum_tls,
            server_name: written.tunnel.server_name,
            hello: written.tunnel.hello.0.0,
            connect: written.tunnel.connect.0.0,
            idle: written.tunnel.idle.0.0,
            drain: written.tunnel.drain.0.0,
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
        connections: limits.connections.get(),
        head_timeout: limits.head_timeout.0.0,
        sandbox: written.sandbox.enabled,
        log: Log { format: written.log.format, level: written.log.level },
        roles,
        file: file.map(Path::to_owned),
    })
}

fn listeners(
    written: &[toml::Spanned<file::Listener>],
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for spanned in written {
        let written = spanned.get_ref();
        if !written.plain && written.tls.is_none() {
            let text = "this listener answers nothing; set `plain = true` or give it `tls`";
            problems.push(source.problem(spanned.span(), text));
        }
        let tls = written.tls.as_ref().map(|tls| {
            let files = tls.get_ref();
            if files.certificate.as_os_str().is_empty() || files.key.as_os_str().is_empty() {
                let text =
                    "`tls` needs both files, as in `tls = { certificate = \"gw.crt\", key = \"gw.key\" }`";
                problems.push(source.problem(tls.span(), text));
            }
            let client_certificate = client_certificate(written.plain, tls, source, problems);
            let beside = |file: &PathBuf| folder.join(file);
            Tls {
                certificate: beside(&files.certificate),
                key: beside(&files.key),
                client_ca: files.client_ca.as_ref().map(beside),
                client_crl: files.client_crl.as_ref().map(beside),
                client_certificate,
            }
        });
        let proxy_protocol = written.proxy_protocol.as_ref().map(|spanned| {
            let trusted: Vec<IpNet> = spanned.get_ref().trusted.values().map(|net| net.0).collect();
            if trusted.is_empty() {
                let text = "`proxy_protocol` trusts nobody; list the load balancers in `trusted`";
                problems.push(source.problem(spanned.span(), text));
            }
            ProxyProtocol { trusted, required: spanned.get_ref().required }
        });
        listeners.push(Listener { address: written.address.0, plain: written.plain, tls, proxy_protocol });
    }
    if listeners.is_empty() {
        let default = file::Listener::default();
        let (address, plain) = (default.address.0, default.plain);
        listeners.push(Listener { address, plain, tls: None, proxy_protocol: None });
    }
    listeners
}

/// Returns whether clients must show a certificate: where a CA is named, unless it says otherwise.
fn client_certificate(
    plain: bool,
    tls: &toml::Spanned<file::Tls>,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> ClientCertificatePolicy {
    let written = tls.get_ref();
    let policy = written.client_certificate.unwrap_or(match written.client_ca {
        Some(_) => ClientCertificatePolicy::Required,
        None => ClientCertificatePolicy::None,
    });
    let asked = policy != ClientCertificatePolicy::None || written.client_crl.is_some();
    if asked && written.client_ca.is_none() {
        let text = "client certificates need `client_ca`, the file with the certificates of the CAs that vouch for \
                    clients";
        problems.push(source.problem(tls.span(), text));
    }
    if plain && policy == ClientCertificatePolicy::Required {
        let text = "a client certificate is required, but `plain = true` lets clients in without one; set \
                    `plain = false`, or `client_certificate = \"optional\"`";
        problems.push(source.problem(tls.span(), text));
    }
    policy
}

fn admin(
    written: Option<toml::Spanned<file::Admin>>,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Admin> {
    let span = written.as_ref().map(toml::Spanned::span).unwrap_or_default();
    let written = written.map(toml::Spanned::into_inner).unwrap_or_default();
    let AdminAddress::At(address) = written.address.0 else { return None };
    let from: Vec<IpNet> = written.from.values().map(|net| net.0).collect();
    if !address.ip().is_loopback() && from.is_empty() {
        let text = format!(
            "the admin listener on {address} is open to the network; list who may read it in `from`, or use 127.0.0.1"
        );
        problems.push(source.problem(span, text));
    }
    Some(Admin { address, from })
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

/// Reads a whole text file that is not larger than [`LARGEST_FILE`].
pub fn read_file(file: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let fail = |error: std::io::Error| Problem {
        file: file.to_owned(),
        place: None,
        text: format!("cannot be read: {error}"),
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(fail)?;
    opened.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > LARGEST_FILE {
        let text = "is larger than 16 MiB; a configuration is not".to_owned();
        return Err(Problem { file: file.to_owned(), place: None, text });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
