//! The operator's table: every reason a CONNECT is refused, and what each means to everyone.
//!
//! [`Refusal::row`] is one exhaustive `match`. It gives the status the client gets, the label in
//! metrics and records, the event id, the level, whose fault it is, and the error type for the
//! `Proxy-Status` field (RFC 9209 section 2.3). A new reason is a new variant here and nothing else.

mod advice;

use std::net::IpAddr;
use std::time::Duration;

use common::host_port::HostPortError;

use crate::events;
use crate::events::EventId;

/// Why a request was refused before its tunnel began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request head is not HTTP/1.1 as this server reads it.
    #[error("malformed request: {0}")]
    MalformedRequest(&'static str),
    /// The request target is not `host:port`.
    #[error("malformed target: {0}")]
    MalformedTarget(HostPortError),
    /// The Host field names something other than the target.
    #[error("the Host field differs from the request target")]
    HostMismatch,
    /// The request announces a body.
    #[error("a CONNECT must have no body")]
    UnexpectedBody,
    /// The first byte is not the beginning of an HTTP request.
    #[error("the first bytes are not HTTP ({0})")]
    NotHttp(&'static str),
    /// Any method but CONNECT.
    #[error("only CONNECT is answered here")]
    NotConnect,
    /// A PROXY header that is missing, malformed, or from somebody who may not send one.
    #[error("PROXY header: {0}")]
    ProxyHeader(&'static str),
    /// The TLS handshake with the client failed. The text is the TLS library's own.
    #[error("the TLS handshake failed: {0}")]
    TlsHandshake(String),
    /// The request head did not arrive in time.
    #[error("the request head did not arrive in time")]
    HeadTimeout,
    /// The request head is larger than the bound.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// An HTTP version other than 1.0 and 1.1.
    #[error("the HTTP version is not supported")]
    VersionUnsupported,
    /// No credentials, where they are required.
    #[error("no credentials were sent")]
    CredentialsMissing,
    /// Credentials that do not parse, an unknown user, or a wrong password.
    #[error("the credentials are wrong")]
    CredentialsRejected,
    /// Too many failed logins from one network address.
    #[error("too many failed logins from this address")]
    FailedLogins {
        /// When the next try is allowed.
        retry_after: Duration,
    },
    /// Too many password checks at once.
    #[error("too many password checks are waiting")]
    PasswordWorkBusy,
    /// The client's network address belongs to no role, and no role has users.
    #[error("no role admits this client's network address")]
    ClientNetworkDenied,
    /// An IP address where a host name must stand.
    #[error("the target is an IP address; only names can be allowed")]
    AddressLiteral,
    /// A port other than 443.
    #[error("only port 443 is carried")]
    PortDenied,
    /// No rule of the client's role matches the host.
    #[error("no rule allows this host")]
    HostDenied,
    /// The host is of an allowed family, but of a workspace that is not listed.
    #[error("this workspace is not listed for the client's role")]
    WorkspaceDenied,
    /// The host is of an allowed family, but of a storage account that is not listed.
    #[error("this storage account is not listed for the client's role")]
    StorageAccountDenied,
    /// The client asks for new tunnels faster than allowed.
    #[error("too many requests")]
    RateLimited {
        /// When the next request is allowed.
        retry_after: Duration,
    },
    /// This client holds as many tunnels as it may.
    #[error("this client holds as many tunnels as it may")]
    ClientTunnels,
    /// The client's role holds as many tunnels as it may.
    #[error("the client's role holds as many tunnels as it may")]
    RoleTunnels,
    /// One network address holds as many connections as it may.
    #[error("this address holds as many connections as it may")]
    AddressConnections,
    /// The gateway holds as many tunnels as it may.
    #[error("the gateway holds as many tunnels as it may")]
    GatewayTunnels,
    /// More tunnels want to be set up than may wait for it.
    #[error("too many tunnels are being set up")]
    SetupBusy {
        /// When the client should come again; another time for each.
        retry_after: Duration,
    },
    /// The gateway is draining.
    #[error("the gateway is draining")]
    Draining,
    /// The name does not exist or has no address.
    #[error("the name does not exist or has no address")]
    NameNotFound,
    /// The name servers answered with an error, or not at all sensibly.
    #[error("the name servers failed")]
    NameFailed,
    /// The name servers did not answer in time.
    #[error("the name servers did not answer in time")]
    NameTimeout,
    /// The name has an address that may not be dialled. The address is for the record, not for the client.
    #[error("the name resolves to a forbidden address")]
    AddressForbidden {
        /// The forbidden address.
        address: IpAddr,
        /// The range it lies in.
        range: &'static str,
    },
    /// The name resolves to the gateway itself.
    #[error("the name resolves to the gateway itself")]
    SelfConnection {
        /// The gateway's own address.
        address: IpAddr,
    },
    /// Every address refused the connection.
    #[error("the destination refused the connection")]
    ConnectRefused,
    /// No address can be reached.
    #[error("the destination cannot be reached")]
    ConnectUnreachable,
    /// No address answered in time.
    #[error("the destination did not answer in time")]
    ConnectTimeout,
    /// The request came round to this gateway again, through a relay.
    #[error("the request has come back to this gateway: a relay leads to it")]
    Loop,
    /// The relay refuses the destination.
    #[error("the relay refuses this destination")]
    RelayDenied,
    /// The relay refuses the gateway's credentials.
    #[error("the relay refuses the gateway's credentials")]
    RelayCredentials,
    /// The relay failed, or answered with something that is no answer.
    #[error("the relay failed")]
    RelayFailed,
    /// No relay can be reached.
    #[error("no relay can be reached")]
    RelayUnreachable,
    /// No relay answered in time.
    #[error("the relay did not answer in time")]
    RelayTimeout,
    /// The gateway itself is at fault.
    #[error("internal error")]
    Internal,
}

/// Who can mend the cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client program, or whoever configured it.
    Client,
    /// The policy: an operator allows it, or it stays refused.
    Policy,
    /// The network, the name servers or the destination.
    Network,
    /// The gateway or its limits.
    Gateway,
}

impl Fault {
    /// Returns the word used in records: `client`, `policy`, `network` or `gateway`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Policy => "policy",
            Self::Network => "network",
            Self::Gateway => "gateway",
        }
    }
}

/// How loud the record of a refusal or an ending is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everyday.
    Info,
    /// Worth a look.
    Warn,
    /// Needs an operator.
    Error,
}

impl Level {
    /// Returns the word used in the reference: `info`, `warn` or `error`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What one [`Refusal`] means to everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// HTTP status code of the answer.
    pub status: u16,
    /// Value of `reason` in metrics and records; lower case with underscores.
    pub reason: &'static str,
    /// Event id of the record.
    pub event: EventId,
    /// Level of the record.
    pub level: Level,
    /// Who can mend it.
    pub fault: Fault,
    /// Error type in `Proxy-Status` (RFC 9209 section 2.3).
    pub proxy_error: &'static str,
}

impl Refusal {
    /// Returns this refusal's row of the table.
    #[rustfmt::skip]
    pub fn row(&self) -> Row {
        use Fault::{Client, Gateway, Network, Policy};
        use Level::{Error, Info, Warn};
        let (status, reason, event, level, fault, proxy_error) = match self {
            Self::MalformedRequest(_)    => (400, "malformed_request", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::MalformedTarget(_)     => (400, "malformed_target", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::HostMismatch           => (400, "host_mismatch", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::UnexpectedBody         => (400, "unexpected_body", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::NotHttp(_)             => (400, "not_http", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::ProxyHeader(_)         => (400, "proxy_header", events::PROTOCOL, Warn, Client, "http_request_error"),
            Self::TlsHandshake(_)        => (400, "tls_handshake", events::PROTOCOL, Warn, Client, "http_request_error"),
            Self::NotConnect             => (405, "not_connect", events::NOT_CONNECT, Info, Client, "http_request_denied"),
            Self::HeadTimeout            => (408, "head_timeout", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::HeadTooLarge           => (431, "head_too_large", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::VersionUnsupported     => (505, "version_unsupported", events::PROTOCOL, Info, Client, "http_request_error"),
            Self::CredentialsMissing     => (407, "credentials_missing", events::CREDENTIALS, Info, Client, "http_request_denied"),
            Self::CredentialsRejected    => (407, "credentials_rejected", events::CREDENTIALS, Warn, Client, "http_request_denied"),
            Self::FailedLogins { .. }    => (429, "failed_logins", events::LIMIT, Warn, Client, "http_request_denied"),
            Self::PasswordWorkBusy       => (503, "password_work_busy", events::LIMIT, Warn, Gateway, "connection_limit_reached"),
            Self::ClientNetworkDenied    => (403, "client_network_denied", events::CLIENT_NETWORK_DENIED, Warn, Policy, "http_request_denied"),
            Self::AddressLiteral         => (403, "address_literal", events::DESTINATION_DENIED, Warn, Policy, "http_request_denied"),
            Self::PortDenied             => (403, "port_denied", events::DESTINATION_DENIED, Warn, Policy, "http_request_denied"),
            Self::HostDenied             => (403, "host_denied", events::DESTINATION_DENIED, Warn, Policy, "http_request_denied"),
            Self::WorkspaceDenied        => (403, "workspace_denied", events::DESTINATION_DENIED, Warn, Policy, "http_request_denied"),
            Self::StorageAccountDenied   => (403, "storage_account_denied", events::DESTINATION_DENIED, Warn, Policy, "http_request_denied"),
            Self::RateLimited { .. }     => (429, "rate_limited", events::LIMIT, Info, Client, "http_request_denied"),
            Self::ClientTunnels          => (429, "client_tunnels", events::LIMIT, Warn, Client, "connection_limit_reached"),
            Self::RoleTunnels            => (503, "role_tunnels", events::LIMIT, Warn, Gateway, "connection_limit_reached"),
            Self::AddressConnections     => (429, "address_connections", events::LIMIT, Warn, Client, "connection_limit_reached"),
            Self::GatewayTunnels         => (503, "gateway_tunnels", events::LIMIT, Error, Gateway, "connection_limit_reached"),
            Self::SetupBusy { .. }       => (503, "setup_busy", events::SURGE, Warn, Gateway, "connection_limit_reached"),
            Self::Draining               => (503, "draining", events::DRAINING, Info, Gateway, "connection_limit_reached"),
            Self::NameNotFound           => (502, "name_not_found", events::NAME_FAILED, Warn, Network, "dns_error"),
            Self::NameFailed             => (502, "name_failed", events::NAME_FAILED, Error, Network, "dns_error"),
            Self::NameTimeout            => (504, "name_timeout", events::NAME_FAILED, Error, Network, "dns_timeout"),
            Self::AddressForbidden { .. } => (403, "address_forbidden", events::ADDRESS_FORBIDDEN, Warn, Policy, "destination_ip_prohibited"),
            Self::SelfConnection { .. }  => (403, "self_connection", events::ADDRESS_FORBIDDEN, Error, Policy, "proxy_loop_detected"),
            Self::ConnectRefused         => (502, "connect_refused", events::NETWORK, Error, Network, "connection_refused"),
            Self::ConnectUnreachable     => (502, "connect_unreachable", events::NETWORK, Error, Network, "destination_ip_unroutable"),
            Self::ConnectTimeout         => (504, "connect_timeout", events::NETWORK, Error, Network, "connection_timeout"),
            Self::Loop                   => (508, "loop", events::RELAY, Error, Gateway, "proxy_loop_detected"),
            Self::RelayDenied            => (403, "relay_denied", events::RELAY, Warn, Policy, "http_request_denied"),
            Self::RelayCredentials       => (502, "relay_credentials", events::RELAY, Error, Gateway, "proxy_configuration_error"),
            Self::RelayFailed            => (502, "relay_failed", events::RELAY, Error, Network, "http_protocol_error"),
            Self::RelayUnreachable       => (502, "relay_unreachable", events::RELAY, Error, Network, "destination_unavailable"),
            Self::RelayTimeout           => (504, "relay_timeout", events::RELAY, Error, Network, "connection_timeout"),
            Self::Internal               => (500, "internal", events::INTERNAL, Error, Gateway, "proxy_internal_error"),
        };
        Row { status, reason, event, level, fault, proxy_error }
    }

    /// Returns the text for the operator: the client's, and what the client is not told.
    pub fn detail(&self) -> String {
        match self {
            Self::AddressForbidden { address, range } => format!("{self}: {address} ({range})"),
            Self::SelfConnection { address } => format!("{self}: {address}"),
            _ => self.to_string(),
        }
    }

    /// Returns how long a client should wait, for the refusals that pass by themselves.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::FailedLogins { retry_after }
            | Self::RateLimited { retry_after }
            | Self::SetupBusy { retry_after } => Some(*retry_after),
            Self::PasswordWorkBusy
            | Self::GatewayTunnels
            | Self::RoleTunnels
            | Self::ClientTunnels
            | Self::AddressConnections => Some(Duration::from_secs(10)),
            Self::Draining => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// One of each, so that metrics exist before their first event and the reference page is whole.
    pub fn every() -> impl Iterator<Item = Self> {
        let address = IpAddr::from([127, 0, 0, 1]);
        let retry_after = Duration::from_secs(1);
        [
            Self::MalformedRequest(""),
            Self::MalformedTarget(HostPortError::NameMissing),
            Self::HostMismatch,
            Self::UnexpectedBody,
            Self::NotHttp(""),
            Self::ProxyHeader(""),
            Self::TlsHandshake(String::new()),
            Self::NotConnect,
            Self::HeadTimeout,
            Self::HeadTooLarge,
            Self::VersionUnsupported,
            Self::CredentialsMissing,
            Self::CredentialsRejected,
            Self::FailedLogins { retry_after },
            Self::PasswordWorkBusy,
            Self::ClientNetworkDenied,
            Self::AddressLiteral,
            Self::PortDenied,
            Self::HostDenied,
            Self::WorkspaceDenied,
            Self::StorageAccountDenied,
            Self::RateLimited { retry_after },
            Self::ClientTunnels,
            Self::RoleTunnels,
            Self::AddressConnections,
            Self::GatewayTunnels,
            Self::SetupBusy { retry_after },
            Self::Draining,
            Self::NameNotFound,
            Self::NameFailed,
            Self::NameTimeout,
            Self::AddressForbidden { address, range: "" },
            Self::SelfConnection { address },
            Self::ConnectRefused,
            Self::ConnectUnreachable,
            Self::ConnectTimeout,
            Self::Loop,
            Self::RelayDenied,
            Self::RelayCredentials,
            Self::RelayFailed,
            Self::RelayUnreachable,
            Self::RelayTimeout,
            Self::Internal,
        ]
        .into_iter()
    }
}

impl From<HostPortError> for Refusal {
    fn from(error: HostPortError) -> Self {
        match error {
            HostPortError::AddressLiteral => Self::AddressLiteral,
            _ => Self::MalformedTarget(error),
        }
    }
}

#[cfg(test)]
mod tests;
