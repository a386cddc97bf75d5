//! Why a request has no answer, and what the operator changes.

use std::fmt;

use common::host_port::HostPort;

use crate::upload::gateways::GatewayError;
use crate::upload::roots::TlsTrouble;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No gateway gave a tunnel.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// No TLS with the origin.
    #[error("{origin}: {trouble}{}", interception(.trouble))]
    OriginTls {
        /// The origin.
        origin: HostPort,
        /// What is wrong.
        trouble: TlsTrouble,
    },
    /// The origin is silent.
    #[error("{origin}: {phase}")]
    Timeout {
        /// The origin.
        origin: HostPort,
        /// Where.
        phase: SendPhase,
    },
    /// The connection broke.
    #[error("{origin}: the connection broke: {cause}")]
    Broken {
        /// The origin.
        origin: HostPort,
        /// Whether the origin may have seen the request, or a part of it.
        request_sent: bool,
        /// What hyper says.
        cause: String,
    },
    /// The agent's own certificate cannot be shown.
    #[error("the agent's certificate cannot be used: {0}")]
    Certificate(String),
}

/// Where in the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendPhase {
    /// TLS to the origin.
    Tls,
    /// The request is written, or its answer waited for.
    Answer,
    /// The answer's body.
    Body,
}

impl fmt::Display for SendPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "it does not end the TLS handshake in time",
            Self::Answer => "it does not answer in time",
            Self::Body => "it does not end its answer in time",
        })
    }
}

fn interception(trouble: &TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::UnknownIssuer { .. } => "; it looks as if that issuer intercepts TLS",
        _ => "",
    }
}

impl SendError {
    pub(super) fn closed_at_once(origin: &HostPort) -> Self {
        let cause = "it was closed before the request was written".to_owned();
        Self::Broken { origin: origin.clone(), request_sent: false, cause }
    }

    /// Says whether the origin may have seen the request, or a part of it.
    pub fn request_sent(&self) -> bool {
        match self {
            Self::Gateway(_) | Self::OriginTls { .. } | Self::Certificate(_) => false,
            Self::Timeout { phase: SendPhase::Tls, .. } => false,
            Self::Timeout { phase: SendPhase::Answer | SendPhase::Body, .. } => true,
            Self::Broken { request_sent, .. } => *request_sent,
        }
    }

    /// Returns what the operator changes.
    pub fn what_to_change(&self) -> String {
        let text = match self {
            Self::Gateway(error) => return error.what_to_change(),
            Self::OriginTls { trouble, .. } => tls_change(trouble),
            Self::Timeout { phase: SendPhase::Tls, .. } => {
                "look at the gateway's log for this tunnel, and at firewalls between the gateway and the internet"
            }
            Self::Timeout { .. } | Self::Broken { .. } => {
                "nothing, if it passes; else look at the gateway's log for this tunnel, and at Azure's status"
            }
            Self::Certificate(_) => "onboard this workspace again: agent-lite onboard",
        };
        text.to_owned()
    }
}

fn tls_change(trouble: &TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::UnknownIssuer { .. } | TlsTrouble::OtherKey { .. } => {
            "exempt this host from TLS inspection between the gateway and the internet; if the issuer is one of Azure's, renew the roots (package ca-certificates, or azure_ca)"
        }
        TlsTrouble::WrongName { .. } => {
            "look whether the gateway's name servers or a proxy above it lead this name elsewhere"
        }
        TlsTrouble::Expired { .. } | TlsTrouble::NotYetValid { .. } => "set this machine's clock",
        TlsTrouble::Certificate(_) | TlsTrouble::NotTls | TlsTrouble::Handshake(_) => {
            "look what stands between the gateway and the internet: this is not Azure's own TLS"
        }
        TlsTrouble::Alert(_) | TlsTrouble::Closed | TlsTrouble::Broken(_) => {
            "look at the gateway's log for this tunnel; if this workspace shows a certificate, onboard it again"
        }
    }
}
