//! The one crypto provider of this build: ring, or the FIPS module of aws-lc with `--features fips`.
//!
//! Every TLS configuration names it; the process has no default, which would be a guess where two are
//! compiled in.

use tokio_rustls::rustls::crypto::CryptoProvider;

/// Returns the provider.
#[cfg(feature = "fips")]
pub fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::default_fips_provider()
}

/// Returns the provider.
#[cfg(not(feature = "fips"))]
pub fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::ring::default_provider()
}
