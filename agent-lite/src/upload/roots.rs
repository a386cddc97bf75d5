//! The authorities that vouch for the other side of TLS, and TLS as a client that trusts only them.
//!
//! Gateways and Azure have roots of their own: a company's authority that signs the gateway's certificate
//! must not be able to sign for Azure, too, unless the operator says so.

#[cfg(test)]
mod tests;
mod trouble;
mod verifier;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::VerifierBuilderError;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::pki_types::pem::PemObject;

pub use self::trouble::TlsTrouble;
pub(in crate::upload) use self::trouble::shown;
use crate::upload::roots::verifier::Verifier;

/// Most sessions kept for resumption: one for each host of a workspace.
const MOST_SESSIONS: usize = 8;

/// Authorities. Clones are cheap.
#[derive(Clone)]
pub struct Roots {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    count: usize,
}

/// A certificate chain and its key, as a client shows and uses them.
pub struct ClientPair {
    /// The client's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Why there are no usable roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file that cannot be read or is no PEM.
    #[error("{}: {error}; it must be a PEM file with certificates of authorities", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A file without a certificate.
    #[error("{}: there is no certificate in it; it must be a PEM file with certificates of authorities", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A certificate that no authority can have.
    #[error("{}: {error}; take out the certificate that is not an authority's", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// No authorities in the usual places of the system.
    #[error(
        "the system has no certificates of authorities; install its package ca-certificates, or name a PEM file"
    )]
    NoSystemRoots,
    /// The roots cannot be used.
    #[error("the certificates of authorities cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

impl Roots {
    /// Reads the authorities of a PEM file, or else those of the system, once.
    pub fn load(file: Option<&Path>) -> Result<Self, RootsError> {
        let store = match file {
            Some(file) => roots_of(file)?,
            None => system_roots()?,
        };
        let (provider, count) = (Arc::new(ring::default_provider()), store.len());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build()?;
        Ok(Self { provider, verifier, count })
    }

    /// Returns TLS 1.2 and 1.3 with ALPN `http/1.1` that trusts these roots, and shows the certificate when asked.
    pub fn client(&self, certificate: Option<ClientPair>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let verifier = Arc::new(Verifier::new(self.verifier.clone()));
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            Some(pair) => builder.with_client_auth_cert(pair.chain, pair.key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(MOST_SESSIONS);
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.count)
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, RootsError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| RootsError::File { file: file.to_owned(), error })?;
    if certificates.is_empty() {
        return Err(RootsError::Empty { file: file.to_owned() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| RootsError::Unusable { file: file.to_owned(), error })?;
    }
    Ok(roots)
}

/// Old systems carry authorities that rustls cannot read: those are left out.
fn system_roots() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err(RootsError::NoSystemRoots),
        _ => Ok(roots),
    }
}
