//! Where the tunnels lead: a hello for a hello, and an answer for an upload.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use end_to_end::hello::Hellos;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use super::agents::ANSWER;
use super::agents::UPLOAD;
use crate::alone;
use crate::bytes;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves in a thread of its own until this program ends.
pub(super) fn start(hellos: Arc<Hellos>) -> anyhow::Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || alone(serve_all(hellos, sender)));
    Ok(receiver.recv()??)
}

async fn serve_all(hellos: Arc<Hellos>, bound: mpsc::Sender<io::Result<SocketAddr>>) -> io::Result<()> {
    let listener = {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.listen(BACKLOG)
    };
    let _ =
        bound.send(listener.as_ref().map_err(|error| error.kind().into()).and_then(|one| one.local_addr()));
    let listener = listener?;
    loop {
        let (stream, _) = listener.accept().await?;
        let hellos = Arc::clone(&hellos);
        // What ends a tunnel early is seen by the client, which counts it.
        tokio::spawn(async move { drop(serve(stream, &hellos).await) });
    }
}

async fn serve(mut stream: TcpStream, hellos: &Hellos) -> io::Result<()> {
    stream.set_nodelay(true)?;
    bytes::take(&mut stream, hellos.client.len() as u64).await?;
    stream.write_all(&hellos.server).await?;
    bytes::take(&mut stream, UPLOAD as u64).await?;
    stream.write_all(&[0; ANSWER]).await?;
    stream.read_u8().await.map(drop)
}
