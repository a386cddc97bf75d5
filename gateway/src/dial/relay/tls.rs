//! TLS to a relay: rustls, versions 1.2 and 1.3, ALPN `http/1.1`.
//!
//! ALPN is sent because a proxy that may speak HTTP/2, and is told nothing, might.

use std::path::Path;
use std::sync::Arc;

use common::roots;
use common::roots::RootsError;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;

use crate::crypto::provider;

/// Why TLS to a relay cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities cannot be read.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The crypto provider does not speak TLS 1.2 and 1.3.
    #[error("the crypto provider does not speak TLS 1.2 and 1.3: {0}")]
    Provider(rustls::Error),
}

/// Sets up TLS that trusts the authorities in `ca`, or else those of the system.
pub(super) fn connector(ca: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let roots = roots::load(ca)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
