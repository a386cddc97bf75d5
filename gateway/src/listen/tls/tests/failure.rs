//! Why a handshake failed, in a word.

use std::io;

use tokio_rustls::rustls::CertificateError;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::InvalidMessage;
use tokio_rustls::rustls::PeerIncompatible;

/// Returns why a handshake with a client failed.
pub(super) fn failure(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::NoCertificatesPresented) => "no_certificate",
        Some(Error::InvalidCertificate(error)) => certificate(error),
        Some(Error::InvalidCertRevocationList(_)) => "revocation_list_unusable",
        Some(Error::NoApplicationProtocol) => "no_common_alpn",
        // A hello without signature algorithms, which came with TLS 1.2, is an older one's.
        Some(Error::PeerIncompatible(
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => "tls_version",
        Some(Error::PeerIncompatible(_)) => "incompatible",
        Some(Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::MessageTooLarge,
        )) => "message_too_large",
        Some(Error::InvalidMessage(_)) => "not_tls",
        // The client does not trust our certificate, as a rule.
        Some(Error::AlertReceived(_)) => "alert_received",
        Some(_) => "protocol",
        None => "broken_off",
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => "certificate_issuer_unknown",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate_expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate_not_valid_yet"
        }
        CertificateError::Revoked => "certificate_revoked",
        CertificateError::UnknownRevocationStatus => "revocation_unknown",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "revocation_list_expired"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate_purpose"
        }
        _ => "certificate_invalid",
    }
}
