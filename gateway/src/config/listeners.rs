//! The proxy's listeners: where they are and what they speak.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use common::document::Problem;
use common::document::Source;
use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::file;

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

pub(super) fn read(
    written: &[Spanned<file::Listener>],
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
        let tls = written.tls.as_ref().map(|tls| self::tls(written.plain, tls, source, folder, problems));
        let proxy_protocol = written.proxy_protocol.as_ref().map(|spanned| {
            let trusted: Vec<IpNet> = spanned.get_ref().trusted.values().map(|net| net.0).collect();
            if trusted.is_empty() {
                let text = "`proxy_protocol` trusts nobody; list the load balancers in `trusted`";
                problems.push(source.problem(spanned.span(), text));
            }
            ProxyProtocol { trusted, required: spanned.get_ref().required }
        });
        let address = written.address.0;
        if problems.is_empty()
            && address.port() != 0
            && listeners.iter().any(|other: &Listener| other.address == address)
        {
            let text = format!("another listener is at {address} already; remove one or change its port");
            problems.push(source.problem(spanned.span(), text));
        }
        listeners.push(Listener { address, plain: written.plain, tls, proxy_protocol });
    }
    if listeners.is_empty() {
        let default = file::Listener::default();
        let (address, plain) = (default.address.0, default.plain);
        listeners.push(Listener { address, plain, tls: None, proxy_protocol: None });
    }
    listeners
}

/// Reads the files of a listener's TLS identity; `plain` says whether clients can come without TLS.
pub(super) fn tls(
    plain: bool,
    tls: &Spanned<file::Tls>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Tls {
    let files = tls.get_ref();
    if files.certificate.as_os_str().is_empty() || files.key.as_os_str().is_empty() {
        let text = "`tls` needs both files, as in `tls = { certificate = \"gw.crt\", key = \"gw.key\" }`";
        problems.push(source.problem(tls.span(), text));
    }
    let client_certificate = client_certificate(plain, tls, source, problems);
    let beside = |file: &PathBuf| folder.join(file);
    Tls {
        certificate: beside(&files.certificate),
        key: beside(&files.key),
        client_ca: files.client_ca.as_ref().map(beside),
        client_crl: files.client_crl.as_ref().map(beside),
        client_certificate,
    }
}

/// Returns whether clients must show a certificate: where a CA is named, unless it says otherwise.
fn client_certificate(
    plain: bool,
    tls: &Spanned<file::Tls>,
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
