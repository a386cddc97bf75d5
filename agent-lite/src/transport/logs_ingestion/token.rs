use std::time::Duration;

use bytes::Bytes;
use common::host_port::HostPort;
use common::secret::Secret;
use serde::Deserialize;
use uuid::Uuid;

use super::CertificateCredential;
use super::CredentialError;
use crate::record::Timestamp;
use crate::transport::ClientCertificate;
use crate::transport::Outgoing;
use crate::transport::request::encoded;
use crate::transport::request::path;

/// Largest reply that is read.
const LARGEST_REPLY: usize = 64 * 1024;
/// Longest token that is used.
const LONGEST_TOKEN: usize = 16 * 1024;
/// How long a token is used at least and at most, whatever the service says.
const LIFETIME: (u64, u64) = (60, 24 * 3600);

/// An Entra application and where its token comes from.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// `login.microsoftonline.com` and its like.
    pub token_host: &'a HostPort,
    /// The Entra tenant, a GUID or a domain.
    pub tenant: &'a str,
    /// The application (client) ID.
    pub client: &'a str,
    /// `https://monitor.azure.com/.default` and its like.
    pub scope: &'a str,
}

/// Returns the request for a token that proves itself by a client secret.
pub fn token_by_secret(application: &Application<'_>, secret: &Secret, request_id: Uuid) -> Outgoing {
    let proof = format!("client_secret={}", encoded(secret.expose()));
    application.ask(&proof, request_id)
}

/// Returns the request for a token that proves itself by a certificate. `assertion_id` must be a new one each
/// time.
pub fn token_by_certificate(
    application: &Application<'_>,
    credential: &CertificateCredential,
    now: Timestamp,
    assertion_id: Uuid,
    request_id: Uuid,
) -> Result<Outgoing, CredentialError> {
    let (tenant, client) = (encoded(application.tenant), application.client);
    let port = match application.token_host.port() {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let audience = format!("https://{}{port}/{tenant}/oauth2/v2.0/token", application.token_host.name());
    let assertion = credential.assertion(&audience, client, now, assertion_id)?;
    let proof = format!(
        "client_assertion_type={}&client_assertion={assertion}",
        encoded("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    Ok(application.ask(&proof, request_id))
}

impl Application<'_> {
    fn ask(&self, proof: &str, request_id: Uuid) -> Outgoing {
        let form = format!(
            "client_id={}&scope={}&grant_type=client_credentials&{proof}",
            encoded(self.client),
            encoded(self.scope)
        );
        let path = path(format!("/{}/oauth2/v2.0/token", encoded(self.tenant)));
        Outgoing::post(self.token_host, path, ClientCertificate::NotShown)
            .field("content-type", "application/x-www-form-urlencoded")
            .field("accept", "application/json")
            .field("client-request-id", &request_id.hyphenated().to_string())
            .body(Bytes::from(form))
    }
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReply {
    /// What is shown to the service.
    pub token: Secret,
    /// How long it is good from now on.
    pub expires_in: Duration,
}

/// An answer without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token service's answer holds no bearer token")]
pub struct TokenError;

#[derive(Deserialize)]
struct Reply {
    token_type: String,
    access_token: String,
    expires_in: Seconds,
}

/// Some services write the number as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl TokenReply {
    /// Reads the body of a 200.
    pub fn parse(body: &[u8]) -> Result<Self, TokenError> {
        if body.len() > LARGEST_REPLY {
            return Err(TokenError);
        }
        let reply: Reply = serde_json::from_slice(body).map_err(|_| TokenError)?;
        let seconds = match reply.expires_in {
            Seconds::Number(seconds) => seconds,
            Seconds::Text(text) => text.parse().map_err(|_| TokenError)?,
        };
        let token = reply.access_token;
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=LONGEST_TOKEN).contains(&token.len());
        match reply.token_type.eq_ignore_ascii_case("Bearer") && plain && fits {
            true => Ok(Self {
                token: Secret::new(token),
                expires_in: Duration::from_secs(seconds.clamp(LIFETIME.0, LIFETIME.1)),
            }),
            false => Err(TokenError),
        }
    }
}
