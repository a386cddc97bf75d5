//! RawClient: a client of the proxy that writes every byte itself and reads answers strictly.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::patience::patiently;
use crate::wire;
use crate::wire::Answer;
use crate::wire::Head;

/// A connection to the proxy before its tunnel.
pub struct RawClient {
    stream: TcpStream,
    address: SocketAddr,
}

/// A connection behind its 200.
pub struct Tunnel {
    /// The proxy's answer.
    pub head: Head,
    /// The bare connection; bytes that came with the answer are in `head.leftover`.
    pub stream: TcpStream,
    /// Our own address, which is `client` in the access record.
    pub address: SocketAddr,
}

impl RawClient {
    /// Connects to the proxy.
    pub async fn connect(proxy: SocketAddr) -> Self {
        Self::connect_from("127.0.0.1".parse().expect("a literal address"), proxy).await
    }

    /// Connects from this source address; on Linux all of 127.0.0.0/8 is ours.
    pub async fn connect_from(source: IpAddr, proxy: SocketAddr) -> Self {
        let socket = bind_anew(source, proxy);
        let stream = patiently("connecting to the proxy", socket.connect(proxy)).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let address = stream.local_addr().expect("a bound address");
        Self { stream, address }
    }

    /// Returns our own address, which is `client` in the access record.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends bytes in one piece.
    ///
    /// A proxy that has refused already may have closed: that is no error here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = patiently("sending to the proxy", self.stream.write_all(bytes)).await;
    }

    /// Sends bytes one by one, each in a segment of its own.
    pub async fn send_slowly(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads the whole answer of a proxy that closes behind it, or `None` when it closes in silence.
    pub async fn refusal(mut self) -> Option<Answer> {
        wire::read_answer_until_close(&mut self.stream).await
    }

    /// Reads the 200 and returns the tunnel.
    pub async fn tunnel(mut self) -> Tunnel {
        let head = wire::read_head(&mut self.stream).await.expect("an answer to the CONNECT");
        assert_eq!(head.status, 200, "{head:?}");
        Tunnel { head, stream: self.stream, address: self.address }
    }

    /// Reads the answer, whichever it is: the tunnel behind a 200, or a whole refusal.
    pub async fn verdict(mut self) -> Result<Tunnel, Answer> {
        let head = wire::read_head(&mut self.stream).await.expect("an answer to the CONNECT");
        if head.status == 200 {
            return Ok(Tunnel { head, stream: self.stream, address: self.address });
        }
        Err(wire::read_body_until_close(&mut self.stream, head).await)
    }

    /// Gives the bare connection away.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Tunnel {
    /// Opens a tunnel with an ordinary request.
    pub async fn open(proxy: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut client = RawClient::connect(proxy).await;
        client.send(&connect_request(target, headers)).await;
        client.tunnel().await
    }

    /// Does a TLS handshake with `name` inside the tunnel.
    pub async fn tls(self, name: &str, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
        assert!(self.head.leftover.is_empty(), "bytes from nowhere: {:?}", self.head.leftover);
        let name = ServerName::try_from(name.to_owned()).expect("a host name");
        let connecting = TlsConnector::from(config).connect(name, self.stream);
        patiently("a handshake in the tunnel", connecting).await.expect("a handshake")
    }
}

/// Binds a port that no client used towards this proxy before: an address stands for one record.
fn bind_anew(source: IpAddr, proxy: SocketAddr) -> TcpSocket {
    static USED: Mutex<BTreeSet<(SocketAddr, SocketAddr)>> = Mutex::new(BTreeSet::new());
    let mut passed_over = Vec::new();
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(source, 0)).expect("a source address");
        let own = socket.local_addr().expect("a bound address");
        if USED.lock().expect("no panic under the lock").insert((proxy, own)) {
            return socket;
        }
        passed_over.push(socket);
    }
}

/// Returns an HTTP/1.1 CONNECT with a matching Host field and these others.
pub fn connect_request(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    text.into_bytes()
}

/// Sends one CONNECT that is refused, and returns the answer with our own address.
pub async fn refused(proxy: SocketAddr, target: &str, headers: &[(&str, &str)]) -> (Answer, SocketAddr) {
    let mut client = RawClient::connect(proxy).await;
    client.send(&connect_request(target, headers)).await;
    let address = client.address();
    (client.refusal().await.expect("an answer to the CONNECT"), address)
}
