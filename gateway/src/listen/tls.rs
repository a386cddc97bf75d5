//! TLS to the gateway: rustls, versions 1.2 and 1.3, ALPN `http/1.1`.
//!
//! ALPN is answered because a client that may speak HTTP/2 to a proxy, and is told nothing, does.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::config::Tls;

/// Why a listener's TLS identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or holds no PEM of its kind.
    #[error("{file}: {error}; it must be a PEM file with {wanted}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        error: pem::Error,
        /// What it must hold.
        wanted: &'static str,
    },
    /// A certificate file without a certificate.
    #[error(
        "{file}: there is no certificate in it; it must be a PEM file with the chain, the gateway's own first"
    )]
    Empty {
        /// The file.
        file: String,
    },
    /// A certificate and a key that do not fit.
    #[error("{file}: {error}; the key and the first certificate must belong together")]
    Mismatch {
        /// The certificate's file.
        file: String,
        /// What rustls says.
        error: rustls::Error,
    },
    /// The crypto provider does not speak TLS 1.2 and 1.3.
    #[error("the crypto provider does not speak TLS 1.2 and 1.3: {0}")]
    Provider(rustls::Error),
}

/// Reads a listener's certificate and key.
pub fn acceptor(files: &Tls) -> Result<TlsAcceptor, TlsError> {
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(&files.certificate, error, "the certificate chain"))?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { file: files.certificate.display().to_string() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| file_error(&files.key, error, "an unencrypted private key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Provider)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| TlsError::Mismatch { file: files.certificate.display().to_string(), error })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn file_error(file: &Path, error: pem::Error, wanted: &'static str) -> TlsError {
    TlsError::File { file: file.display().to_string(), error, wanted }
}

#[cfg(feature = "fips")]
fn provider() -> CryptoProvider {
    rustls::crypto::default_fips_provider()
}

#[cfg(not(feature = "fips"))]
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
