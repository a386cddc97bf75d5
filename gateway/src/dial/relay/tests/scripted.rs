//! Relays on loopback that do what they are told.

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tracing_subscriber::fmt::MakeWriter;

use crate::crypto::provider;

/// What a relay does with a connection once it has read a request.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Answers these bytes, and then sends back what it gets.
    Answer(&'static str),
    /// Answers these bytes and closes.
    AnswerAndClose(&'static str),
    /// Does nothing more.
    Silence,
}

pub(super) const WELL: Script = Script::Answer("HTTP/1.1 200 OK\r\n\r\n");
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const CLOSES: Script = Script::AnswerAndClose("");

/// A relay. It ends when it is dropped.
pub(super) struct ScriptedRelay {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    script: Mutex<Script>,
    heads: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

impl ScriptedRelay {
    pub(super) async fn start(script: Script) -> Self {
        Self::start_with(script, None).await
    }

    /// A relay behind TLS.
    pub(super) async fn secure(script: Script, acceptor: TlsAcceptor) -> Self {
        Self::start_with(script, Some(acceptor)).await
    }

    async fn start_with(script: Script, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            script: Mutex::new(script),
            heads: Mutex::default(),
            connections: Mutex::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state), acceptor));
        Self { address, state, task }
    }

    /// From now on it does this.
    pub(super) fn does(&self, script: Script) {
        *lock(&self.state.script) = script;
    }

    /// The request heads it has read.
    pub(super) fn asked(&self) -> Vec<String> {
        lock(&self.state.heads).clone()
    }

    /// How many connections it has taken.
    pub(super) fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }

    /// Waits until it has read so many requests.
    pub(super) async fn until_asked(&self, count: usize) {
        let asked = async {
            while self.asked().len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, asked).await.expect("a request");
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, acceptor: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        *lock(&state.connections) += 1;
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
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
        Script::AnswerAndClose(answer) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        }
        Script::Answer(answer) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            let mut buffer = [0; 1024];
            loop {
                let count = stream.read(&mut buffer).await?;
                if count == 0 {
                    return stream.shutdown().await;
                }
                stream.write_all(&buffer[..count]).await?;
                stream.flush().await?;
            }
        }
    }
}

/// An authority with its certificate in a file.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let (issuer, folder) = (issuer.expect("an authority"), tempfile::tempdir().expect("a folder"));
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, folder }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// TLS for a relay with a certificate for `name`, which may be an address.
    pub(super) fn acceptor(&self, name: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .expect("the version")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Keeps the log lines of this thread.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test has panicked with it")
}
