//! One tunnel as a client has it: CONNECT with a password, the hellos, exchanges.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use serde::Deserialize;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_util::either::Either;

use super::bytes;
use super::programs::authorization;
use super::stage::AUTHORITY;
use super::stage::PROXY;
use super::wire::Exchange;
use super::wire::HEADER;
use super::wire::Hellos;
use super::wire::RECEIPT;

/// Longest answer to a CONNECT.
const ANSWER: usize = 4096;

/// What is between client and proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Leg {
    Plain,
    /// TLS with a handshake of its own each time.
    Full,
    /// TLS that goes on with a session of before.
    Resumed,
}

/// How a client gets to the origin.
pub(crate) struct Way {
    proxy: SocketAddr,
    leg: Leg,
    tls: Option<TlsConnector>,
    /// Sessions that were to be resumed and were not.
    not_resumed: AtomicU64,
    request: Vec<u8>,
    hellos: Hellos,
}

/// A tunnel with both hellos said.
pub(crate) struct Tunnel {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
}

impl Way {
    pub(crate) fn new(proxy: SocketAddr, folder: &Path, leg: Leg) -> anyhow::Result<Self> {
        let request = connect_request(&authorization(), benches::TARGET);
        let tls = if leg == Leg::Plain { None } else { Some(connector(folder, leg)?) };
        Ok(Self { proxy, leg, tls, not_resumed: AtomicU64::new(0), request, hellos: Hellos::read(folder)? })
    }

    /// Returns how many sessions were to be resumed and were not.
    pub(crate) fn not_resumed(&self) -> u64 {
        self.not_resumed.load(Relaxed)
    }

    /// Returns whether the proxy is on the loopback, where a client has any number of addresses.
    pub(crate) fn is_local(&self) -> bool {
        self.proxy.ip().is_loopback()
    }

    /// Sets up a tunnel.
    pub(crate) async fn open(&self) -> io::Result<Tunnel> {
        self.open_anyhow(self.leg, TcpStream::connect(self.proxy).await?).await
    }

    /// Sets up a tunnel whose session need not be resumed: there may be none yet.
    pub(crate) async fn open_first(&self) -> io::Result<Tunnel> {
        self.open_anyhow(Leg::Full, TcpStream::connect(self.proxy).await?).await
    }

    /// Sets up a tunnel from this address: a gateway gives no address all its places.
    pub(crate) async fn open_from(&self, own: Ipv4Addr) -> io::Result<Tunnel> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((own, 0).into())?;
        self.open_anyhow(self.leg, socket.connect(self.proxy).await?).await
    }

    async fn open_anyhow(&self, leg: Leg, stream: TcpStream) -> io::Result<Tunnel> {
        stream.set_nodelay(true)?;
        let mut stream = match &self.tls {
            None => Either::Left(stream),
            Some(tls) => {
                let name = ServerName::try_from(PROXY).map_err(io::Error::other)?;
                let stream = tls.connect(name, stream).await?;
                if leg == Leg::Resumed && stream.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed)
                {
                    self.not_resumed.fetch_add(1, Relaxed);
                }
                Either::Right(Box::new(stream))
            }
        };
        stream.write_all(&self.request).await?;
        stream.flush().await?;
        read_answer(&mut stream).await?;
        stream.write_all(&self.hellos.client).await?;
        stream.flush().await?;
        bytes::take(&mut stream, self.hellos.server.len() as u64).await?;
        Ok(Tunnel { stream })
    }
}

impl Tunnel {
    pub(crate) async fn exchange(&mut self, exchange: Exchange) -> io::Result<()> {
        const SHORT: usize = 1024;
        let rest = exchange.up - HEADER as u64;
        if rest <= (SHORT - HEADER) as u64 {
            let mut whole = Vec::with_capacity(SHORT);
            whole.extend_from_slice(&exchange.header());
            whole.resize(exchange.up as usize, b'.');
            self.stream.write_all(&whole).await?;
        } else {
            self.stream.write_all(&exchange.header()).await?;
            bytes::give(&mut self.stream, rest).await?;
        }
        self.stream.flush().await?;
        let mut receipt = [0; RECEIPT];
        self.stream.read_exact(&mut receipt).await?;
        if u64::from_be_bytes(receipt) != exchange.up {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the origin counted other bytes"));
        }
        bytes::take(&mut self.stream, u64::from(exchange.down) - RECEIPT as u64).await
    }
}

/// Returns what begins TLS with the proxy: with a memory of sessions, or none.
fn connector(folder: &Path, leg: Leg) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(AUTHORITY))?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    if leg == Leg::Full {
        config.resumption = Resumption::disabled();
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Returns a CONNECT as an agent sends it.
pub(crate) fn connect_request(authorization: &str, target: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {authorization}\r\n\r\n")
        .into_bytes()
}

async fn read_answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut answer = Vec::with_capacity(ANSWER);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER || stream.read_buf(&mut answer).await? == 0 {
            return Err(unlike(&answer));
        }
    }
    if answer.get(8..13) == Some(b" 200 ") { Ok(()) } else { Err(unlike(&answer)) }
}

fn unlike(answer: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(answer);
    io::Error::other(format!("no 200 but {:?}", text.lines().next().unwrap_or_default()))
}
