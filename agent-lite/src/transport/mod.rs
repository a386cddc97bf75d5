//! Pure: records, time and keys become requests; statuses become verdicts.

use bytes::Bytes;
use common::host_port::HostPort;

/// A request that is ready to be sent through a gateway.
#[derive(Debug)]
pub struct Outgoing {
    /// The origin; its port is 443 in the real world.
    pub host: HostPort,
    /// Method, path and query, fields and body. The URI is in origin form; `Host` and `Content-Length` are set
    /// by whoever sends it.
    pub request: http::Request<Bytes>,
    /// Whether the client certificate of the agent is shown.
    pub certificate: ClientCertificate,
}

/// Whether a TLS client certificate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCertificate {
    /// The agent's own.
    Shown,
    /// None.
    NotShown,
}
