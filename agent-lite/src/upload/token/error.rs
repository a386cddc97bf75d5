//! Why there is no token, and what the operator changes.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls;

use crate::transport::logs_ingestion::CredentialError;
use crate::upload::https::SendError;

/// Why there is no token, and how long to wait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no token: {reason}")]
pub struct TokenFailure {
    /// Why.
    pub reason: TokenReason,
    /// How long until it is tried again.
    pub wait: Duration,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenReason {
    /// No answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The token service says no.
    #[error(
        "the token service answered with status {status}{}{}",
        said.as_ref().map(|said| format!(": {said}")).unwrap_or_default(),
        skew.as_ref().map(|skew| format!(" (this machine's clock is {skew})")).unwrap_or_default()
    )]
    Refused {
        /// The status.
        status: u16,
        /// What it says, with its code.
        said: Option<String>,
        /// How far off the clock is, if it is.
        skew: Option<String>,
    },
    /// A 200 without a token.
    #[error("the token service's answer holds no bearer token")]
    Garbage,
    /// The certificate does not sign.
    #[error(transparent)]
    Credential(CredentialError),
}

/// Why there will never be a token with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum TokenSetupError {
    /// The file cannot be read.
    #[error("{}: {error}; name a file that the agent may read", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is no PEM.
    #[error("{} is larger than 256 KiB; name a PEM file", .0.display())]
    TooLarge(PathBuf),
    /// The file is not what it must be.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CredentialError,
    },
    /// TLS cannot be set up.
    #[error("TLS to the token service cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Entra's own numbers for what an operator can mend (Microsoft Entra authentication and authorization error codes).
const CODES: [(&str, &str); 6] = [
    ("AADSTS7000215", "write the client secret's value in the configuration, not its ID"),
    ("AADSTS7000222", "the client secret is over: make a new one for the application"),
    ("AADSTS700016", "mend the client (application) ID, or the tenant it belongs to"),
    ("AADSTS90002", "mend the tenant"),
    ("AADSTS700027", "upload this certificate to the application, or name the one that is there"),
    ("AADSTS700024", "set this machine's clock"),
];

impl TokenReason {
    /// Returns what the operator changes.
    pub fn what_to_change(&self) -> String {
        let text = match self {
            Self::Send(error) => return error.what_to_change(),
            Self::Refused { skew: Some(_), .. } => "set this machine's clock",
            Self::Refused { said, status, .. } => {
                let known =
                    CODES.iter().find(|(code, _)| said.as_ref().is_some_and(|said| holds(said, code)));
                match (known, status) {
                    (Some((_, change)), _) => change,
                    (None, 400..=403) => "mend tenant, client ID, credential and scope of this workspace",
                    (None, 404) => "mend the tenant, or the host of the token service",
                    (None, _) => "nothing, if it passes; else look at Entra's status",
                }
            }
            Self::Garbage => "look whether the host of the token service is Entra's",
            Self::Credential(_) => "name another certificate and key",
        };
        text.to_owned()
    }
}

/// Says whether a code stands in a text, and not a longer one.
fn holds(text: &str, code: &str) -> bool {
    text.split(code).skip(1).any(|after| !after.starts_with(|c: char| c.is_ascii_digit()))
}
