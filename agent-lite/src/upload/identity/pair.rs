//! A certificate and its key.

use std::time::Duration;
use std::time::SystemTime;

use common::secret::Secret;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::upload::roots::ClientPair;

/// Renewed at the latest so long before its end.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(30 * 24 * 3600);

/// A certificate and its key, in PEM. Not the same as a pair that was read: see [`Pair::client_pair`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8 or PKCS#1.
    pub key: Secret,
}

impl Pair {
    /// Joins a certificate and a key that belong together.
    pub(super) fn of(certificate: Option<&String>, key: Option<&String>) -> Option<Self> {
        let pair = Self { certificate: certificate?.clone(), key: Secret::new(key?.clone()) };
        pair.client_pair().is_ok().then_some(pair)
    }

    /// Reads both for TLS; fails when they do not belong together.
    pub fn client_pair(&self) -> Result<ClientPair, Error> {
        let unreadable = |what: &str| Error::General(format!("the {what} is no PEM"));
        let chain = vec![self.der().ok_or_else(|| unreadable("certificate"))?];
        let key =
            PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes()).map_err(|_| unreadable("key"))?;
        CertifiedKey::new(chain.clone(), any_supported_type(&key)?).keys_match()?;
        Ok(ClientPair { chain, key })
    }

    /// Returns the certificate in DER.
    pub fn der(&self) -> Option<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()
    }

    /// Returns whom the certificate names.
    pub fn subject(&self) -> Option<String> {
        let certificate = Certificate::from_der(&self.der()?).ok()?;
        Some(certificate.tbs_certificate().subject().to_string())
    }

    /// Returns when the certificate begins and ends.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        let certificate = Certificate::from_der(&self.der()?).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let time = |time: x509_cert::time::Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
        Some((time(validity.not_before), time(validity.not_after)))
    }

    /// Says whether it is time for another: after two thirds of its life, or 30 days before its end.
    pub fn is_old(&self, now: SystemTime) -> bool {
        let Some((begins, ends)) = self.validity() else { return true };
        let life = ends.duration_since(begins).unwrap_or_default();
        let left = ends.duration_since(now).unwrap_or_default();
        left < RENEWED_BEFORE_END || left < life / 3
    }
}
