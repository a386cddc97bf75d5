//! A service that takes everything that is posted to it, for peers that know no Azure: counts bodies and numbers.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use end_to_end::pki::Pki;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What stands before the number of a record.
const MARK: &[u8] = b"udp-seq=";
/// What Elasticsearch answers to a bulk request without errors.
const TAKEN: &[u8] = br#"{"took":1,"errors":false,"items":[]}"#;

/// The running service, which stops when this is dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What came so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) body: u64,
    pub(crate) requests: u64,
    pub(crate) doubled: u64,
    numbers: HashSet<u64>,
}

impl Seen {
    pub(crate) fn distinct(&self) -> u64 {
        self.numbers.len() as u64
    }

    fn take(&mut self, body: &[u8]) {
        self.body += body.len() as u64;
        self.requests += 1;
        for at in memmem::find_iter(body, MARK) {
            let rest = body.get(at + MARK.len()..).unwrap_or_default();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            if !self.numbers.insert(number) {
                self.doubled += 1;
            }
        }
    }
}

impl Sink {
    pub(crate) async fn start(pki: &Pki, name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound address");
        let (seen, acceptor) = (Arc::default(), TlsAcceptor::from(pki.server_config(&[name])));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic under the lock").clone()
    }

    pub(crate) fn distinct(&self) -> u64 {
        self.seen.lock().expect("no panic under the lock").distinct()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket, acceptor.clone(), Arc::clone(&seen)));
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    let Ok(stream) = acceptor.accept(socket).await else { return };
    let service = service_fn(|request| answer(request, Arc::clone(&seen)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await {
        seen.lock().expect("no panic under the lock").take(&body.to_bytes());
    }
    Ok(Response::new(Full::new(Bytes::from_static(TAKEN))))
}
