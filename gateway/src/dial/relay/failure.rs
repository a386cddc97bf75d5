//! Why a relay gave no tunnel: in the operator's words, and as a refusal.

use std::io;
use std::net::IpAddr;

use common::connect::ConnectError;

use crate::refusal::Refusal;

/// Why a relay gave no tunnel, in the operator's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It has a name that has no address, or the name servers failed.
    #[error("its name: {0}")]
    Name(Refusal),
    /// Its address is that of a listener of this gateway.
    #[error("its address {0} is this gateway's own")]
    Own(IpAddr),
    /// No address of it takes connections.
    #[error("it refuses connections")]
    Refused,
    /// There is no way to it.
    #[error("it cannot be reached")]
    Unreachable,
    /// The fault is not its own.
    #[error("this gateway has no descriptor or memory left")]
    Exhausted,
    /// It is silent.
    #[error("no answer in its share of the time")]
    Timeout,
    /// No TLS, or a certificate that does not prove its name.
    #[error("TLS to the relay failed: {0}")]
    Tls(io::Error),
    /// It does not know our user and password, or wants some.
    #[error("it answered 401 or 407: give it a user and password, or mend them")]
    Credentials,
    /// It refuses the destination, and so would the next.
    #[error("it answered {0}")]
    Denied(u16),
    /// Any other answer, or none.
    #[error("{0}")]
    Answer(ConnectError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NameNotFound | Refusal::NameFailed | Refusal::NameTimeout => Self::Name(refusal),
            Refusal::SelfConnection { address } => Self::Own(address),
            Refusal::ConnectRefused => Self::Refused,
            Refusal::ConnectTimeout => Self::Timeout,
            Refusal::Internal => Self::Exhausted,
            _ => Self::Unreachable,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            // 401 is tinyproxy's answer to a wrong password.
            ConnectError::Status(401 | 407) => Self::Credentials,
            // The relay's own trouble, a time or a limit, and not the destination's.
            ConnectError::Status(408 | 429) => Self::Answer(error),
            ConnectError::Status(status @ 400..=499) => Self::Denied(status),
            ConnectError::Status(_)
            | ConnectError::Garbage
            | ConnectError::TooLong
            | ConnectError::Closed
            | ConnectError::Io(_) => Self::Answer(error),
        }
    }
}

impl Failure {
    /// Returns what the failure means to the client and the record.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::Own(address) => Refusal::SelfConnection { address: *address },
            Self::Exhausted => Refusal::Internal,
            Self::Timeout => Refusal::RelayTimeout,
            Self::Name(_) | Self::Refused | Self::Unreachable => Refusal::RelayUnreachable,
            Self::Credentials => Refusal::RelayCredentials,
            Self::Denied(_) => Refusal::RelayDenied,
            Self::Tls(_) | Self::Answer(_) => Refusal::RelayFailed,
        }
    }
}

/// How much a refusal tells when several relays fail in different ways.
pub(super) fn telling(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::SelfConnection { .. } => 4,
        Refusal::RelayCredentials => 3,
        Refusal::RelayFailed => 2,
        Refusal::RelayTimeout => 1,
        _ => 0,
    }
}
