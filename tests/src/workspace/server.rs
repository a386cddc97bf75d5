//! Connections and requests: what is common to all services, and the faults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::answer;
use super::answer::Pieces;
use super::blob;
use super::custom;
use super::download;
use super::encoding;
use super::faults::Effect;
use super::faults::Moment;
use super::faults::Target;
use super::ingestion;
use super::items;
use super::ledger::RetryAfter;
use super::ledger::SeenRequest;
use super::onboarding;
use super::place::Asked;
use super::place::Place;
use super::place::Reply;
use super::state::State;
use super::tokens;

const LARGEST_BODY: usize = 160 * 1024 * 1024;
/// What is no answer at all.
const GARBAGE: &[u8] =
    b"\x00\xff\x16 HTTP/9.9 -200 \r\xfe\n\n\x80Content-Length: 99999999999999999999\r\n\r\n";

/// What the server's tasks share with the test.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) tls: Mutex<Arc<ServerConfig>>,
    pub(super) connections: Mutex<Vec<SeenConnection>>,
    /// Grows with every request that is answered or broken.
    pub(super) progress: watch::Sender<u64>,
    /// Grows when all connections have to go.
    pub(super) closing: watch::Sender<u64>,
}

/// One TCP connection as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenConnection {
    /// Where it came from.
    pub from: SocketAddr,
    /// The name in the ClientHello, when there was one.
    pub host: Option<String>,
    /// Whether the TLS handshake came to its end.
    pub handshake: bool,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    fn connection(&self, number: u64, change: impl FnOnce(&mut SeenConnection)) {
        let mut connections = self.connections.lock().expect("no panic under the lock");
        change(&mut connections[number as usize]);
    }
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, from)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        let number = {
            let mut seen = shared.connections.lock().expect("no panic under the lock");
            seen.push(SeenConnection { from, host: None, handshake: false });
            seen.len() as u64 - 1
        };
        let mut closing = shared.closing.subscribe();
        let served = serve(socket, number, Arc::clone(&shared));
        connections.spawn(async move {
            tokio::select! {
                () = served => {}
                _ = closing.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A failed handshake or a broken connection is the caller's affair, not the server's.
async fn serve(socket: TcpStream, number: u64, shared: Arc<Shared>) {
    let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), socket).await else { return };
    let host = start.client_hello().server_name().unwrap_or_default().to_owned();
    shared.connection(number, |seen| seen.host = Some(host.clone()));
    let effect = at_connection(&shared, &host);
    if effect == Some(Effect::Refuse) {
        return;
    }
    let config = Arc::clone(&shared.tls.lock().expect("no panic under the lock"));
    let Ok(mut stream) = start.into_stream(config).await else { return };
    shared.connection(number, |seen| seen.handshake = true);
    if effect == Some(Effect::Garbage) {
        let _ = stream.write_all(GARBAGE).await;
        let _ = stream.shutdown().await;
        return;
    }
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
    let caller = Arc::new(Caller { number, host, certificate });
    let service = service_fn(|request| answer(Arc::clone(&caller), request, Arc::clone(&shared)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        reset(connection.into_parts().io.into_inner());
    }
}

fn at_connection(shared: &Shared, host: &str) -> Option<Effect> {
    let mut state = shared.state();
    let owner = state.owner_of_host(host).map(|workspace| workspace.id.clone());
    let target = Target { workspace: owner.as_deref(), place: None, body_bytes: 0, content: &[] };
    state.faults.strike(Moment::Connection, &target)
}

/// Closes with RST.
fn reset(stream: TlsStream<TcpStream>) {
    let _ = SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
}

/// What is known of a connection before its first request.
struct Caller {
    number: u64,
    host: String,
    certificate: Option<Vec<u8>>,
}

/// Answers one request; an error resets the connection.
async fn answer(
    caller: Arc<Caller>,
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Pieces>, io::Error> {
    let (head, body) = request.into_parts();
    let mut asked = Asked {
        host: caller.host.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        method: head.method,
        headers: head.headers,
        body: Bytes::new(),
        content: Ok(Bytes::new()),
        certificate: caller.certificate.clone(),
        now: SystemTime::now(),
    };
    let place = Place::of(&asked.host, &asked.method, &asked.path, &asked.query);
    let number = begin(&shared, &asked, place, caller.number);
    let outcome = after_head(&shared, &mut asked, number, place, body).await;
    shared.progress.send_modify(|count| *count += 1);
    outcome
}

/// Writes the request down and returns its number.
fn begin(shared: &Shared, asked: &Asked, place: Place, connection: u64) -> u64 {
    let mut state = shared.state();
    let query = if asked.query.is_empty() { String::new() } else { format!("?{}", asked.query) };
    let agent =
        asked.fingerprint().and_then(|print| state.agents.get(&print)).map(|agent| agent.guid.clone());
    let workspace = state.owner(&asked.host, &asked.path).map(|workspace| workspace.id.clone());
    let number = state.ledger.begin(SeenRequest {
        number: 0,
        connection,
        workspace,
        host: asked.host.clone(),
        place,
        line: format!("{} {}{query}", asked.method, asked.path),
        headers: asked.headers.clone(),
        agent,
        arrived: SystemTime::now(),
        body_bytes: 0,
        content_bytes: 0,
        rows: 0,
        early: false,
        status: None,
    });
    state.look_at(number, asked, place);
    number
}

async fn after_head(
    shared: &Shared,
    asked: &mut Asked,
    number: u64,
    place: Place,
    body: Incoming,
) -> Result<Response<Pieces>, io::Error> {
    let effect = strike(shared, number, Moment::Head, &[]);
    asked.body = read(body, effect).await?;
    let encoding = asked.headers.get("content-encoding").and_then(|value| value.to_str().ok());
    asked.content = match encoding {
        None => Ok(asked.body.clone()),
        Some(_) => encoding::inflate(encoding, &asked.body).map(Bytes::from),
    };
    let content = asked.content.clone().unwrap_or_default();
    {
        let mut state = shared.state();
        let seen = state.ledger.of(number);
        (seen.body_bytes, seen.content_bytes) = (asked.body.len() as u64, content.len() as u64);
        asked.now = state.now();
    }
    let effect = strike(shared, number, Moment::Body, &content);
    if let Some(Effect::Delay { by }) = effect {
        tokio::time::sleep(by).await;
    }
    let mut state = shared.state();
    let reply = match &effect {
        Some(Effect::Status { status, retry_after }) => refusal(&mut state, number, *status, *retry_after),
        Some(Effect::EmptyOk) => Reply::empty(200),
        _ => route(&mut state, number, asked, place),
    };
    state.ledger.of(number).rows = reply.rows;
    if matches!(effect, Some(Effect::LostAnswer)) {
        return Err(io::Error::other("a fault"));
    }
    state.ledger.of(number).status = Some(reply.status.as_u16());
    let reply = reply.header("date", httpdate::fmt_http_date(asked.now));
    Ok(answer::render(&reply, effect.as_ref()))
}

fn refusal(state: &mut State, number: u64, status: u16, retry_after: Option<RetryAfter>) -> Reply {
    let reply = Reply::empty(status);
    let Some(wait) = retry_after else { return reply };
    let (text, until) = wait.at(SystemTime::now(), state.now());
    state.ledger.wait(number, until);
    reply.header("retry-after", text)
}

fn strike(shared: &Shared, number: u64, moment: Moment, content: &[u8]) -> Option<Effect> {
    let mut state = shared.state();
    let seen = state.ledger.of(number);
    let (workspace, place, body_bytes) = (seen.workspace.clone(), Some(seen.place), seen.body_bytes);
    let target = Target { workspace: workspace.as_deref(), place, body_bytes, content };
    state.faults.strike(moment, &target)
}

async fn read(mut body: Incoming, effect: Option<Effect>) -> Result<Bytes, io::Error> {
    let mut bytes = BytesMut::new();
    if matches!(effect, Some(Effect::ResetReading { after: 0 })) {
        return Err(io::Error::other("a fault"));
    }
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        bytes.extend_from_slice(&data);
        match &effect {
            Some(Effect::ResetReading { after }) if bytes.len() as u64 >= *after => {
                return Err(io::Error::other("a fault"));
            }
            Some(Effect::SlowReading { bytes_per_second }) => {
                let pause = data.len() as f64 / *bytes_per_second as f64;
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
            _ => {}
        }
        if bytes.len() > LARGEST_BODY {
            return Err(io::Error::other("a body without an end"));
        }
    }
    Ok(bytes.freeze())
}

fn route(state: &mut State, number: u64, asked: &Asked, place: Place) -> Reply {
    match place {
        Place::Topology => onboarding::topology(state, number, asked),
        Place::Renewal => onboarding::renew(state, number, asked),
        Place::Telemetry => onboarding::telemetry(state, number, asked),
        Place::Items => items::post(state, number, asked),
        Place::Diagnostics => items::diagnostics(state, number, asked),
        Place::BlobUri => blob::uri(state, number, asked),
        Place::Block => blob::block(state, number, asked),
        Place::BlockList => blob::block_list(state, number, asked),
        Place::BlobDone => blob::done(state, number, asked),
        Place::Download => download::get(state, number, asked),
        Place::Collector => custom::collect(state, number, asked),
        Place::Ingestion => ingestion::post(state, number, asked),
        Place::Token => tokens::give(state, number, asked),
        Place::Elsewhere if asked.path == "/" => Reply::empty(403),
        Place::Elsewhere => {
            state.ledger.problem(number, format!("there is nothing at {} {}", asked.method, asked.path));
            Reply::empty(404)
        }
    }
}
