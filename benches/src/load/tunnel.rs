//! One tunnel as a client has it: CONNECT with a password, the hellos, exchanges.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::bytes;
use super::wire::Exchange;
use super::wire::HEADER;
use super::wire::Hellos;
use super::wire::RECEIPT;

/// Longest answer to a CONNECT.
const ANSWER: usize = 4096;

/// How a client gets to the origin.
pub(crate) struct Way {
    proxy: SocketAddr,
    request: Vec<u8>,
    hellos: Hellos,
}

/// A tunnel with both hellos said.
pub(crate) struct Tunnel {
    stream: TcpStream,
}

impl Way {
    pub(crate) fn new(proxy: SocketAddr, folder: &Path, user: usize) -> io::Result<Self> {
        let request = connect_request(&benches::authorization(user), benches::TARGET);
        Ok(Self { proxy, request, hellos: Hellos::read(folder)? })
    }

    /// Sets up a tunnel.
    pub(crate) async fn open(&self) -> io::Result<Tunnel> {
        let mut stream = TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.request).await?;
        read_answer(&mut stream).await?;
        stream.write_all(&self.hellos.client).await?;
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
        let mut receipt = [0; RECEIPT];
        self.stream.read_exact(&mut receipt).await?;
        if u64::from_be_bytes(receipt) != exchange.up {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the origin counted other bytes"));
        }
        bytes::take(&mut self.stream, u64::from(exchange.down) - RECEIPT as u64).await
    }
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
