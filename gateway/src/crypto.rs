//! The one crypto provider of this build: aws-lc, its FIPS module with `--features fips`, or ring with
//! `--no-default-features --features ring`.
//!
//! Every TLS configuration names it; the process has no default, which would be a guess where two are
//! compiled in.

use std::sync::Arc;

use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::CryptoProvider;
#[cfg(any(feature = "fips", feature = "aws-lc-rs"))]
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
#[cfg(not(any(feature = "fips", feature = "aws-lc-rs")))]
use tokio_rustls::rustls::crypto::ring::Ticketer;
use tokio_rustls::rustls::server::ProducesTickets;

/// Returns the provider.
#[cfg(feature = "fips")]
pub fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::default_fips_provider()
}

/// Returns the provider.
#[cfg(all(feature = "aws-lc-rs", not(feature = "fips")))]
pub fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()
}

/// Returns the provider.
#[cfg(not(any(feature = "fips", feature = "aws-lc-rs")))]
pub fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::ring::default_provider()
}

/// Returns fresh keys for session tickets. The keys change every 6 hours and never leave the process.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    Ticketer::new()
}
