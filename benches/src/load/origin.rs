//! The origin: answers a hello with a hello, then takes and gives what an exchange asks for. One thread.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use super::bytes;
use super::wire::COUNT;
use super::wire::Exchange;
use super::wire::HEADER;
use super::wire::Hellos;
use super::wire::RECEIPT;
use super::wire::RECORD_HEADER;
use super::wire::TOTALS;
use super::wire::record_length;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

#[derive(Default)]
struct Totals {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// Serves until the process ends.
pub(crate) async fn run(address: SocketAddr, folder: &Path) -> io::Result<()> {
    let hellos = Arc::new(Hellos::read(folder)?);
    let totals = Arc::new(Totals::default());
    let listener = listen(address)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (hellos, totals) = (Arc::clone(&hellos), Arc::clone(&totals));
        // What ends a tunnel early is seen by the client, which has the error.
        tokio::spawn(async move { drop(serve(stream, &hellos, &totals).await) });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(mut stream: TcpStream, hellos: &Hellos, totals: &Totals) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = [0; RECORD_HEADER];
    stream.read_exact(&mut header[..1]).await?;
    if header[0] == COUNT {
        return tell(stream, totals).await;
    }
    stream.read_exact(&mut header[1..]).await?;
    bytes::take(&mut stream, record_length(header) as u64).await?;
    stream.write_all(&hellos.server).await?;
    totals.connections.fetch_add(1, Relaxed);
    let mut header = [0; HEADER];
    loop {
        stream.read_exact(&mut header).await?;
        let exchange = Exchange::read(header).ok_or(io::ErrorKind::InvalidData)?;
        bytes::take(&mut stream, exchange.up - HEADER as u64).await?;
        totals.up.fetch_add(exchange.up, Relaxed);
        answer(&mut stream, exchange).await?;
        totals.down.fetch_add(exchange.down.into(), Relaxed);
    }
}

/// Sends the receipt with what follows it; a short answer in one piece.
async fn answer(stream: &mut TcpStream, exchange: Exchange) -> io::Result<()> {
    const SHORT: usize = 1024;
    let (receipt, rest) = (exchange.up.to_be_bytes(), exchange.down as usize - RECEIPT);
    if rest > SHORT - RECEIPT {
        stream.write_all(&receipt).await?;
        return bytes::give(stream, rest as u64).await;
    }
    let mut whole = [b'.'; SHORT];
    whole[..RECEIPT].copy_from_slice(&receipt);
    stream.write_all(&whole[..RECEIPT + rest]).await
}

async fn tell(mut stream: TcpStream, totals: &Totals) -> io::Result<()> {
    let mut told = Vec::with_capacity(TOTALS);
    for total in [&totals.connections, &totals.up, &totals.down] {
        told.extend_from_slice(&total.load(Relaxed).to_be_bytes());
    }
    stream.write_all(&told).await
}
