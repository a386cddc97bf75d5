//! Why a round failed.

use crate::transport::certificate::CertificateError;
use crate::transport::log_analytics_agent::TopologyError;
use crate::upload::https::SendError;
use crate::upload::identity::IdentityError;

/// Why a topology request or a renewal failed.
#[derive(Debug, thiserror::Error)]
pub enum TopologyTrouble {
    /// No answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The service says no.
    #[error("the service answered with status {status}{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Status {
        /// The status.
        status: u16,
        /// What the service says.
        said: Option<String>,
    },
    /// The answer cannot be followed.
    #[error(transparent)]
    Answer(#[from] TopologyError),
    /// The service never said where certificates are renewed.
    #[error("the service has not said where certificates are renewed")]
    NoEndpoint,
    /// There is no new certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The disk.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl TopologyTrouble {
    /// Says whether the service has refused a certificate that it was shown: it is in good health, and we are not known.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status: 400..=499, .. } if !matches!(self, Self::Status { status: 408 | 429, .. }))
    }

    /// Returns what the operator changes.
    pub fn what_to_change(&self) -> String {
        let text = match self {
            Self::Send(error) => return error.what_to_change(),
            Self::Status { status: 401 | 403, .. } => {
                "look at this machine's clock; else onboard this workspace again"
            }
            Self::Status { .. } | Self::Answer(_) => "nothing, if it passes; else look at Azure's status",
            Self::NoEndpoint => "onboard this workspace again before its certificate ends",
            Self::Certificate(_) => "restart the agent",
            Self::Identity(_) => "make the state folder writable for the agent, and room on its disk",
        };
        text.to_owned()
    }
}
