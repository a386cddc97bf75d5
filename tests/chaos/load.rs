//! Numbered records by TCP, UDP and into files, at a rate: what each agent's machine has to say.
//!
//! The text of a record follows from its series and number, so that what arrived can be compared byte by byte.

use std::collections::VecDeque;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex as Lock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use end_to_end::network::enter;
use jiff::Timestamp;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use tokio::sync::MutexGuard;

const TICK: Duration = Duration::from_millis(10);
/// A write that the agent does not take is given up after this, to see whether the run is at its end.
const STALLED: Duration = Duration::from_secs(2);
/// Records of a series whose times are known.
const KNOWN_TIMES: usize = 4096;
/// Shortest and longest texts.
const LENGTHS: (u64, u64) = (60, 400);

/// How records get to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Udp,
    File,
}

/// One row of numbered records.
pub(crate) struct Series {
    /// `a3t`: the TCP records of agent 3.
    pub(crate) name: String,
    pub(crate) way: Way,
    sent: AtomicU64,
    gate: Mutex<()>,
    /// When the last ones were.
    times: Lock<VecDeque<Instant>>,
}

/// Where a series goes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Socket(SocketAddr),
    File(PathBuf),
}

/// All series of a run, at work in a thread of their own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Series {
    pub(crate) fn new(agent: usize, way: Way) -> Arc<Self> {
        let letter = match way {
            Way::Tcp => 't',
            Way::Udp => 'u',
            Way::File => 'f',
        };
        let name = format!("a{agent}{letter}");
        Arc::new(Self { name, way, sent: AtomicU64::new(0), gate: Mutex::new(()), times: Lock::default() })
    }

    /// Returns how many were handed over: their numbers are below it.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Returns how many had been handed over so long ago.
    pub(crate) fn sent_before(&self, ago: Duration) -> u64 {
        let times = self.times.lock().expect("no panic under the lock");
        let since = times.iter().rev().take_while(|time| time.elapsed() < ago).count() as u64;
        self.sent().saturating_sub(since)
    }

    fn count(&self, sent: u64) {
        let mut times = self.times.lock().expect("no panic under the lock");
        times.push_back(Instant::now());
        if times.len() > KNOWN_TIMES {
            times.pop_front();
        }
        self.sent.store(sent, Ordering::Release);
    }

    /// Holds it between two records while the guard lives.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().await
    }
}

/// Returns the text of a record.
pub(crate) fn text(series: &str, number: u64) -> String {
    let mut text = format!("{series}-seq={number:08} ");
    let seed = series.bytes().fold(number, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let length = LENGTHS.0 + state % (LENGTHS.1 - LENGTHS.0);
    while (text.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

/// Returns the series and number that a text says it is.
pub(crate) fn parse(text: &str) -> Option<(&str, u64)> {
    let (series, rest) = text.split_once("-seq=")?;
    Some((series, rest.get(..8)?.parse().ok()?))
}

/// Returns the least bytes that a syslog message of a record has on its way.
pub(crate) fn least_bytes() -> u64 {
    LENGTHS.0
}

fn syslog(text: &str) -> String {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    format!("<13>1 {now} edge chaos - - - {text}")
}

impl Load {
    /// Starts all, each at this rate a second, at the host of this network namespace.
    pub(crate) fn start(host: File, series: Vec<(Arc<Series>, Place)>, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            enter(&host);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut all = tokio::task::JoinSet::new();
                for (series, place) in series {
                    all.spawn(feed(series, place, rate, Arc::clone(&ended)));
                }
                while let Some(done) = all.join_next().await {
                    done.expect("no load panics");
                }
            });
        });
        Self { stop, thread }
    }

    /// Stops, when each has handed over what it was at. Blocks.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("no load panics");
    }
}

async fn feed(series: Arc<Series>, place: Place, rate: f64, stop: Arc<AtomicBool>) {
    let mut outlet = Outlet::new(&series, place);
    let (begin, mut next, mut late) = (Instant::now(), 0, Duration::ZERO);
    while !stop.load(Ordering::Acquire) {
        let due = ((begin.elapsed().saturating_sub(late)).as_secs_f64() * rate) as u64;
        if next >= due {
            tokio::time::sleep(TICK).await;
            continue;
        }
        // What could not be sent while it was held is not made up for all at once.
        let waits = Instant::now();
        let _open = series.gate.lock().await;
        late += waits.elapsed();
        if outlet.put(&text(&series.name, next), &stop).await {
            next += 1;
            series.count(next);
        }
    }
}

enum Outlet {
    Tcp(SocketAddr, Option<TcpStream>),
    Udp(SocketAddr, Option<UdpSocket>),
    File(PathBuf),
}

impl Outlet {
    fn new(series: &Series, place: Place) -> Self {
        match (series.way, place) {
            (Way::Tcp, Place::Socket(address)) => Self::Tcp(address, None),
            (Way::Udp, Place::Socket(address)) => Self::Udp(address, None),
            (Way::File, Place::File(path)) => Self::File(path),
            (way, place) => panic!("{way:?} does not go to {place:?}"),
        }
    }

    /// Hands a record over; false if that is given up, and nothing was handed over.
    async fn put(&mut self, text: &str, stop: &AtomicBool) -> bool {
        match self {
            Self::File(path) => {
                let mut file = OpenOptions::new().create(true).append(true).open(path).expect("our own file");
                file.write_all(format!("{text}\n").as_bytes()).expect("a disk with room");
                true
            }
            Self::Udp(address, socket) => {
                if socket.is_none() {
                    let open = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
                    open.connect(*address).await.expect("an address");
                    *socket = Some(open);
                }
                // An error is the last one's: nobody listened. It comes once, and this one is not sent then.
                let Some(open) = socket else { return false };
                open.send(syslog(text).as_bytes()).await.is_ok()
            }
            Self::Tcp(address, stream) => {
                let line = format!("{}\n", syslog(text));
                while !write(stream, line.as_bytes(), stop).await {
                    if stop.load(Ordering::Acquire) {
                        return false;
                    }
                    *stream = TcpStream::connect(*address).await.ok();
                    match stream {
                        Some(open) => open.set_nodelay(true).expect("an option of our own socket"),
                        None => tokio::time::sleep(TICK).await,
                    }
                }
                true
            }
        }
    }
}

/// Writes to a connection whose other side has not ended, and returns whether that was possible.
async fn write(stream: &mut Option<TcpStream>, bytes: &[u8], stop: &AtomicBool) -> bool {
    let Some(open) = stream else { return false };
    // Asked of the system itself: the runtime may not have heard of the end yet.
    let read = SockRef::from(&*open).recv(&mut [MaybeUninit::uninit()]);
    if !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock) {
        return false;
    }
    let mut written = 0;
    while written < bytes.len() {
        match tokio::time::timeout(STALLED, open.write(&bytes[written..])).await {
            Ok(Ok(count)) => written += count,
            Ok(Err(_)) => return false,
            Err(_) if stop.load(Ordering::Acquire) => return false,
            Err(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_it_is_and_no_two_are_alike() {
        let (one, other) = (text("a3t", 7), text("a3t", 8));
        assert_eq!(parse(&one), Some(("a3t", 7)));
        assert_ne!(one.get(17..), other.get(17..));
        assert_eq!(one, text("a3t", 7));
        assert_eq!(parse("no record"), None);
    }
}
