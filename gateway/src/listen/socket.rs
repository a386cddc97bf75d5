//! Listening sockets: bound all together or not at all, and accepting that survives exhaustion.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::error;

use crate::events;

/// Connections the kernel queues while the gateway is busy.
const BACKLOG: u32 = 4096;
/// Pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds a listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts the next connection; waits and says so once while the process has no descriptors left.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut said = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Latency only: without it everything still arrives.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !said {
                    error!(
                        event_id = events::DEGRADED.0,
                        "accepting is paused: {error}; raise the open files limit (ulimit -n, LimitNOFILE)"
                    );
                }
                said = true;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Says whether an accept failed because the one waiting connection was gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
