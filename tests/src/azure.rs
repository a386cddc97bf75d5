//! FakeAzure: one TLS server that answers under every Azure Monitor name it is given.
//!
//! The name in the ClientHello decides which service answers ([`Family`]); `GET /bytes/N` (N bytes of
//! [`Content`] with seed 0) and `POST /hash` (SHA-256 and length of the body) work under all names.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Either;
use http_body_util::Full;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::content::Content;
use crate::content::Hash;
use crate::family::Family;
use crate::patience::patiently;
use crate::pki::Pki;

/// The seed of `GET /bytes/N`.
pub const SEED: u64 = 0;

/// A TLS server on loopback that stops when it is dropped.
pub struct FakeAzure {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// One request as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// The name in the ClientHello.
    pub server_name: String,
    /// Method and path.
    pub line: String,
    /// Whether the client showed a certificate of the test authority.
    pub client_certificate: bool,
}

struct Seen {
    connections: watch::Sender<u64>,
    requests: Mutex<Vec<SeenRequest>>,
}

impl FakeAzure {
    /// Starts with TLS 1.2 and 1.3 and a certificate for each name.
    pub async fn start(pki: &Pki, names: &[&str]) -> Self {
        Self::start_with(pki.server_config(names)).await
    }

    /// Starts with a TLS configuration of the caller's.
    pub async fn start_with(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::new(Seen { connections: watch::Sender::new(0), requests: Mutex::default() });
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(config), Arc::clone(&seen)));
        Self { address, seen, task }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many TCP connections were accepted so far.
    pub fn connections(&self) -> u64 {
        *self.seen.connections.borrow()
    }

    /// Waits until at least `count` TCP connections were accepted.
    pub async fn wait_for_connections(&self, count: u64) {
        let mut connections = self.seen.connections.subscribe();
        let enough = connections.wait_for(|seen| *seen >= count);
        patiently("connections at the fake Azure", enough).await.expect("a living server");
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.seen.requests.lock().expect("no panic under the lock").clone()
    }
}

impl Drop for FakeAzure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type AnswerBody = Either<Full<Bytes>, Blocks>;

/// What is known of a connection before its first request.
#[derive(Clone)]
struct Caller {
    server_name: String,
    client_certificate: bool,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        seen.connections.send_modify(|count| *count += 1);
        connections.spawn(serve(socket, acceptor.clone(), Arc::clone(&seen)));
        while connections.try_join_next().is_some() {}
    }
}

/// A failed handshake or a broken connection is the caller's affair, not the server's.
async fn serve(socket: TcpStream, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let session = stream.get_ref().1;
    let caller = Caller {
        server_name: session.server_name().unwrap_or_default().to_owned(),
        client_certificate: session.peer_certificates().is_some(),
    };
    let service = service_fn(move |request| answer(caller.clone(), request, Arc::clone(&seen)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    caller: Caller,
    request: Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut hash = Hash::new();
    while let Some(Ok(frame)) = body.frame().await {
        frame.data_ref().into_iter().for_each(|bytes| hash.update(bytes));
    }
    let path = head.uri.path();
    let bearer =
        head.headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
    let line = format!("{} {path}", head.method);
    seen.requests.lock().expect("no panic under the lock").push(SeenRequest {
        server_name: caller.server_name.clone(),
        line,
        client_certificate: caller.client_certificate,
    });
    if let Some(length) = path.strip_prefix("/bytes/").and_then(|text| text.parse().ok()) {
        return Ok(Response::new(Either::Right(Blocks(Content::new(SEED, length)))));
    }
    if (&head.method, path) == (&Method::POST, "/hash") {
        return Ok(text(StatusCode::OK, "text/plain", hash.finish()));
    }
    Ok(match Family::of(&caller.server_name) {
        Some(family) => family_answer(family, &head.method, path, caller.client_certificate, bearer),
        None => text(StatusCode::NOT_FOUND, "text/plain", "no such service"),
    })
}

fn family_answer(
    family: Family,
    method: &Method,
    path: &str,
    client_certificate: bool,
    bearer: bool,
) -> Response<AnswerBody> {
    let json = |body: &'static str| text(StatusCode::OK, "application/json", body);
    let empty = |status| text(status, "text/plain", "");
    match (family, method.as_str()) {
        (Family::Ods, "POST") if path == "/OperationalData.svc/PostJsonDataItems" || path == "/api/logs" => {
            empty(StatusCode::OK)
        }
        (Family::Oms, "POST") if client_certificate && path.starts_with("/AgentService.svc/") => {
            text(StatusCode::OK, "application/xml", "<LinuxAgentTopologyResponse queryInterval=\"PT20M\"/>")
        }
        (Family::Oms, _) => empty(StatusCode::FORBIDDEN),
        (Family::Blob, "PUT") => {
            let mut created = empty(StatusCode::CREATED);
            created
                .headers_mut()
                .insert(header::ETAG, header::HeaderValue::from_static("\"0x8D4BCC2E4835CD0\""));
            created
        }
        (Family::Automation, _) => json(r#"{"value":[]}"#),
        (Family::Handler, "GET") => json(r#"{"configurations":[]}"#),
        (Family::Ingestion, "POST")
            if path.starts_with("/dataCollectionRules/") && path.contains("/streams/") =>
        {
            empty(if bearer { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED })
        }
        (Family::Token, "POST") if path.ends_with("/oauth2/v2.0/token") => {
            json(r#"{"token_type":"Bearer","expires_in":3599,"access_token":"a-token-of-the-fake"}"#)
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

struct Blocks(Content);

impl Body for Blocks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|block| Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.remaining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content;
    use crate::curl::curl;
    use crate::wire;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::ClientConfig;
    use tokio_rustls::rustls::pki_types::ServerName;

    const ODS: &str = "w.ods.opinsights.azure.com";
    const OMS: &str = "w.oms.opinsights.azure.com";
    const DCE: &str = "d.eastus-1.ingest.monitor.azure.com";

    async fn call(azure: &FakeAzure, name: &str, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
        let socket = TcpStream::connect(azure.address()).await.expect("a connection");
        let name = ServerName::try_from(name.to_owned()).expect("a host name");
        TlsConnector::from(config).connect(name, socket).await.expect("a handshake")
    }

    #[tokio::test]
    async fn the_name_decides_the_service_and_oms_wants_a_certificate() {
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, &[ODS, OMS, DCE]).await;
        let (plain, agent) = (pki.client_config(), pki.client_config_with_certificate("agent.example"));
        let line = "POST /OperationalData.svc/PostJsonDataItems";
        let topology = "POST /AgentService.svc/LinuxAgentTopologyRequest";
        let streams = "POST /dataCollectionRules/dcr-1/streams/Custom-T";
        let cases = [(ODS, &plain, line, 200), (OMS, &plain, topology, 403), (OMS, &agent, topology, 200)];
        for (name, config, line, status) in cases.into_iter().chain([(DCE, &plain, streams, 401)]) {
            let mut stream = call(&azure, name, Arc::clone(config)).await;
            let answer = wire::exchange(&mut stream, line, &[("Host", name)], b"{}").await;
            assert_eq!(answer.head.status, status, "{name} {line}");
        }
        let mut stream = call(&azure, DCE, plain).await;
        let token = [("Host", DCE), ("Authorization", "Bearer t")];
        assert_eq!(wire::exchange(&mut stream, streams, &token, b"[]").await.head.status, 204);
        assert_eq!((azure.connections(), azure.requests().len()), (5, 5));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn curl_gets_the_same_content_that_a_test_makes_itself() {
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, &[ODS]).await;
        let authority = pki.authority_file();
        let resolve = format!("{ODS}:{}:127.0.0.1", azure.address().port());
        let url = format!("https://{ODS}:{}/bytes/200000", azure.address().port());
        let arguments = ["--cacert", authority.to_str().expect("UTF-8"), "--resolve", &resolve, &url];
        let Some(outcome) = curl(&arguments).await else { return };
        assert_eq!((outcome.exit, outcome.status), (0, 200), "{}", outcome.stderr);
        assert_eq!(outcome.body, Content::new(SEED, 200_000).all());
        let mut stream = call(&azure, ODS, pki.client_config()).await;
        let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", ODS)], &outcome.body).await;
        assert_eq!(answer.text(), content::hash_of(Content::new(SEED, 200_000)));
    }
}
