//! Numbered records for the agent: `SERIES-seq=N`, all of one length, at once or at a rate.

use std::io::Write;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use end_to_end::patience::patiently;
use jiff::Timestamp;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;

/// Records that are due go out together, this far apart.
const TICK: Duration = Duration::from_millis(2);
/// A refused connection is tried again after this.
const AGAIN: Duration = Duration::from_millis(5);

/// Returns the text of a record; of so many bytes at least, which compress to about half.
pub(crate) fn text(series: &str, number: u64, length: usize) -> String {
    let mut text = format!("{series}-seq={number:08} ");
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(length.max(series.len() + 14));
    text
}

/// Returns a syslog message around a text.
pub(crate) fn syslog(text: &str) -> String {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    format!("<13>1 {now} edge7 trial - - - {text}")
}

/// Sends messages by TCP, a line each, and closes.
pub(crate) async fn send_lines(address: SocketAddr, messages: impl IntoIterator<Item = String>) {
    let mut stream = TcpStream::connect(address).await.expect("a source that listens");
    let mut buffer = String::new();
    for message in messages {
        buffer.push_str(&message);
        buffer.push('\n');
        if buffer.len() > 32 * 1024 {
            patiently("records are taken", stream.write_all(buffer.as_bytes())).await.expect("records sent");
            buffer.clear();
        }
    }
    patiently("records are taken", stream.write_all(buffer.as_bytes())).await.expect("records sent");
    stream.shutdown().await.expect("an orderly end");
}

/// Sends the numbers of a series by TCP.
pub(crate) async fn send_series(
    address: SocketAddr,
    series: &str,
    numbers: std::ops::Range<u64>,
    length: usize,
) {
    send_lines(address, numbers.map(|number| syslog(&text(series, number, length)))).await;
}

/// Appends the numbers of a series to a file, a line each.
pub(crate) fn append_series(file: &Path, series: &str, numbers: std::ops::Range<u64>, length: usize) {
    let mut lines = String::new();
    for number in numbers {
        lines.push_str(&text(series, number, length));
        lines.push('\n');
    }
    append(file, lines.as_bytes());
}

/// Appends bytes to a file.
pub(crate) fn append(file: &Path, bytes: &[u8]) {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(file).expect("a file of our own");
    file.write_all(bytes).expect("a disk with room");
}

/// Sends the numbers of a series by UDP, a datagram each.
pub(crate) async fn send_datagrams(
    address: SocketAddr,
    series: &str,
    numbers: std::ops::Range<u64>,
    length: usize,
) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for number in numbers {
        let message = syslog(&text(series, number, length));
        socket.send_to(message.as_bytes(), address).await.expect("a datagram sent");
    }
}

/// Numbered records at a rate, until it is stopped.
pub(crate) struct Load {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    gate: Arc<Mutex<()>>,
    task: JoinHandle<()>,
}

/// Where records go.
enum Outlet {
    Tcp(SocketAddr, Option<TcpStream>),
    File(PathBuf),
}

impl Load {
    /// Sends by TCP, a record a write; a connection that has ended is opened anew.
    pub(crate) fn tcp(address: SocketAddr, series: &'static str, rate: u64, length: usize) -> Self {
        Self::start(Outlet::Tcp(address, None), series, rate, length)
    }

    /// Appends to a file.
    pub(crate) fn file(path: PathBuf, series: &'static str, rate: u64, length: usize) -> Self {
        Self::start(Outlet::File(path), series, rate, length)
    }

    fn start(mut outlet: Outlet, series: &'static str, rate: u64, length: usize) -> Self {
        let (sent, stop, gate) =
            (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
        let (count, ended, open) = (Arc::clone(&sent), Arc::clone(&stop), Arc::clone(&gate));
        let task = tokio::spawn(async move {
            let (begin, mut next) = (Instant::now(), 0);
            while !ended.load(Ordering::Acquire) {
                let due = (begin.elapsed().as_secs_f64() * rate as f64) as u64;
                if next < due {
                    let _open = open.lock().await;
                    outlet.put(&text(series, next, length)).await;
                    next += 1;
                    count.store(next, Ordering::Release);
                } else {
                    tokio::time::sleep(TICK).await;
                }
            }
        });
        Self { sent, stop, gate, task }
    }

    /// Returns how many records were sent so far: their numbers are below it.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Holds it between two records while the guard lives.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Stops, and returns how many records were sent.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.task.await.expect("a load does not panic");
        self.sent.load(Ordering::Acquire)
    }
}

impl Outlet {
    async fn put(&mut self, text: &str) {
        match self {
            Self::File(path) => append(path, format!("{text}\n").as_bytes()),
            Self::Tcp(address, stream) => {
                let line = format!("{}\n", syslog(text));
                while !write(stream, line.as_bytes()).await {
                    *stream = TcpStream::connect(*address).await.ok();
                    match stream {
                        // What this side still holds back would be lost with the connection.
                        Some(open) => open.set_nodelay(true).expect("an option of our own socket"),
                        None => tokio::time::sleep(AGAIN).await,
                    }
                }
            }
        }
    }
}

/// Writes to a connection whose other side has not ended, and returns whether that was possible.
async fn write(stream: &mut Option<TcpStream>, bytes: &[u8]) -> bool {
    let Some(open) = stream else { return false };
    // Asked of the system itself: the runtime may not have heard of the end yet.
    let read = SockRef::from(&*open).recv(&mut [MaybeUninit::uninit()]);
    let ended = !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    !ended && open.write_all(bytes).await.is_ok()
}
