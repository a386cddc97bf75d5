//! One connection to an origin: TLS in a tunnel, HTTP/1.1 in that.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use bytes::BytesMut;
use common::host_port::HostPort;
use http::Request;
use http::Response;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::upload::gateways::Gateways;
use crate::upload::gateways::Tunnel;
use crate::upload::https::Answer;
use crate::upload::https::IDLE;
use crate::upload::https::SendError;
use crate::upload::https::SendPhase;
use crate::upload::https::coding::decoded;
use crate::upload::roots::Roots;
use crate::upload::roots::TlsTrouble;

/// Most bytes of an answer's head, and of a request that wait to be written at once.
const LARGEST_BUFFER: usize = 64 * 1024;
/// Most fields in an answer's head.
const MOST_FIELDS: usize = 64;

/// A connection and the task that moves its bytes, which ends with it.
pub(super) struct Connection {
    origin: HostPort,
    sender: SendRequest<Full<Bytes>>,
    /// Since when it has no request; none: it has one.
    idle_since: Arc<Mutex<Option<Instant>>>,
    task: JoinHandle<()>,
    /// The last answer was read to its end.
    whole: bool,
}

/// Why a request has no answer.
pub(super) enum Unanswered {
    /// The connection was closed before: no byte of the request was written.
    Unwritten,
    /// Anything else.
    Failed(SendError),
}

impl Connection {
    pub(super) async fn open(
        gateways: &Gateways,
        origin: &HostPort,
        tls: &Arc<ClientConfig>,
        ends: Instant,
    ) -> Result<Self, SendError> {
        let left = ends.saturating_duration_since(Instant::now());
        let tunnel = gateways.tunnel(origin, left).await?;
        let secured = secure(tunnel, origin, tls, ends).await?;
        Self::begin(origin, secured).await
    }

    async fn begin(origin: &HostPort, stream: TlsStream<Tunnel>) -> Result<Self, SendError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LARGEST_BUFFER).max_headers(MOST_FIELDS);
        // Nothing is read or written here yet: it ends at once.
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| {
            SendError::Broken { origin: origin.clone(), request_sent: false, cause: error.to_string() }
        })?;
        let idle_since = Arc::new(Mutex::new(Some(Instant::now())));
        let task = tokio::spawn(carry(connection, idle_since.clone()));
        Ok(Self { origin: origin.clone(), sender, idle_since, task, whole: true })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Bytes>,
        largest_answer: usize,
        ends: Instant,
    ) -> Result<Answer, Unanswered> {
        self.note_idle(None);
        self.whole = false;
        match timeout_at(ends, self.sender.ready()).await {
            Err(_) => return Err(self.late(SendPhase::Answer)),
            Ok(Err(_)) => return Err(Unanswered::Unwritten),
            Ok(Ok(())) => {}
        }
        let outcome = timeout_at(ends, self.sender.try_send_request(request.map(Full::new))).await;
        let response = match outcome {
            Err(_) => return Err(self.late(SendPhase::Answer)),
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => match error.take_message() {
                Some(_) => return Err(Unanswered::Unwritten),
                None => return Err(self.broken(error.error())),
            },
        };
        let answer = match timeout_at(ends, self.read(response, largest_answer)).await {
            Err(_) => return Err(self.late(SendPhase::Body)),
            Ok(answer) => answer?,
        };
        self.note_idle(Some(Instant::now()));
        Ok(answer)
    }

    /// Returns the connection if it can take another request.
    pub(super) fn reusable(self) -> Option<Self> {
        (self.whole && !self.sender.is_closed()).then_some(self)
    }

    async fn read(&mut self, response: Response<Incoming>, most: usize) -> Result<Answer, Unanswered> {
        let (head, mut rest) = response.into_parts();
        let mut body = BytesMut::new();
        self.whole = loop {
            let Some(frame) = rest.frame().await else { break true };
            let frame = frame.map_err(|error| self.broken(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = most - body.len();
            body.extend_from_slice(data.get(..room).unwrap_or(data));
            if data.len() > room {
                break false;
            }
        };
        let date = head.headers.get(header::DATE).and_then(|value| value.to_str().ok());
        let date: Option<SystemTime> = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let body = decoded(&head.headers, body.freeze(), most);
        Ok(Answer { status: head.status, headers: head.headers, body, date })
    }

    fn note_idle(&self, since: Option<Instant>) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn late(&self, phase: SendPhase) -> Unanswered {
        Unanswered::Failed(SendError::Timeout { origin: self.origin.clone(), phase })
    }

    fn broken(&self, error: &hyper::Error) -> Unanswered {
        let origin = self.origin.clone();
        let mut cause = error.to_string();
        let mut inner = error.source();
        while let Some(error) = inner {
            // With TLS 1.3 a server refuses our certificate only after the handshake.
            if let Some(TlsTrouble::Alert(alert)) = error.downcast_ref().map(TlsTrouble::of) {
                let trouble = TlsTrouble::Alert(alert);
                return Unanswered::Failed(SendError::OriginTls { origin, trouble });
            }
            cause = format!("{cause}: {error}");
            inner = error.source();
        }
        Unanswered::Failed(SendError::Broken { origin, request_sent: true, cause })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes TLS of a tunnel.
async fn secure(
    tunnel: Tunnel,
    origin: &HostPort,
    tls: &Arc<ClientConfig>,
    ends: Instant,
) -> Result<TlsStream<Tunnel>, SendError> {
    let trouble = |trouble| SendError::OriginTls { origin: origin.clone(), trouble };
    let name = ServerName::try_from(origin.name().as_str().to_owned())
        .map_err(|error| trouble(TlsTrouble::Handshake(error.to_string())))?;
    let handshake = TlsConnector::from(tls.clone()).connect(name, tunnel);
    let late = |_| SendError::Timeout { origin: origin.clone(), phase: SendPhase::Tls };
    let secured = timeout_at(ends, handshake).await.map_err(late)?;
    secured.map_err(|error| trouble(TlsTrouble::of(&error)))
}

/// Ends a tunnel that was opened for a look only, as a client of the origin does: a gateway reports one that never
/// speaks TLS. What the origin answers is for others to judge.
pub async fn part(tunnel: Tunnel, origin: &HostPort, roots: &Roots, limit: Duration) {
    let Ok(tls) = roots.client(None) else { return };
    let ends = Instant::now() + limit;
    if let Ok(mut secured) = secure(tunnel, origin, &tls, ends).await {
        let _ = timeout_at(ends, secured.shutdown()).await;
    }
}

/// Moves the bytes until the connection ends or was idle for [`IDLE`]; looks at the clock once in that time.
async fn carry(
    connection: http1::Connection<TokioIo<TlsStream<Tunnel>>, Full<Bytes>>,
    idle_since: Arc<Mutex<Option<Instant>>>,
) {
    let mut connection = pin!(connection);
    let mut look = Instant::now() + IDLE;
    loop {
        tokio::select! {
            // Its error is told to whoever waits for an answer.
            _ = &mut connection => return,
            () = sleep_until(look) => {}
        }
        let since = *idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        look = since.unwrap_or_else(Instant::now) + IDLE;
        if look <= Instant::now() {
            return;
        }
    }
}
