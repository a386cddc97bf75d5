//! Why onboarding failed, with the exit codes of the legacy tool (oms-protocol, section 1.7).

use crate::transport::certificate::CertificateError;
use crate::upload::https::SendError;
use crate::upload::identity::IdentityError;

/// Why onboarding failed.
#[derive(Debug, thiserror::Error)]
pub enum OnboardError {
    /// The workspace ID is no GUID.
    #[error(
        "`{0}` is no workspace ID; copy it from the workspace's `Agents` page, it looks like 00000000-0000-0000-0000-000000000000"
    )]
    Workspace(String),
    /// The domain makes no host name.
    #[error(
        "the domain makes no host name: {0}; write opinsights.azure.com, opinsights.azure.us or opinsights.azure.cn"
    )]
    Domain(String),
    /// The key is no key.
    #[error("the workspace key is no base64; copy it whole from the workspace's `Agents` page")]
    Key,
    /// 403.
    #[error("the service refused this agent (403){}{}", quoted(.said), change(.skew))]
    Forbidden {
        /// What the service says.
        said: Option<String>,
        /// How far off the clock is, if it is.
        skew: Option<String>,
    },
    /// Another status.
    #[error("the service answered with status {status}{}; try again later", quoted(.said))]
    Status {
        /// The status.
        status: u16,
        /// What the service says.
        said: Option<String>,
    },
    /// No answer.
    #[error("{0}; {change}", change = .0.what_to_change())]
    Send(#[from] SendError),
    /// The identity cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The program ends.
    #[error("the program was stopped in the middle of it")]
    Stopped,
}

fn quoted(said: &Option<String>) -> String {
    said.as_ref().map(|said| format!(": {said}")).unwrap_or_default()
}

fn change(skew: &Option<String>) -> String {
    match skew {
        Some(skew) => format!("; this machine's clock is {skew}: set it, by NTP if you can"),
        None => "; look whether ID, key and domain belong to the same workspace".to_owned(),
    }
}

impl OnboardError {
    /// Returns the exit code. 7 is not used: it means a name that is not resolved where there is no proxy.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Domain(_) => 2,
            Self::Workspace(_) | Self::Key => 3,
            Self::Send(SendError::Gateway(_)) => 4,
            Self::Forbidden { .. } => 5,
            Self::Status { .. } => 6,
            Self::Send(_) | Self::Identity(_) | Self::Certificate(_) | Self::Stopped => 8,
        }
    }
}
