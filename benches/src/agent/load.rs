//! The load: records at an even pace over UDP, TCP or into a file, each stream in a thread of its own.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use super::messages::Messages;

/// Records go out in batches, this far apart.
const TICK: Duration = Duration::from_millis(2);
/// A batch without a pace has so many records.
const FULL_SPEED: u64 = 256;
/// A blocked connection is looked after this often.
const LOOK: Duration = Duration::from_millis(200);
/// A refused connection is tried again after this.
const AGAIN: Duration = Duration::from_millis(5);

/// Where records go.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One datagram a record.
    Udp(SocketAddr),
    /// One connection, one line a record.
    Tcp(SocketAddr),
    /// One line a record, appended.
    File(PathBuf),
}

/// A stream of records.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The name of its numbers: `udp` makes `udp-seq=0` and so on.
    pub series: &'static str,
    /// Where it goes.
    pub target: Target,
    /// Records a second; none: as fast as they are taken.
    pub rate: Option<u64>,
    /// Records after which it ends by itself.
    pub most: u64,
}

/// A running stream.
pub(crate) struct Load {
    pub(crate) series: &'static str,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts to send.
    pub(crate) fn start(stream: Stream) -> Self {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let series = stream.series;
        let sender = Sender {
            messages: Messages::new(series),
            outlet: Outlet::Closed,
            batch: Vec::new(),
            ends: Vec::new(),
            sent: Arc::clone(&sent),
            stop: Arc::clone(&stop),
            stream,
        };
        Self { series, sent, stop, thread: thread::spawn(move || sender.run()) }
    }

    /// Returns how many records were sent so far: their numbers are below it.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Returns whether it has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops, and returns how many records were sent.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("a sender does not panic");
        self.sent.load(Ordering::Acquire)
    }
}

enum Outlet {
    Closed,
    Udp(UdpSocket),
    Tcp(TcpStream),
    File(File),
}

struct Sender {
    stream: Stream,
    messages: Messages,
    outlet: Outlet,
    batch: Vec<u8>,
    ends: Vec<usize>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn run(mut self) {
        let (start, mut next) = (Instant::now(), 0);
        while !self.stop.load(Ordering::Acquire) && next < self.stream.most {
            let due = match self.stream.rate {
                None => next + FULL_SPEED,
                Some(rate) => (start.elapsed().as_secs_f64() * rate as f64) as u64,
            };
            let until = due.min(self.stream.most).min(next + FULL_SPEED);
            if next < until {
                self.make(next, until);
                if !self.send() {
                    return;
                }
                next = until;
                self.sent.store(next, Ordering::Release);
            }
            if next >= due {
                thread::sleep(TICK);
            }
        }
    }

    fn make(&mut self, from: u64, until: u64) {
        self.messages.now();
        self.batch.clear();
        self.ends.clear();
        for number in from..until {
            match self.stream.target {
                Target::Udp(_) | Target::Tcp(_) => self.messages.syslog(number, &mut self.batch),
                Target::File(_) => self.messages.line(number, &mut self.batch),
            }
            if !matches!(self.stream.target, Target::Udp(_)) {
                self.batch.push(b'\n');
            }
            self.ends.push(self.batch.len());
        }
    }

    /// Sends the batch; one that breaks off is sent again. Returns whether it was sent.
    fn send(&mut self) -> bool {
        while !self.stop.load(Ordering::Acquire) {
            if matches!(self.outlet, Outlet::Closed) {
                self.outlet = open(&self.stream.target);
            }
            let sent = match &mut self.outlet {
                Outlet::Closed => false,
                Outlet::Udp(socket) => datagrams(socket, &self.batch, &self.ends),
                Outlet::Tcp(stream) => through(stream, &self.batch, &self.stop),
                Outlet::File(file) => file.write_all(&self.batch).is_ok(),
            };
            if sent {
                return true;
            }
            self.outlet = Outlet::Closed;
            thread::sleep(AGAIN);
        }
        false
    }
}

fn open(target: &Target) -> Outlet {
    match target {
        Target::Udp(address) => {
            let socket =
                UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect(address).map(|()| socket));
            socket.map_or(Outlet::Closed, Outlet::Udp)
        }
        Target::Tcp(address) => match TcpStream::connect(address) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                let _ = stream.set_write_timeout(Some(LOOK));
                Outlet::Tcp(stream)
            }
            Err(_) => Outlet::Closed,
        },
        Target::File(path) => {
            OpenOptions::new().create(true).append(true).open(path).map_or(Outlet::Closed, Outlet::File)
        }
    }
}

/// A datagram that nobody takes is lost, as from any device.
fn datagrams(socket: &UdpSocket, batch: &[u8], ends: &[usize]) -> bool {
    let mut begin = 0;
    for end in ends {
        let _ = socket.send(batch.get(begin..*end).unwrap_or_default());
        begin = *end;
    }
    true
}

fn through(stream: &mut TcpStream, batch: &[u8], stop: &AtomicBool) -> bool {
    let mut rest = batch;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(0) => return false,
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop.load(Ordering::Acquire) {
                    return false;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
