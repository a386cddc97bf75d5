//! One gateway: its name, TCP, TLS if it has `https://`, and CONNECT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use common::connect::ConnectError;
use common::connect::connect;
use common::host_port::HostName;
use common::host_port::HostPort;
use common::proxy_url::Host;
use common::proxy_url::ProxyUrl;
use common::proxy_url::Scheme;
use common::secret::Secret;
use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::upload::gateways::GatewayNote;
use crate::upload::gateways::GatewayPhase;
use crate::upload::gateways::GatewayReason;
use crate::upload::gateways::GatewaysError;
use crate::upload::gateways::names::NameTrouble;
use crate::upload::gateways::names::look_up;
use crate::upload::gateways::tunnel::Leg;
use crate::upload::gateways::tunnel::Tunnel;
use crate::upload::roots::TlsTrouble;

/// How long a silent connection is left alone, and how often it is asked after that whether it lives.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));
/// The first bytes of TLS: a record of an alert or of a handshake, and the major version.
const TLS_BEGINNINGS: [&[u8]; 2] = [&[0x15, 3], &[0x16, 3]];

pub(super) struct Gateway {
    host: Host,
    port: u16,
    label: String,
    authorization: Option<Secret>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The last good answer to the name, for when the name servers are silent.
    known: Mutex<Vec<SocketAddr>>,
}

impl Gateway {
    pub(super) fn new(
        at: usize,
        proxy: &ProxyUrl,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, GatewaysError> {
        let (host, port) = (proxy.host().clone(), proxy.port());
        let scheme = match proxy.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let tls = match (proxy.scheme(), tls) {
            (Scheme::Https, Some(config)) => Some((TlsConnector::from(config.clone()), server_name(&host)?)),
            (Scheme::Https | Scheme::Http, _) => None,
        };
        let label = format!("gateway {} {scheme}://{host}:{port}", at + 1);
        Ok(Self { host, port, label, authorization: proxy.authorization(), tls, known: Mutex::default() })
    }

    /// Returns its place in the list, from 1 on, and where it is: for the operator.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) async fn tunnel(&self, target: &HostPort, limit: Duration) -> Result<Tunnel, GatewayReason> {
        let ends = Instant::now() + limit;
        let late = |phase| move |_| GatewayReason::Timeout(phase);
        let addresses = timeout_at(ends, self.addresses()).await.map_err(late(GatewayPhase::Name))??;
        let stream = reach(&addresses, ends).await?;
        let leg = match &self.tls {
            None => Leg::Plain(stream),
            Some((connector, name)) => {
                let secured = timeout_at(ends, connector.connect(name.clone(), stream)).await;
                let secured = secured.map_err(late(GatewayPhase::Tls))?;
                Leg::Tls(Box::new(secured.map_err(|error| GatewayReason::Tls(TlsTrouble::of(&error)))?))
            }
        };
        let mut tunnel = Tunnel::listening(leg);
        let answer = timeout_at(ends, connect(&mut tunnel, target, self.authorization.as_ref(), None)).await;
        match answer.map_err(late(GatewayPhase::Connect))? {
            Ok(early) => {
                tunnel.established(early);
                Ok(tunnel)
            }
            Err(error) => Err(refusal(&error, tunnel.heard())),
        }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, GatewayReason> {
        let name = match &self.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => name,
        };
        match look_up(name).await {
            Ok(found) => {
                let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect();
                self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
                Ok(found)
            }
            Err(trouble) => self.known_or(name, trouble),
        }
    }

    fn known_or(&self, name: &HostName, trouble: NameTrouble) -> Result<Vec<SocketAddr>, GatewayReason> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            NameTrouble::NotFound => Err(GatewayReason::NameNotFound { name: name.to_string() }),
            NameTrouble::Failed(_) if !known.is_empty() => Ok(known.clone()),
            NameTrouble::Failed(cause) => Err(GatewayReason::NameFailed { name: name.to_string(), cause }),
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, GatewaysError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|_| GatewaysError::ServerName(name.to_string())),
    }
}

/// Connects to the first address that takes the connection; each has its share of the time.
async fn reach(addresses: &[SocketAddr], ends: Instant) -> Result<TcpStream, GatewayReason> {
    let mut reason = GatewayReason::Timeout(GatewayPhase::Tcp);
    let mut untried = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for &address in addresses {
        let share = ends.saturating_duration_since(Instant::now()) / untried.max(1);
        untried = untried.saturating_sub(1);
        reason = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                keep_alive(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                GatewayReason::Refused { address }
            }
            Ok(Err(error)) => GatewayReason::Unreachable { address, cause: error.to_string() },
            Err(_) => GatewayReason::Timeout(GatewayPhase::Tcp),
        };
    }
    Err(reason)
}

/// Sets what a long-lived tunnel needs; where the system refuses, the tunnel is merely slower to notice its end.
fn keep_alive(stream: &TcpStream) {
    let (time, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    let _ = stream.set_nodelay(true);
}

fn refusal(error: &ConnectError, heard: &[u8]) -> GatewayReason {
    match error {
        ConnectError::Status(407) => GatewayReason::Credentials(GatewayNote::read(heard)),
        ConnectError::Status(403) => GatewayReason::Denied(GatewayNote::read(heard)),
        ConnectError::Status(429) => GatewayReason::Busy(GatewayNote::read(heard)),
        ConnectError::Status(status) => GatewayReason::Status(*status, GatewayNote::read(heard)),
        ConnectError::Closed => GatewayReason::Closed,
        ConnectError::Io(error) => GatewayReason::Broken(error.kind()),
        ConnectError::Garbage | ConnectError::TooLong => {
            match TLS_BEGINNINGS.iter().any(|beginning| heard.starts_with(beginning)) {
                true => GatewayReason::WantsTls,
                false => GatewayReason::Garbage,
            }
        }
    }
}
