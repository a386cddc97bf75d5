//! The authorities that vouch for the other side of TLS, and TLS as a client that trusts only them.
//!
//! Gateways and Azure have roots of their own: a company's authority that signs the gateway's certificate
//! must not be able to sign for Azure, too, unless the operator says so.

mod trouble;
mod verifier;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use common::roots;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::VerifierBuilderError;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

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
    /// They cannot be read.
    #[error(transparent)]
    Load(#[from] roots::RootsError),
    /// The roots cannot be used.
    #[error("the certificates of authorities cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

impl Roots {
    /// Reads the authorities of a PEM file, or else those of the system, once.
    pub fn load(file: Option<&Path>) -> Result<Self, RootsError> {
        let store = roots::load(file)?;
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
