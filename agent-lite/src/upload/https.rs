//! Requests to an origin, in TLS inside a tunnel, on one kept connection a host.
//!
//! A request goes out once. Only when a kept connection turns out to be closed *before* any byte of the request was
//! written is it sent anew on a fresh one; what follows a request whose bytes were taken is the caller's to decide.

mod coding;
mod connection;
mod error;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use common::host_port::HostPort;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ClientConfig;

pub use self::connection::part;
pub use self::error::SendError;
pub use self::error::SendPhase;
use crate::transport::ClientCertificate;
use crate::transport::Outgoing;
use crate::upload::gateways::Gateways;
use crate::upload::https::connection::Connection;
use crate::upload::https::connection::Unanswered;
use crate::upload::identity::Identity;
use crate::upload::roots::Roots;

/// How long a connection without a request stays open.
pub const IDLE: Duration = Duration::from_secs(120);
/// Most connections of one workspace; the hosts of blobs vary.
pub const MOST_CHANNELS: usize = 4;

/// How far the clocks may be apart (Microsoft, agent troubleshooting: more gives 403).
pub const LARGEST_SKEW: Duration = Duration::from_secs(15 * 60);

/// An origin's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// All fields of the head.
    pub headers: HeaderMap,
    /// The body before any `Content-Encoding`, at most `Outgoing::largest_answer` bytes of it; the rest was cut off
    /// and the connection ended there.
    pub body: Bytes,
    /// The origin's clock when it answered.
    pub date: Option<SystemTime>,
}

/// A connection to one origin host that is opened when it is needed.
pub struct Channel {
    gateways: Gateways,
    origin: HostPort,
    tls: Arc<ClientConfig>,
    kept: Option<Connection>,
}

impl Channel {
    /// Begins without a connection.
    pub fn new(gateways: Gateways, origin: HostPort, tls: Arc<ClientConfig>) -> Self {
        Self { gateways, origin, tls, kept: None }
    }

    /// Sends a request and returns the answer; `limit` bounds everything, a new connection too.
    pub async fn send(&mut self, outgoing: &Outgoing, limit: Duration) -> Result<Answer, SendError> {
        let ends = Instant::now() + limit;
        let request = self.complete(outgoing);
        if let Some(mut kept) = self.kept.take() {
            match kept.send(request.clone(), outgoing.largest_answer, ends).await {
                Ok(answer) => return Ok(self.keep(kept, answer)),
                Err(Unanswered::Unwritten) => {}
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
        let mut fresh = Connection::open(&self.gateways, &self.origin, &self.tls, ends).await?;
        match fresh.send(request, outgoing.largest_answer, ends).await {
            Ok(answer) => Ok(self.keep(fresh, answer)),
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::Unwritten) => Err(SendError::closed_at_once(&self.origin)),
        }
    }

    /// Closes the kept connection.
    pub fn close(&mut self) {
        self.kept = None;
    }

    fn keep(&mut self, connection: Connection, answer: Answer) -> Answer {
        self.kept = connection.reusable();
        answer
    }

    fn complete(&self, outgoing: &Outgoing) -> http::Request<Bytes> {
        let mut request = outgoing.request.clone();
        let host = match self.origin.port() {
            443 => self.origin.name().to_string(),
            _ => self.origin.to_string(),
        };
        if let Ok(host) = HeaderValue::try_from(host) {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }
}

/// The channels of one workspace, by host and by whether the agent's certificate is shown.
pub struct Channels {
    gateways: Gateways,
    roots: Roots,
    identity: Option<watch::Receiver<Arc<Identity>>>,
    shown: Option<Arc<ClientConfig>>,
    not_shown: Option<Arc<ClientConfig>>,
    /// The one used last stands last.
    channels: Vec<(ClientCertificate, Channel)>,
}

impl Channels {
    /// Begins without connections; `identity` is the agent's in a workspace it is onboarded to.
    pub fn new(gateways: Gateways, roots: Roots, identity: Option<watch::Receiver<Arc<Identity>>>) -> Self {
        Self { gateways, roots, identity, shown: None, not_shown: None, channels: Vec::new() }
    }

    /// Sends a request on the channel of its host; a renewed certificate is used from the next request on.
    pub async fn send(&mut self, outgoing: &Outgoing, limit: Duration) -> Result<Answer, SendError> {
        self.notice_renewal();
        let mut channel = self.take(outgoing)?;
        let outcome = channel.1.send(outgoing, limit).await;
        self.channels.push(channel);
        outcome
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.channels.clear();
    }

    fn notice_renewal(&mut self) {
        let Some(identity) = &mut self.identity else { return };
        if identity.has_changed().unwrap_or(false) {
            identity.mark_unchanged();
            self.shown = None;
            self.channels.retain(|(certificate, _)| *certificate == ClientCertificate::NotShown);
        }
    }

    fn take(&mut self, outgoing: &Outgoing) -> Result<(ClientCertificate, Channel), SendError> {
        let wanted = |(certificate, channel): &(ClientCertificate, Channel)| {
            *certificate == outgoing.certificate && channel.origin == outgoing.host
        };
        if let Some(at) = self.channels.iter().position(wanted) {
            return Ok(self.channels.remove(at));
        }
        let tls =
            self.tls(outgoing.certificate).map_err(|error| SendError::Certificate(error.to_string()))?;
        if self.channels.len() >= MOST_CHANNELS {
            self.channels.remove(0);
        }
        Ok((outgoing.certificate, Channel::new(self.gateways.clone(), outgoing.host.clone(), tls)))
    }

    fn tls(&mut self, certificate: ClientCertificate) -> Result<Arc<ClientConfig>, rustls::Error> {
        let identity = match certificate {
            ClientCertificate::Shown => self.identity.as_ref().map(|identity| identity.borrow().clone()),
            ClientCertificate::NotShown => None,
        };
        let place = match certificate {
            ClientCertificate::Shown => &mut self.shown,
            ClientCertificate::NotShown => &mut self.not_shown,
        };
        if let Some(config) = place {
            return Ok(config.clone());
        }
        let pair = match (certificate, identity) {
            (ClientCertificate::Shown, Some(identity)) => Some(identity.pair.client_pair()?),
            (ClientCertificate::Shown, None) => {
                return Err(rustls::Error::General("this workspace has no identity".to_owned()));
            }
            (ClientCertificate::NotShown, _) => None,
        };
        let config = self.roots.client(pair)?;
        Ok(place.insert(config).clone())
    }
}

/// Returns how far off our clock is in words, if that is more than [`LARGEST_SKEW`].
pub fn skew(ours: SystemTime, theirs: SystemTime) -> Option<String> {
    let (apart, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead"),
        Err(error) => (error.duration(), "behind"),
    };
    let minutes = Duration::from_secs(apart.as_secs() / 60 * 60);
    (apart > LARGEST_SKEW).then(|| format!("{} {direction}", humantime::format_duration(minutes)))
}
