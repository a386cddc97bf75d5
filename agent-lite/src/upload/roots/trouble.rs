//! Why there is no TLS with the other side.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::InvalidMessage;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Most characters that are shown of what a stranger's certificate says.
const LONGEST_SHOWN: usize = 200;

/// Why there is no TLS with the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsTrouble {
    /// No authority that is trusted vouches for the certificate.
    #[error("its certificate was issued by `{issuer}`, whom no trusted authority vouches for")]
    UnknownIssuer {
        /// As the certificate says.
        issuer: String,
    },
    /// An authority of that name is trusted, but it has another key: it was made anew.
    #[error("its certificate was issued by `{issuer}`, but by another key than the trusted one of that name")]
    OtherKey {
        /// As the certificate says.
        issuer: String,
    },
    /// The certificate is somebody else's.
    #[error("its certificate is for {names} and not for the name that was asked for")]
    WrongName {
        /// The names in the certificate.
        names: String,
    },
    /// The certificate is too old, or the clock is wrong.
    #[error("its certificate expired on {until}; by this machine's clock it is {now}")]
    Expired {
        /// The last second of the certificate.
        until: String,
        /// The clock.
        now: String,
    },
    /// The certificate is too new, or the clock is wrong.
    #[error("its certificate begins on {from}; by this machine's clock it is {now}")]
    NotYetValid {
        /// The first second of the certificate.
        from: String,
        /// The clock.
        now: String,
    },
    /// The certificate is wrong in another way.
    #[error("its certificate is not good: {0}")]
    Certificate(String),
    /// The other side speaks something else on this port.
    #[error("it does not speak TLS there")]
    NotTls,
    /// The other side sent an alert.
    #[error("it refused the TLS handshake with the alert {0}")]
    Alert(String),
    /// The other side and we have nothing in common, or it breaks the protocol.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// The connection ended in the handshake.
    #[error("it closed the connection in the TLS handshake")]
    Closed,
    /// The connection broke in the handshake.
    #[error("the connection broke in the TLS handshake: {0}")]
    Broken(io::ErrorKind),
}

impl TlsTrouble {
    /// Reads the error of a handshake.
    pub(in crate::upload) fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::Closed,
                kind => Self::Broken(kind),
            };
        };
        match tls {
            Error::InvalidCertificate(CertificateError::Other(reason)) => {
                match reason.0.downcast_ref::<Self>() {
                    Some(trouble) => trouble.clone(),
                    None => Self::Certificate(shown(&tls.to_string())),
                }
            }
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            Error::AlertReceived(alert) => Self::Alert(format!("{alert:?}")),
            other => Self::Handshake(shown(&other.to_string())),
        }
    }

    /// Reads a verdict on a certificate.
    pub(super) fn of_certificate(reason: &CertificateError, certificate: &CertificateDer<'_>) -> Self {
        match reason {
            CertificateError::UnknownIssuer => Self::UnknownIssuer { issuer: issuer(certificate) },
            CertificateError::BadSignature => Self::OtherKey { issuer: issuer(certificate) },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName { names: shown(&presented.join(", ")) }
            }
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { until: date(not_after.as_secs()), now: date(time.as_secs()) }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { from: date(not_before.as_secs()), now: date(time.as_secs()) }
            }
            other => Self::Certificate(shown(&other.to_string())),
        }
    }
}

fn issuer(certificate: &CertificateDer<'_>) -> String {
    match Certificate::from_der(certificate) {
        Ok(certificate) => shown(&certificate.tbs_certificate().issuer().to_string()),
        Err(_) => "somebody whose name cannot be read".to_owned(),
    }
}

/// Returns what may stand in a log line of a stranger's text.
pub(in crate::upload) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST_SHOWN).collect()
}

fn date(seconds: u64) -> String {
    let time = Timestamp::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(|_| "a day beyond all calendars".to_owned(), |time| time.to_string())
}
