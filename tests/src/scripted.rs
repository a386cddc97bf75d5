//! A relay that follows a script: it says what it is told to, whatever it is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

const LARGEST_HEAD: usize = 64 * 1024;

/// What a relay does with a connection.
#[derive(Clone, Debug)]
pub enum Play {
    /// Reads the request, says these bytes, and is a tunnel to the address from then on.
    Tunnel(Vec<u8>, SocketAddr),
    /// The same, with one write a byte.
    TunnelByteByByte(Vec<u8>, SocketAddr),
    /// Reads the request, says these bytes, and closes.
    Close(Vec<u8>),
    /// Reads the request, says these bytes, and nothing more.
    Hold(Vec<u8>),
    /// Reads nothing itself: every byte goes to the address, as through a load balancer.
    Forward(SocketAddr),
}

impl Play {
    /// Returns the beginning of what is said, as text for a test's report.
    pub fn shown(&self) -> String {
        let (Self::Tunnel(said, _) | Self::TunnelByteByByte(said, _) | Self::Close(said) | Self::Hold(said)) =
            self
        else {
            return String::new();
        };
        String::from_utf8_lossy(said).chars().take(60).collect()
    }
}

/// A relay on loopback that stops when it is dropped.
pub struct ScriptedRelay {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

struct Seen {
    play: Mutex<Play>,
    connections: Mutex<u64>,
    requests: Mutex<Vec<String>>,
}

impl ScriptedRelay {
    /// Starts at a port of the system's choice.
    pub async fn start(play: Play) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("a literal address"), play).await
    }

    /// Starts at this address.
    pub async fn start_at(address: SocketAddr, play: Play) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Seen { play: Mutex::new(play), connections: Mutex::default(), requests: Mutex::default() };
        let seen = Arc::new(seen);
        let task = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what is done with the connections from now on.
    pub fn plays(&self, play: Play) {
        *self.seen.play.lock().expect("no panic under the lock") = play;
    }

    /// Returns how many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        *self.seen.connections.lock().expect("no panic under the lock")
    }

    /// Returns every request so far: all that came before the first answer.
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().expect("no panic under the lock").clone()
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let _ = socket.set_nodelay(true);
        *seen.connections.lock().expect("no panic under the lock") += 1;
        let play = seen.play.lock().expect("no panic under the lock").clone();
        connections.spawn(serve(socket, play, Arc::clone(&seen)));
        while connections.try_join_next().is_some() {}
    }
}

/// What breaks here was broken by the other side, whose affair it is.
async fn serve(mut socket: TcpStream, play: Play, seen: Arc<Seen>) {
    if let Play::Forward(to) = play {
        return carry(socket, to).await;
    }
    let Some(request) = read_request(&mut socket).await else { return };
    seen.requests.lock().expect("no panic under the lock").push(request);
    match play {
        Play::Tunnel(said, to) => {
            let _ = socket.write_all(&said).await;
            carry(socket, to).await;
        }
        Play::TunnelByteByByte(said, to) => {
            for byte in said {
                let _ = socket.write_all(&[byte]).await;
                tokio::task::yield_now().await;
            }
            carry(socket, to).await;
        }
        Play::Close(said) => {
            let _ = socket.write_all(&said).await;
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
        Play::Hold(said) => {
            let _ = socket.write_all(&said).await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
        Play::Forward(_) => unreachable!("is played above"),
    }
}

async fn carry(mut socket: TcpStream, to: SocketAddr) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let _ = far.set_nodelay(true);
    let _ = copy_bidirectional(&mut socket, &mut far).await;
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        assert!(bytes.len() < LARGEST_HEAD, "a request without an end");
        match socket.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_keeps_what_it_is_asked_and_says_what_it_is_told() {
        let relay = ScriptedRelay::start(Play::Close(b"never mind".to_vec())).await;
        let mut socket = TcpStream::connect(relay.address()).await.expect("a connection");
        socket.write_all(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n").await.expect("a request sent");
        let mut said = String::new();
        socket.read_to_string(&mut said).await.expect("an answer");
        assert_eq!(said, "never mind");
        assert_eq!((relay.connections(), relay.requests()[0].contains("a.example")), (1, true));
    }
}
