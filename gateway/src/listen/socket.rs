//! Listening sockets: bound all together or not at all, and accepting that survives exhaustion.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::error;

use crate::events;
use crate::system;

/// Connections the kernel queues while the gateway is busy.
pub const BACKLOG: u32 = 4096;
/// Pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing more is said about a shortage; each place that becomes free is taken at once, so
/// one shortage is many failures.
const SAID_FOR: Duration = Duration::from_secs(60);

/// When a shortage was last said. All listeners share the descriptors of the process, so they share this.
static SAID: Mutex<Option<Instant>> = Mutex::new(None);

/// Binds a listening socket.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(system::REUSE_ADDRESS)?;
    socket.bind(address)?;
    Ok(without_delay(socket.listen(BACKLOG)?))
}

/// Has the connections of a listening socket send small writes at once: Linux hands the option down to each, so
/// that none has to be asked for it.
pub fn without_delay(listener: TcpListener) -> TcpListener {
    // Latency only: without it everything still arrives.
    let _ = SockRef::from(&listener).set_tcp_nodelay(true);
    listener
}

/// Says what to change when an address cannot be bound; begins with `; `, or is empty.
pub fn mend(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("; another program has it: {}", system::who_has(port)),
        io::ErrorKind::AddrNotAvailable => {
            format!("; no interface of this machine has this address: {}", system::ADDRESSES)
        }
        io::ErrorKind::PermissionDenied => {
            system::forbidden(port).map_or_else(String::new, |why| format!("; {why}"))
        }
        _ => String::new(),
    }
}

/// Accepts the next connection; waits and says so while the process has no descriptors left.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if !system::OPTIONS_ARE_HANDED_DOWN {
                    // Latency only, as for the listener.
                    let _ = accepted.0.set_nodelay(true);
                }
                return accepted;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                say_paused(&format!("{error}; raise the open files limit (ulimit -n, LimitNOFILE)"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Says that no connections are accepted for now, and why; once a minute at most.
pub fn say_paused(why: &str) {
    if is_to_be_said(Instant::now()) {
        error!(event_id = events::DEGRADED.0, "accepting is paused: {why}");
    }
}

/// Says whether a shortage is news, and takes note.
fn is_to_be_said(now: Instant) -> bool {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let is_news = said.is_none_or(|then| now.saturating_duration_since(then) >= SAID_FOR);
    if is_news {
        *said = Some(now);
    }
    is_news
}

/// Says whether an accept failed because the one waiting connection was gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_send_small_writes_at_once_because_their_listener_does() {
        let inherited = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        inherited.set_nonblocking(true).expect("a socket option");
        let inherited = without_delay(TcpListener::from_std(inherited).expect("a listener"));
        let bound = bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        for listener in [inherited, bound] {
            let _client =
                std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (stream, _) = accept(&listener).await;
            assert_eq!(stream.nodelay().ok(), Some(true));
        }
    }

    #[test]
    #[cfg(unix)]
    fn an_address_that_cannot_be_bound_comes_with_what_to_change() {
        let said = |address: &str, kind: io::ErrorKind| {
            mend(address.parse().expect("an address"), &io::Error::from(kind))
        };
        assert!(said("127.0.0.1:8080", io::ErrorKind::AddrInUse).ends_with("ss -ltnp 'sport = :8080'"));
        assert!(said("192.0.2.1:8080", io::ErrorKind::AddrNotAvailable).ends_with("this address: ip addr"));
        assert!(said("127.0.0.1:443", io::ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
        assert_eq!(said("127.0.0.1:8080", io::ErrorKind::PermissionDenied), "");
    }
}
