//! The Logs Ingestion API: a data collection rule and a token of Entra (oms-protocol, section 5.2).

use common::host_port::HostPort;
use common::secret::Secret;
use uuid::Uuid;

use super::ClientCertificate;
use super::Outgoing;
use super::Parcel;
use super::request::encoded;
use super::request::path;

mod assertion;
mod token;

pub use self::assertion::CertificateCredential;
pub use self::assertion::CredentialError;
pub use self::token::Application;
pub use self::token::TokenError;
pub use self::token::TokenReply;
pub use self::token::token_by_certificate;
pub use self::token::token_by_secret;

/// Returns the request with a parcel for a stream of a rule.
pub fn post(
    endpoint: &HostPort,
    rule: &str,
    stream: &str,
    token: &Secret,
    parcel: &Parcel,
    request_id: Uuid,
) -> Outgoing {
    let (rule, stream) = (encoded(rule), encoded(stream));
    let path = path(format!("/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01"));
    Outgoing::post(endpoint, path, ClientCertificate::NotShown)
        .field("content-type", "application/json")
        .field_if("content-encoding", parcel.encoding)
        .field("x-ms-client-request-id", &request_id.hyphenated().to_string())
        .secret_field("authorization", &format!("Bearer {}", token.expose()))
        .body(parcel.body.clone())
}

#[cfg(test)]
mod tests;
