use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::lock;

/// A request that an origin has read.
#[derive(Clone, Debug)]
pub(in crate::upload) struct Seen {
    pub(in crate::upload) head: String,
    pub(in crate::upload) body: Vec<u8>,
    /// The client's certificate, in DER.
    pub(in crate::upload) certificate: Option<Vec<u8>>,
}

/// What an origin does with a request.
#[derive(Clone, Debug)]
pub(in crate::upload) enum Reply {
    /// Answers and waits for the next request.
    Bytes(Vec<u8>),
    /// Answers and closes at once, without saying so in its answer.
    ThenClose(Vec<u8>),
    /// Does nothing more.
    Silence,
}

impl Reply {
    /// Answers with a status, fields that end in CRLF, and a body.
    pub(in crate::upload) fn status(status: u16, fields: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status} x\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len());
        Self::Bytes(head.into_bytes())
    }
}

/// An HTTPS server on loopback. It ends when it is dropped.
pub(in crate::upload) struct FakeOrigin {
    pub(in crate::upload) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<Mutex<(usize, usize)>>,
    task: JoinHandle<()>,
}

type Answering = dyn Fn(&Seen) -> Reply + Send + Sync;

impl FakeOrigin {
    pub(in crate::upload) async fn start(
        acceptor: TlsAcceptor,
        answering: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, open) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<Mutex<(usize, usize)>>::default());
        let answering: Arc<Answering> = Arc::new(answering);
        let task = tokio::spawn(serve(listener, acceptor, answering, seen.clone(), open.clone()));
        Self { address, seen, open, task }
    }

    /// The requests it has read.
    pub(in crate::upload) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// How many connections it has taken.
    pub(in crate::upload) fn connections(&self) -> usize {
        lock(&self.open).0
    }

    /// How many of them have ended.
    pub(in crate::upload) fn ended(&self) -> usize {
        lock(&self.open).1
    }
}

impl Drop for FakeOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answering: Arc<Answering>,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<Mutex<(usize, usize)>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        lock(&open).0 += 1;
        let (acceptor, answering) = (acceptor.clone(), answering.clone());
        let (seen, open) = (seen.clone(), open.clone());
        connections.spawn(async move {
            match acceptor.accept(socket).into_fallible().await {
                Ok(stream) => drop(play(stream, &*answering, &seen).await),
                // Its alert is not to be lost to a reset.
                Err((_, mut socket)) => drop(tokio::io::copy(&mut socket, &mut tokio::io::sink()).await),
            }
            lock(&open).1 += 1;
        });
    }
}

async fn play(
    mut stream: TlsStream<TcpStream>,
    answering: &Answering,
    seen: &Mutex<Vec<Seen>>,
) -> io::Result<()> {
    let certificate = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
    let mut received = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&received[..head_end]).into_owned();
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        while received.len() < head_end + length {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        let body = received[head_end..head_end + length].to_vec();
        received.drain(..head_end + length);
        let request = Seen { head, body, certificate: certificate.clone() };
        lock(seen).push(request.clone());
        match answering(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::ThenClose(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Reply::Silence => std::future::pending().await,
        }
        stream.flush().await?;
    }
}
