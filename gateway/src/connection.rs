//! One client connection: first byte, TLS or plain, one HTTP/1.1 request, and its answer or its tunnel.
//!
//! The first byte is looked at, not taken, so nothing wraps the socket before hyper gets it. hyper reads
//! the head and writes the answer; then the socket is taken back as it was, with the bytes hyper read too
//! much. One connection serves one request: after a refusal it is closed, once the client had time to read
//! the answer.

mod arrive;
mod close;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::Request;
use http::Response;
use http::Uri;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::sleep_until;

use self::arrive::Opened;
pub use self::arrive::Speaks;
use self::arrive::client;
use self::arrive::open;
use self::close::linger;
use self::close::refuse;
use self::close::refused;
use self::close::turn_away;
use crate::answer;
use crate::connect;
use crate::connect::Admitted;
use crate::connect::Sender;
use crate::connect::Stations;
use crate::connect::tunnel::Tunnel;
use crate::connect::tunnel::begin;
use crate::ending::Ending;
use crate::listen::head::Head;
use crate::listen::head::Seen;
use crate::listen::tls::certificate_names;
use crate::observe::access::Record;
use crate::observe::access::printable;
use crate::parse::request;
use crate::parse::request::Connect;
use crate::refusal::Refusal;
use crate::stream::Stream;

/// Largest request head, in bytes; also the most that is read ahead of the answer.
pub const LARGEST_HEAD: usize = 16 * 1024;
/// Most fields of a request head.
const MOST_FIELDS: usize = 64;

/// Serves one connection to its end, or to a tunnel that is to be carried. What it needs until then is some
/// kilobytes and is nothing that a tunnel needs, so it should be freed before. `sender` is whom the socket is
/// connected to; the client itself, unless a load balancer stands between.
pub async fn serve(
    stations: Arc<Stations>,
    speaks: Arc<Speaks>,
    mut socket: TcpStream,
    sender: SocketAddr,
    head: Duration,
) -> Option<Box<Tunnel>> {
    let deadline = Instant::now() + head;
    let peer = match client(&speaks, &mut socket, sender, deadline).await {
        Ok(peer) => peer?,
        Err(refusal) => {
            refused(&stations, Record::new(stations.ids.next(), sender), &refusal);
            return None;
        }
    };
    let present = stations.metrics.connection(peer.ip());
    let limits = &stations.limits;
    let place = match limits.arrive(peer.ip()).and_then(|place| limits.request(peer.ip()).map(|()| place)) {
        Ok(place) => place,
        Err(refusal) => {
            turn_away(&stations, &speaks, socket, peer, &refusal).await;
            return None;
        }
    };
    match open(&speaks, socket, deadline).await {
        Opened::Nothing => {}
        Opened::Refused(stream, refusal) => refuse(&stations, stream, peer, &refusal).await,
        Opened::Alerted(socket, refusal) => {
            refused(&stations, Record::new(stations.ids.next(), peer), &refusal);
            linger(Stream::Plain(socket)).await;
        }
        Opened::Closed(refusal) => refused(&stations, Record::new(stations.ids.next(), peer), &refusal),
        Opened::Http(stream) => {
            let mut tunnel = request(stations, stream, peer, deadline).await?;
            tunnel.hold(present, place);
            return Some(tunnel);
        }
    }
    None
}

/// What became of the request, left by the service for the connection's owner.
enum Outcome {
    /// Being worked on.
    Begun,
    Admitted(Box<(Admitted, Record)>),
    Refused,
}

#[derive(Clone)]
struct OneRequest {
    stations: Arc<Stations>,
    peer: SocketAddr,
    certificate: Arc<[String]>,
    outcome: Arc<Mutex<Option<Outcome>>>,
    seen: Seen,
}

impl OneRequest {
    fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    fn begun(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

type Answer = Result<Response<Full<Bytes>>, std::convert::Infallible>;

impl Service<Request<Incoming>> for OneRequest {
    type Response = Response<Full<Bytes>>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.set(Outcome::Begun);
        self.seen.answer();
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}

impl OneRequest {
    /// Reads the head; hyper has split it.
    fn read<'a>(&self, head: &'a Parts) -> Result<Connect<'a>, Refusal> {
        if self.seen.lone_line_feed() {
            return Err(Refusal::MalformedRequest("a line ends in LF without CR"));
        }
        request::read(head)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, _no_body) = request.into_parts();
        let mut record = Record::new(self.stations.ids.next(), self.peer);
        let sender = Sender { address: self.peer, certificate: &self.certificate, head: &self.seen };
        let admitted = match self.read(&head) {
            Ok(connect) => connect::admit(&self.stations, connect, sender, &mut record).await,
            Err(refusal) => {
                record.asked = asked(&head.uri);
                Err(refusal)
            }
        };
        match admitted {
            Ok(admitted) => {
                self.set(Outcome::Admitted(Box::new((admitted, record))));
                answer::established()
            }
            Err(refusal) => {
                let response = answer::refused(&refusal, record.id());
                refused(&self.stations, record, &refusal);
                self.set(Outcome::Refused);
                response
            }
        }
    }
}

/// Returns a target that did not parse as a record may hold it: without user, password and query, which
/// may be secrets.
fn asked(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    printable(&format!("{host}{}", uri.path()))
}

/// Reads one request, answers it, and begins the tunnel if it was admitted.
async fn request(
    stations: Arc<Stations>,
    stream: Stream,
    peer: SocketAddr,
    deadline: Instant,
) -> Option<Box<Tunnel>> {
    let seen = Seen::default();
    let service = OneRequest {
        stations: Arc::clone(&stations),
        peer,
        certificate: certificate_names(&stream).into(),
        outcome: Arc::default(),
        seen: seen.clone(),
    };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .max_headers(MOST_FIELDS)
        .max_buf_size(LARGEST_HEAD)
        .title_case_headers(true)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(Head::new(stream, seen.clone())), service.clone());
    let served = tokio::select! {
        served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(served),
        () = until_late(&service, deadline) => None,
        () = seen.watch() => None,
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner();
    match (service.take(), served) {
        (Some(Outcome::Admitted(admitted)), _) => {
            let (admitted, record) = *admitted;
            let early = BytesMut::from(parts.read_buf);
            match begin(stations, admitted, stream, early, record).await {
                Ok(tunnel) => return Some(tunnel),
                // The origin's last word must reach the client.
                Err((stream, Ending::OriginAlert | Ending::OriginClosed)) => linger(stream).await,
                Err(_) => {}
            }
        }
        (Some(Outcome::Refused), _) => linger(stream).await,
        // The answer is in the making no longer: hyper gave up, which it does when the client is gone.
        (Some(Outcome::Begun), _) => {}
        // The client sent nothing, as health probes do.
        (None, Some(Ok(()))) => {}
        (None, Some(Err(error))) => refuse(&stations, stream, peer, &unread(&error)).await,
        (None, None) => refuse(&stations, stream, peer, &Refusal::HeadTimeout).await,
    }
    None
}

/// Waits for the deadline of the request head, and for ever once the head has arrived.
async fn until_late(service: &OneRequest, deadline: Instant) {
    sleep_until(deadline).await;
    if service.begun() {
        std::future::pending::<()>().await;
    }
}

/// Says why hyper could not read a request head. Its own answer was not let through.
fn unread(error: &hyper::Error) -> Refusal {
    // hyper has no predicate for a version it does not know, so its text must do.
    let text = error.to_string();
    if error.is_parse_too_large() {
        Refusal::HeadTooLarge
    } else if error.is_incomplete_message() {
        Refusal::MalformedRequest("the connection ended within the request head")
    } else if text.contains("version") || text.contains("HTTP/2") {
        Refusal::VersionUnsupported
    } else {
        Refusal::MalformedRequest("the request head is not HTTP/1.1")
    }
}
