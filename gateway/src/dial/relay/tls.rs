//! TLS to a relay: rustls, versions 1.2 and 1.3, ALPN `http/1.1`.
//!
//! ALPN is sent because a proxy that may speak HTTP/2, and is told nothing, might.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::crypto::provider;

/// Why TLS to a relay cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
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
    #[error("the system has no certificates of authorities; install them, or name a PEM file")]
    NoSystemRoots,
    /// The crypto provider does not speak TLS 1.2 and 1.3.
    #[error("the crypto provider does not speak TLS 1.2 and 1.3: {0}")]
    Provider(rustls::Error),
}

/// Sets up TLS that trusts the authorities in `ca`, or else those of the system.
pub(super) fn connector(ca: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let roots = match ca {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_of(file: &Path) -> Result<RootCertStore, TlsError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::File { file: file.to_owned(), error })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { file: file.to_owned() });
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| TlsError::Unusable { file: file.to_owned(), error })?;
    }
    Ok(roots)
}

/// Old systems carry authorities that rustls cannot read: those are left out.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err(TlsError::NoSystemRoots),
        _ => Ok(roots),
    }
}
