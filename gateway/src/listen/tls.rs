//! TLS to the gateway: rustls, versions 1.2 and 1.3, ALPN `http/1.1`, and client certificates.
//!
//! ALPN is answered because a client that may speak HTTP/2 to a proxy, and is told nothing, does. One
//! that offers `h2` only is refused (RFC 7301 section 3.2).
//!
//! A resumed session is not verified again. Where clients show certificates there is none, or it would
//! outlive a revocation; elsewhere clients keep tickets, whose keys end with the files they began with.

mod crl;
mod error;
mod files;
mod names;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;

pub use self::error::TlsError;
use self::files::Clients;
use self::files::Digest;
use self::files::Files;
pub use self::names::ClientCertificate;
pub use self::names::certificate_names;
pub use self::names::client_certificate;
use crate::config::ClientCertificatePolicy;
use crate::config::Tls;
use crate::crypto::provider;
use crate::crypto::ticketer;

/// A listener's TLS identity, kept fresh.
///
/// Client certificates need a chain to a CA of `client_ca`, dates that hold and, if they limit their
/// use, use by clients. Without `client_crl` nothing is known of revocations; with it each certificate
/// of the chain below the CA must be vouched for by a list that is not out of date.
pub struct Identity {
    settings: Tls,
    current: ArcSwap<Current>,
    /// Of the files that were looked at last, right or not. Held through a refresh: one at a time.
    seen: Mutex<Digest>,
}

/// What a look at the files led to.
#[derive(Debug)]
pub enum Refreshed {
    /// The files are as they were at the last look.
    Unchanged,
    /// New handshakes use the new files.
    Taken,
    /// The new files are not right as a whole: the ones before stay in use.
    Kept(TlsError),
}

/// When one of the files runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The file.
    pub file: PathBuf,
    /// What in it.
    pub what: Expiring,
    /// When.
    pub at: SystemTime,
}

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiring {
    /// The listener's own certificate: clients refuse it then.
    Certificate,
    /// The certificate of a clients' CA. Its date bars nobody: what it issued has dates of its own.
    Authority,
    /// A revocation list: every certificate of its issuer is refused then.
    RevocationList,
}

struct Current {
    config: Arc<ServerConfig>,
    deadlines: Vec<Deadline>,
}

impl Identity {
    /// Reads the files once; every error names the file and what to change.
    ///
    /// A revocation list that is out of date is no error here: it bars those who show certificates,
    /// and need not bar the others. It stands in [`Identity::deadlines`].
    pub fn load(settings: &Tls) -> Result<Self, TlsError> {
        let (seen, files) = files::read(settings);
        let current = Current::new(settings, files?)?;
        Ok(Self {
            settings: settings.clone(),
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(seen),
        })
    }

    /// Returns the settings it was loaded with.
    pub fn settings(&self) -> &Tls {
        &self.settings
    }

    /// Returns the acceptor for a new handshake, with the newest files that were right.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }

    /// Looks at the files again, and takes them if they changed and are right as a whole.
    ///
    /// What counts is their content, so links may be swapped. The same wrong content is complained
    /// about once. Reads files, so it belongs where blocking is allowed.
    pub fn refresh(&self) -> Refreshed {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (digest, files) = files::read(&self.settings);
        if digest == *seen {
            return Refreshed::Unchanged;
        }
        *seen = digest;
        match files.and_then(|files| Current::new(&self.settings, files)) {
            Ok(current) => {
                self.current.store(Arc::new(current));
                Refreshed::Taken
            }
            Err(error) => Refreshed::Kept(error),
        }
    }

    /// Returns when the files in use run out, to warn in time.
    pub fn deadlines(&self) -> Vec<Deadline> {
        self.current.load().deadlines.clone()
    }
}

impl Current {
    fn new(settings: &Tls, files: Files) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Provider)?;
        let builder = match &files.clients {
            Some(clients) => {
                builder.with_client_cert_verifier(verifier(settings, clients, Arc::clone(&provider))?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_single_cert(files.certificates, files.key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                    certificate: settings.certificate.clone(),
                    key: settings.key.clone(),
                },
                rustls::Error::InvalidCertificate(_) => {
                    TlsError::Certificate { file: settings.certificate.clone(), error }
                }
                _ => TlsError::Key { file: settings.key.clone(), error },
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match files.clients {
            Some(_) => config.send_tls13_tickets = 0,
            // The client keeps the session, so that a fleet of any size resumes and costs no memory here.
            None => config.ticketer = ticketer().map_err(TlsError::Provider)?,
        }
        Ok(Self { config: Arc::new(config), deadlines: files.deadlines })
    }
}

/// The verifier's defaults are kept: the whole chain is looked up, and an unknown status is refused.
fn verifier(
    settings: &Tls,
    clients: &Clients,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in &clients.authorities {
        roots
            .add(authority.clone())
            .map_err(|error| TlsError::Authority { file: clients.ca.clone(), error })?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(revoked) = &clients.revoked {
        builder = builder.with_crls(revoked.lists.iter().cloned()).enforce_revocation_expiration();
    }
    if settings.client_certificate == ClientCertificatePolicy::Optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| {
        let file = clients.revoked.as_ref().map_or(&clients.ca, |revoked| &revoked.file);
        TlsError::Clients { file: file.clone(), error }
    })
}

#[cfg(test)]
mod tests;
