//! Why there is no tunnel, and what the operator changes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::host_port::HostPort;

use crate::upload::roots::TlsTrouble;
use crate::upload::roots::shown;

/// Longest time a gateway's `Retry-After` may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{gateway}: {reason}")]
pub struct GatewayError {
    /// Which gateway: its place in the list, and where it is.
    pub gateway: Arc<str>,
    /// What was to be reached.
    pub target: HostPort,
    /// What went wrong.
    pub reason: GatewayReason,
}

/// Where in the way to a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayPhase {
    /// The gateway's name is looked up.
    Name,
    /// TCP.
    Tcp,
    /// TLS to the gateway.
    Tls,
    /// CONNECT.
    Connect,
}

/// What a gateway says beside a refusal; la-gateway says the reason and an id that stands in its log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GatewayNote {
    /// `Proxy-Status` (RFC 9209).
    pub proxy_status: Option<String>,
    /// `X-Request-ID`.
    pub request_id: Option<String>,
    /// `Retry-After` in seconds, an hour at most.
    pub retry_after: Option<Duration>,
}

/// What went wrong at a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayReason {
    /// Its name does not exist.
    #[error("the name `{name}` does not exist")]
    NameNotFound {
        /// The name.
        name: String,
    },
    /// Its name could not be looked up.
    #[error("the name `{name}` could not be looked up: {cause}")]
    NameFailed {
        /// The name.
        name: String,
        /// What the resolver says.
        cause: String,
    },
    /// Nobody listens there.
    #[error("{address} refuses connections")]
    Refused {
        /// Its address.
        address: SocketAddr,
    },
    /// There is no way to it.
    #[error("{address} cannot be reached: {cause}")]
    Unreachable {
        /// Its address.
        address: SocketAddr,
        /// What the system says.
        cause: String,
    },
    /// It is silent.
    #[error("{0}")]
    Timeout(GatewayPhase),
    /// No TLS with it.
    #[error("{0}")]
    Tls(TlsTrouble),
    /// It answered CONNECT in clear with TLS.
    #[error("it speaks TLS there, and was spoken to in clear")]
    WantsTls,
    /// 407.
    #[error("it answered 407: it does not know the user and password, or wants some{0}")]
    Credentials(GatewayNote),
    /// 403.
    #[error("it answered 403: it refuses the target{0}")]
    Denied(GatewayNote),
    /// 429.
    #[error("it answered 429: too many requests{0}")]
    Busy(GatewayNote),
    /// Any other status that gives no tunnel.
    #[error("it answered with status {0}{1}")]
    Status(u16, GatewayNote),
    /// The end.
    #[error("it closed the connection before it answered")]
    Closed,
    /// The end, in another way.
    #[error("the connection broke before it answered: {0}")]
    Broken(io::ErrorKind),
    /// No HTTP.
    #[error("its answer is not HTTP/1.1")]
    Garbage,
}

impl fmt::Display for GatewayPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name could not be looked up in time",
            Self::Tcp => "it takes no TCP connection in time",
            Self::Tls => "it does not end the TLS handshake in time",
            Self::Connect => "it does not answer CONNECT in time",
        })
    }
}

impl fmt::Display for GatewayNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = &self.proxy_status {
            write!(f, " ({status})")?;
        }
        match &self.request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

impl GatewayNote {
    fn says(&self, word: &str) -> bool {
        self.proxy_status.as_ref().is_some_and(|status| status.contains(word))
    }

    /// Reads the fields in the head of an answer; what is no text is not there.
    pub(super) fn read(head: &[u8]) -> Self {
        let mut note = Self::default();
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let line = line.trim_ascii_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("proxy-status") {
                note.proxy_status = Some(shown(value));
            } else if name.eq_ignore_ascii_case("x-request-id") {
                note.request_id = Some(shown(value));
            } else if name.eq_ignore_ascii_case("retry-after") {
                note.retry_after = value.parse().ok().map(|wait| Duration::from_secs(wait).min(LONGEST_WAIT));
            }
        }
        note
    }
}

impl GatewayError {
    pub(super) fn silent(target: &HostPort) -> Self {
        let reason = GatewayReason::Timeout(GatewayPhase::Tcp);
        Self { gateway: "gateway".into(), target: target.clone(), reason }
    }

    /// Returns what the operator changes.
    pub fn what_to_change(&self) -> String {
        let target = self.target.name();
        match &self.reason {
            GatewayReason::Denied(_) => format!(
                "allow {target} for this agent at the gateway: its bundle, its workspaces or its hosts"
            ),
            reason => reason.what_to_change().to_owned(),
        }
    }
}

impl GatewayReason {
    /// Says whether another gateway is not to be asked.
    pub(super) fn is_verdict(&self) -> bool {
        match self {
            Self::Credentials(_) | Self::Denied(_) | Self::Busy(_) => true,
            Self::Status(status, _) => (400..=499).contains(status) && *status != 408,
            _ => false,
        }
    }

    /// Says whether the gateway itself does not serve: a status, or silence after CONNECT, may be due to the target.
    pub(super) fn is_down(&self) -> bool {
        !matches!(
            self,
            Self::Denied(_) | Self::Busy(_) | Self::Status(..) | Self::Timeout(GatewayPhase::Connect)
        )
    }

    /// Returns the label of the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NameNotFound { .. } | Self::NameFailed { .. } => "name",
            Self::Refused { .. } | Self::Unreachable { .. } => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Tls(_) | Self::WantsTls => "tls",
            Self::Credentials(_) => "credentials",
            Self::Denied(_) => "denied",
            Self::Busy(_) => "busy",
            Self::Status(..) => "status",
            Self::Closed | Self::Broken(_) | Self::Garbage => "broken",
        }
    }

    fn what_to_change(&self) -> &'static str {
        match self {
            Self::NameNotFound { .. } => {
                "mend the gateway's name in the proxy value, add it to DNS or /etc/hosts, or write its address"
            }
            Self::NameFailed { .. } | Self::Timeout(GatewayPhase::Name) => {
                "mend /etc/resolv.conf, add the gateway to /etc/hosts, or write its address in the proxy value"
            }
            Self::Refused { .. } => {
                "start the gateway there, or mend the port in the proxy value (8080 by default)"
            }
            Self::Unreachable { .. } | Self::Timeout(GatewayPhase::Tcp) => {
                "mend the address in the proxy value, the route, or the firewall between here and the gateway"
            }
            Self::Timeout(GatewayPhase::Tls) => {
                "look whether it speaks TLS at this port: if not, write http:// in the proxy value"
            }
            Self::Timeout(GatewayPhase::Connect) => {
                "look at the gateway's log: it may wait for its name servers, the internet or a proxy above it"
            }
            Self::Tls(trouble) => tls_change(trouble),
            Self::WantsTls => "write https:// instead of http:// in the proxy value",
            Self::Credentials(_) => {
                "mend user and password in the proxy value (percent-encode what is special), or add the user at the gateway"
            }
            Self::Denied(_) => "allow the target for this agent at the gateway",
            Self::Busy(_) => {
                "raise the limits of this agent at the gateway, or find out who else uses its address"
            }
            Self::Status(502..=504, _) => {
                "look at the gateway's log: it cannot reach the target by its name servers, the internet or a proxy above it"
            }
            // So answers la-gateway at a listener that speaks nothing but TLS.
            Self::Status(400, note) if note.says("not_http") => Self::WantsTls.what_to_change(),
            Self::Status(..) | Self::Garbage => {
                "look whether host and port in the proxy value are the gateway's"
            }
            Self::Closed | Self::Broken(_) => {
                "look at the gateway's log: it may serve other addresses only, or want https://"
            }
        }
    }
}

fn tls_change(trouble: &TlsTrouble) -> &'static str {
    match trouble {
        TlsTrouble::NotTls => {
            "write http:// instead of https:// in the proxy value, or switch on TLS at the gateway"
        }
        TlsTrouble::UnknownIssuer { .. } | TlsTrouble::OtherKey { .. } => {
            "set the gateway's `ca` to a file with the authority that signed its certificate"
        }
        TlsTrouble::WrongName { .. } => {
            "write one of these names in the proxy value, or give the gateway a certificate with the name or address used"
        }
        TlsTrouble::Expired { .. } | TlsTrouble::NotYetValid { .. } => {
            "set this machine's clock if it is wrong, or else renew the gateway's certificate"
        }
        TlsTrouble::Certificate(_) => {
            "give the gateway a certificate for servers, signed by the authority in `ca`"
        }
        TlsTrouble::Alert(_) | TlsTrouble::Handshake(_) => {
            "let the gateway speak TLS 1.2 or 1.3, and not ask for a client certificate"
        }
        TlsTrouble::Closed | TlsTrouble::Broken(_) => {
            "look whether it speaks TLS at this port: if not, write http:// in the proxy value"
        }
    }
}
