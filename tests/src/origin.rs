//! Origins under a test's control: one that speaks when told, one that refuses, one that never answers.

use std::net::SocketAddr;

use socket2::Domain;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time;
use tokio::time::Duration;

use crate::patience::patiently;

/// How long the kernel and the reactor may take to show a connection that was made before.
const A_LOOK: Duration = Duration::from_millis(50);

/// A bare TCP server; the test accepts, reads and writes itself.
pub struct RawOrigin {
    listener: TcpListener,
    address: SocketAddr,
}

impl RawOrigin {
    /// Binds a port of the system's choice on 127.0.0.1.
    pub async fn bind() -> Self {
        Self::bind_at("127.0.0.1:0".parse().expect("a literal address")).await.expect("a port")
    }

    /// Binds this address; fails where the port needs a right the test does not have.
    pub async fn bind_at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> TcpStream {
        let (stream, _) =
            patiently("a connection at the raw origin", self.listener.accept()).await.expect("a socket");
        stream
    }

    /// Waits for the next connection for as long as it takes.
    pub async fn take(&self) -> std::io::Result<TcpStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Returns whether a connection was waiting, and takes it.
    pub async fn is_called(&self) -> bool {
        time::timeout(A_LOOK, self.listener.accept()).await.is_ok()
    }
}

/// Returns an address where connections are refused: bound once, and let go.
pub fn refusing() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a bound address")
}

/// Closes a connection by a reset, not in order.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a linger time");
    drop(stream);
}

/// A listener whose queue is full: connecting to it neither succeeds nor fails.
pub struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// Binds a port and fills its queue.
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("a literal address");
        listener.bind(&any.into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("a bound address").as_socket().expect("an IP address");
        let mut queued = Vec::new();
        loop {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let full = filler.connect_timeout(&address.into(), Duration::from_millis(300)).is_err();
            queued.push(filler);
            if full {
                return Self { address, _listener: listener, _queued: queued };
            }
            assert!(queued.len() < 64, "the queue of a listener is never full here");
        }
    }

    /// Returns the address nobody answers at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for BlackHole {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_black_hole_swallows_connections_and_a_refusing_address_refuses() {
        let hole = BlackHole::new();
        let connecting = time::timeout(Duration::from_millis(200), TcpStream::connect(hole.address()));
        assert!(connecting.await.is_err(), "somebody answered");
        let refused = TcpStream::connect(refusing()).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn an_origin_knows_whether_it_is_called() {
        let origin = RawOrigin::bind().await;
        assert!(!origin.is_called().await);
        let _caller = TcpStream::connect(origin.address()).await.expect("a connection");
        assert!(origin.is_called().await);
    }
}
