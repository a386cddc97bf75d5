//! The Entra token of one workspace, fetched through the gateways and kept until it is nearly over.

mod error;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use common::secret::Secret;
use http::StatusCode;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::error::TokenFailure;
pub use self::error::TokenReason;
pub use self::error::TokenSetupError;
use crate::config::settings::CredentialSettings;
use crate::config::settings::LogsIngestionSettings;
use crate::system;
use crate::transport::Outgoing;
use crate::transport::logs_ingestion::Application;
use crate::transport::logs_ingestion::CertificateCredential;
use crate::transport::logs_ingestion::CredentialError;
use crate::transport::logs_ingestion::TokenReply;
use crate::transport::logs_ingestion::token_by_certificate;
use crate::transport::logs_ingestion::token_by_secret;
use crate::transport::reason;
use crate::transport::retry_after;
use crate::upload::gateways::Gateways;
use crate::upload::https::Answer;
use crate::upload::https::Channel;
use crate::upload::https::skew;
use crate::upload::identity::timestamp;
use crate::upload::roots::Roots;

/// A token is not used so long before its end.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// After a refused token was replaced, the next is not doubted sooner.
const DOUBT_AFTER: Duration = Duration::from_secs(5 * 60);
/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The wait after a first failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
/// Largest file of a certificate or key.
const LARGEST_FILE: u64 = 256 * 1024;

/// The token of one workspace.
pub struct Token {
    settings: LogsIngestionSettings,
    credential: Credential,
    channel: Channel,
    kept: Option<Kept>,
    doubted: Option<Instant>,
    failed: Option<(TokenReason, Instant)>,
    failures: u32,
}

enum Credential {
    Secret(Secret),
    Certificate(Box<CertificateCredential>),
}

struct Kept {
    token: Secret,
    ends: Instant,
}

/// What to do after a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// The token is forgotten: fetch another and send again, at once.
    FetchAnother,
    /// The token is new: another will not be better.
    Give,
}

impl Token {
    /// Begins without a token; reads the files of a certificate here, once.
    pub fn new(
        settings: &LogsIngestionSettings,
        gateways: Gateways,
        roots: &Roots,
    ) -> Result<Self, TokenSetupError> {
        let credential = match &settings.credential {
            CredentialSettings::Secret(secret) => Credential::Secret(secret.clone()),
            CredentialSettings::Certificate { certificate, key } => {
                let (text, secret) = (read(certificate)?, Secret::new(read(key)?));
                let wrong = |error| match error {
                    CredentialError::Certificate => {
                        TokenSetupError::File { path: certificate.clone(), error }
                    }
                    CredentialError::Key | CredentialError::Signature => {
                        TokenSetupError::File { path: key.clone(), error }
                    }
                };
                let credential = CertificateCredential::parse(&text, &secret).map_err(wrong)?;
                Credential::Certificate(Box::new(credential))
            }
        };
        let channel = Channel::new(gateways, settings.token_host.clone(), roots.client(None)?);
        let settings = settings.clone();
        Ok(Self { settings, credential, channel, kept: None, doubted: None, failed: None, failures: 0 })
    }

    /// Returns a token that is good for some minutes; fetches one when there is none, but not sooner after a failure
    /// than [`TokenFailure::wait`] says.
    pub async fn token(&mut self) -> Result<Secret, TokenFailure> {
        let now = Instant::now();
        if let Some(kept) = self.kept.as_ref().filter(|kept| now < kept.ends) {
            return Ok(kept.token.clone());
        }
        if let Some((reason, until)) = self.failed.as_ref().filter(|(_, until)| now < *until) {
            return Err(TokenFailure { reason: reason.clone(), wait: *until - now });
        }
        match self.fetch().await {
            Ok(reply) => {
                let fetched = Instant::now();
                // A token that lives shorter than twice the margin is used for half its life.
                let margin = MARGIN.min(reply.expires_in / 2);
                let token = reply.token;
                self.kept = Some(Kept { token: token.clone(), ends: fetched + reply.expires_in - margin });
                (self.failed, self.failures) = (None, 0);
                Ok(token)
            }
            Err((reason, asked)) => Err(self.fail(reason, asked)),
        }
    }

    /// Notes that the service refused a token (401): once it is replaced, twice in a short time it is not the token.
    pub fn refused(&mut self, token: &Secret) -> AfterRefusal {
        if self.kept.as_ref().is_none_or(|kept| kept.token != *token) {
            // Another has taken its place already.
            return AfterRefusal::FetchAnother;
        }
        let now = Instant::now();
        if self.doubted.is_some_and(|doubted| now < doubted + DOUBT_AFTER) {
            return AfterRefusal::Give;
        }
        (self.kept, self.doubted) = (None, Some(now));
        AfterRefusal::FetchAnother
    }

    async fn fetch(&mut self) -> Result<TokenReply, (TokenReason, Option<Duration>)> {
        let request = self.request().map_err(|error| (TokenReason::Credential(error), None))?;
        let outcome = self.channel.send(&request, LIMIT).await;
        self.channel.close();
        let answer = outcome.map_err(|error| (TokenReason::Send(error), None))?;
        if answer.status == StatusCode::OK {
            return TokenReply::parse(&answer.body).map_err(|_| (TokenReason::Garbage, None));
        }
        Err(refusal(&answer))
    }

    fn request(&self) -> Result<Outgoing, CredentialError> {
        let application = Application {
            token_host: &self.settings.token_host,
            tenant: &self.settings.tenant,
            client: &self.settings.client,
            scope: &self.settings.scope,
        };
        let request_id = Uuid::new_v4();
        match &self.credential {
            Credential::Secret(secret) => Ok(token_by_secret(&application, secret, request_id)),
            Credential::Certificate(certificate) => {
                let now = timestamp(SystemTime::now());
                token_by_certificate(&application, certificate, now, Uuid::new_v4(), request_id)
            }
        }
    }

    /// Waits twice as long after each failure, with full jitter above the half, or as long as the service asks.
    fn fail(&mut self, reason: TokenReason, asked: Option<Duration>) -> TokenFailure {
        let (first, longest) = WAITS;
        let most = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        let part = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let wait = (most / 2 + (most / 2).mul_f64(part)).max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.failed = Some((reason.clone(), Instant::now() + wait));
        TokenFailure { reason, wait }
    }
}

fn refusal(answer: &Answer) -> (TokenReason, Option<Duration>) {
    let asked = retry_after(&answer.headers, answer.date.unwrap_or_else(SystemTime::now));
    let skew = answer.date.and_then(|theirs| skew(SystemTime::now(), theirs));
    let said = reason(&answer.body);
    (TokenReason::Refused { status: answer.status.as_u16(), said, skew }, asked)
}

fn read(path: &Path) -> Result<String, TokenSetupError> {
    let told = |error| TokenSetupError::Disk { path: path.to_owned(), error };
    match fs::metadata(path).map_err(told)?.len() {
        ..=LARGEST_FILE => fs::read_to_string(path).and_then(system::unsealed).map_err(told),
        _ => Err(TokenSetupError::TooLarge(path.to_owned())),
    }
}
