//! Good agents: each uploads in its rhythm, in a fresh tunnel, with its password.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use benches::TARGET;
use benches::authorization;
use end_to_end::client::connect_request;
use end_to_end::hello::Hellos;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Scene;
use crate::alone;
use crate::bytes;

/// Bytes of an upload.
pub(super) const UPLOAD: usize = 20 * 1024;
/// Bytes of the answer to it.
pub(super) const ANSWER: usize = 300;
/// Where agents' addresses begin.
const FIRST: u32 = u32::from_be_bytes([127, 30, 0, 1]);
/// How long an agent waits for an upload; it counts as failed then.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer's head.
const LONGEST_HEAD: usize = 4096;

/// What every upload took, or that it failed.
type Uploads = Arc<Mutex<Vec<Option<Duration>>>>;

/// See above; they go on until this program ends.
pub(super) struct Agents {
    uploads: Uploads,
    thread: JoinHandle<io::Result<()>>,
}

impl Agents {
    pub(super) fn start(scene: &Scene, count: usize, every: Duration) -> anyhow::Result<Self> {
        let (uploads, scene) = (Uploads::default(), scene.clone());
        let told = Arc::clone(&uploads);
        let thread = thread::Builder::new().name("agents".to_owned());
        let thread = thread.spawn(move || alone(act(scene, count, every, told)))?;
        Ok(Self { uploads, thread })
    }

    /// Takes what has been told so far.
    pub(super) fn take(&self) -> Vec<Option<Duration>> {
        std::mem::take(&mut self.uploads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn forget(&self) {
        drop(self.take());
    }

    pub(super) fn is_well(&self) -> bool {
        !self.thread.is_finished()
    }
}

async fn act(scene: Scene, count: usize, every: Duration, uploads: Uploads) -> io::Result<()> {
    let began = tokio::time::Instant::now();
    for number in 0..count {
        let (scene, uploads) = (scene.clone(), Arc::clone(&uploads));
        let phase = every.mul_f64(number as f64 / count as f64);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval_at(began + phase, every);
            let head = connect_request(TARGET, &[("Proxy-Authorization", &authorization(number))]);
            loop {
                tick.tick().await;
                let begun = Instant::now();
                let done = timeout(PATIENCE, upload(&scene, number as u32, &head)).await;
                let told = matches!(done, Ok(Ok(()))).then(|| begun.elapsed());
                uploads.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            }
        });
    }
    std::future::pending().await
}

async fn upload(scene: &Scene, number: u32, head: &[u8]) -> io::Result<()> {
    let mut stream = connect(scene.proxy, FIRST + number).await?;
    open(&mut stream, head, &scene.hellos).await?;
    stream.write_all(&[0x17; UPLOAD]).await?;
    bytes::take(&mut stream, ANSWER as u64).await
}

/// Connects from one of this machine's addresses.
pub(super) async fn connect(to: SocketAddr, from: u32) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::from_bits(from), 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for a tunnel and goes through both hellos.
pub(super) async fn open(stream: &mut TcpStream, head: &[u8], hellos: &Hellos) -> io::Result<()> {
    stream.write_all(head).await?;
    let mut answer = Vec::with_capacity(LONGEST_HEAD);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= LONGEST_HEAD || stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(&hellos.client).await?;
    bytes::take(stream, hellos.server.len() as u64).await
}
