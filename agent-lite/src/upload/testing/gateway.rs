use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::lock;

/// What a gateway does with a connection once it has read a CONNECT.
#[derive(Clone, Copy)]
pub(in crate::upload) enum Script {
    /// Leads to this address, whatever the target is.
    Lead(SocketAddr),
    /// Answers these bytes and closes.
    Answer(&'static str),
    /// Does nothing more.
    Silence,
}

/// A gateway on loopback. It ends when it is dropped.
pub(in crate::upload) struct FakeGateway {
    pub(in crate::upload) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    script: Mutex<Script>,
    heads: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

impl FakeGateway {
    pub(in crate::upload) async fn start(script: Script) -> Self {
        Self::start_with(script, None).await
    }

    /// A gateway behind TLS.
    pub(in crate::upload) async fn secure(script: Script, acceptor: TlsAcceptor) -> Self {
        Self::start_with(script, Some(acceptor)).await
    }

    async fn start_with(script: Script, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            State { script: Mutex::new(script), heads: Mutex::default(), connections: Mutex::default() };
        let state = Arc::new(state);
        let task = tokio::spawn(serve(listener, state.clone(), acceptor));
        Self { address, state, task }
    }

    pub(in crate::upload) fn value(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it does this.
    pub(in crate::upload) fn does(&self, script: Script) {
        *lock(&self.state.script) = script;
    }

    /// The CONNECT heads it has read.
    pub(in crate::upload) fn asked(&self) -> Vec<String> {
        lock(&self.state.heads).clone()
    }

    /// How many connections it has taken.
    pub(in crate::upload) fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, acceptor: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        *lock(&state.connections) += 1;
        let (state, acceptor) = (state.clone(), acceptor.clone());
        connections.spawn(async move {
            // Clients that hang up are part of the tests.
            let _ = match acceptor {
                None => play(socket, &state).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(stream) => play(stream, &state).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, state: &State) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    lock(&state.heads).push(String::from_utf8_lossy(&head).into_owned());
    let script = *lock(&state.script);
    match script {
        Script::Silence => std::future::pending().await,
        Script::Answer(answer) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        }
        Script::Lead(origin) => {
            let mut origin = TcpStream::connect(origin).await?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut origin).await.map(drop)
        }
    }
}
