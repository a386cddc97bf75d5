//! Reads TCP connections. One at a time reads, parses and waits for the queues: that is the back-pressure, and
//! why all connections do with one set of buffers. A connection of its own holds an unfinished message at most.

use std::io;
use std::net::IpAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::Semaphore;
use tokio::task;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::bind;
use super::intake;
use super::intake::Intake;
use super::intake::Origin;
use super::pacer::Pace;
use super::pacer::Pacer;
use crate::counters::Loss;
use crate::events::Event;
use crate::events::say;
use crate::parse::framing::Framer;
use crate::parse::syslog::End;

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;
/// Most bytes of unfinished messages of all connections together, apart from [`SHARE`].
const UNFINISHED: usize = 1024 * 1024;
/// What every connection may hold of an unfinished message, however much the others hold.
const SHARE: usize = 2 * 1024;
/// How long to wait after a connection could not be accepted (too many open files).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// How long the queues have for the last records when the source stops.
const LAST_DELIVERY: Duration = Duration::from_secs(2);
/// Reads of a connection when the source stops.
const LAST_READS: usize = 16;

/// What the TCP connections of a source share.
pub(super) struct Streams {
    /// The turn to read. Whoever has it keeps it while the queues are full, so that nobody reads then.
    desk: Mutex<Desk>,
    permits: Arc<Semaphore>,
    crowded: AtomicBool,
    unfinished: AtomicUsize,
    idle: Duration,
}

struct Desk {
    chunk: Vec<u8>,
    intake: Intake,
    pacer: Pacer,
}

/// One connection: its unfinished message is accounted for.
struct Connection<'a> {
    peer: IpAddr,
    framer: Framer,
    pacer: Pacer,
    held: usize,
    streams: &'a Streams,
}

enum Read {
    /// There was something; more may be there.
    Some { full: bool },
    /// There was nothing yet.
    Nothing,
    /// The peer has ended.
    End,
}

impl Streams {
    pub(super) fn new(intake: Intake, connections: usize, idle: Duration) -> Self {
        Self {
            desk: Mutex::new(Desk { chunk: Vec::new(), intake, pacer: Pacer::new(Pace::Late) }),
            permits: Arc::new(Semaphore::new(connections)),
            crowded: AtomicBool::new(false),
            unfinished: AtomicUsize::new(0),
            idle,
        }
    }
}

impl Source {
    /// Accepts connections until the source is stopped, then waits for them.
    pub(super) async fn serve_tcp(self: &Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    self.admit(stream, peer.ip().to_canonical(), &mut connections).await;
                }
                Err(failed) => {
                    if !std::mem::replace(&mut failing, true) {
                        let detail = format_args!("a connection could not be accepted: {failed}");
                        say(Event::SourceTrouble, &self.context.name, detail);
                    }
                    time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    async fn admit(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, connections: &mut JoinSet<()>) {
        // However the agent ends, killed, too, its sender learns it at once: by a reset, so that its next write fails.
        // After an ordinary end that write would succeed, and its messages be lost.
        let _ = stream.set_zero_linger();
        let lifted = stream.into_std().map(|stream| bind::local::lift(stream, bind::local::CONNECTIONS));
        let Ok(stream) = lifted.and_then(TcpStream::from_std) else { return };
        let Ok(permit) = Arc::clone(&self.streams.permits).try_acquire_owned() else {
            self.streams.desk.lock().await.intake.lose(Loss::Connections, 1);
            if !self.streams.crowded.swap(true, Ordering::Relaxed) {
                let detail = format_args!("{peer} was refused: raise `connections`");
                say(Event::SourceTrouble, &self.context.name, detail);
            }
            return;
        };
        self.streams.crowded.store(false, Ordering::Relaxed);
        let source = Arc::clone(self);
        connections.spawn(async move {
            let _permit = permit;
            let (framer, pacer, streams) = (Framer::default(), Pacer::new(Pace::Late), &source.streams);
            Connection { peer, framer, pacer, held: 0, streams }.serve(stream, &source.stop).await;
        });
    }
}

impl Connection<'_> {
    /// Reads until the peer ends, is silent for too long, or the source is stopped; then what is left.
    async fn serve(mut self, stream: TcpStream, stop: &CancellationToken) {
        if let Ok(stream) = self.serve_watched(stream, stop).await {
            let mut last = Read::Some { full: true };
            for _ in 0..LAST_READS {
                last = self.read(SockRef::from(&stream), stop).await.0;
                if !matches!(last, Read::Some { full: true }) {
                    break;
                }
            }
            if matches!(last, Read::End) {
                // Who has ended first has nothing to repeat, and may wait for an ordinary end.
                let _ = SockRef::from(&stream).set_linger(None);
            }
        }
        let mut desk = self.streams.desk.lock().await;
        if let Some(message) = self.framer.end() {
            desk.intake.take(message.bytes, end_of(message.cut), Origin::Peer(self.peer), intake::now());
            desk.deliver(stop).await;
        }
    }

    /// Reads when there is news. Records that come fast are read by the clock, see [`super::datagrams`].
    async fn serve_watched(
        &mut self,
        mut stream: TcpStream,
        stop: &CancellationToken,
    ) -> io::Result<std::net::TcpStream> {
        loop {
            let ready = tokio::select! {
                () = stop.cancelled() => break,
                ready = time::timeout(self.streams.idle, stream.readable()) => ready,
            };
            if !matches!(ready, Ok(Ok(()))) {
                break;
            }
            match self.read(SockRef::from(&stream), stop).await {
                (Read::End, _) => break,
                (Read::Some { full: true }, _) => task::yield_now().await,
                (Read::Some { full: false }, Some(linger)) => {
                    let unwatched = stream.into_std()?;
                    self.serve_busy(&unwatched, linger, stop).await;
                    stream = TcpStream::from_std(unwatched)?;
                }
                (Read::Some { full: false } | Read::Nothing, _) => {
                    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _ = stream.try_io(Interest::READABLE, nothing);
                }
            }
        }
        stream.into_std()
    }

    async fn serve_busy(
        &mut self,
        stream: &std::net::TcpStream,
        mut linger: Duration,
        stop: &CancellationToken,
    ) {
        while !stop.is_cancelled() {
            time::sleep(linger).await;
            loop {
                match self.read(SockRef::from(stream), stop).await {
                    (Read::Some { full: true }, _) => task::yield_now().await,
                    (Read::Some { full: false } | Read::Nothing, Some(again)) => {
                        linger = again;
                        break;
                    }
                    // The watch notices the end, too.
                    (Read::Some { full: false } | Read::Nothing, None) | (Read::End, _) => return,
                }
            }
        }
    }

    /// Reads once, and waits until the queues have what was read.
    async fn read(&mut self, stream: SockRef<'_>, stop: &CancellationToken) -> (Read, Option<Duration>) {
        let mut desk = self.streams.desk.lock().await;
        let mut chunk = std::mem::take(&mut desk.chunk);
        chunk.resize(CHUNK, 0);
        // The socket is one that does not wait.
        let count = std::io::Read::read(&mut &*stream, &mut chunk);
        let records = match &count {
            Ok(count) => self.take(chunk.get(..*count).unwrap_or_default(), &mut desk, stop).await,
            Err(_) => 0,
        };
        desk.chunk = chunk;
        let now = Instant::now();
        desk.pacer.read(now, records);
        if desk.pacer.cooled(now) {
            desk.intake.shrink();
        }
        let read = match count {
            Ok(0) => Read::End,
            Ok(count) => Read::Some { full: count == CHUNK },
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Read::Nothing
            }
            Err(_) => Read::End,
        };
        (read, self.pacer.read(now, records))
    }

    /// Takes the messages out of a chunk, and waits until the queues have them; returns how many there were.
    async fn take(&mut self, mut chunk: &[u8], desk: &mut Desk, stop: &CancellationToken) -> u64 {
        let others = self.streams.unfinished.load(Ordering::Relaxed).saturating_sub(self.held);
        let room = UNFINISHED.saturating_sub(others).max(SHARE);
        let received = intake::now();
        let mut records = 0;
        while let Some(message) = self.framer.next(&mut chunk, room) {
            records += 1;
            desk.intake.take(message.bytes, end_of(message.cut), Origin::Peer(self.peer), received);
            if desk.intake.is_full() {
                desk.deliver(stop).await;
            }
        }
        self.account();
        desk.deliver(stop).await;
        records
    }

    fn account(&mut self) {
        let held = self.framer.held();
        self.streams.unfinished.fetch_add(held, Ordering::Relaxed);
        self.streams.unfinished.fetch_sub(std::mem::replace(&mut self.held, held), Ordering::Relaxed);
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.streams.unfinished.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl Desk {
    /// Waits for the queues; when the source stops, only so long.
    async fn deliver(&mut self, stop: &CancellationToken) {
        let last = async {
            stop.cancelled().await;
            time::sleep(LAST_DELIVERY).await;
        };
        let delivered = tokio::select! {
            biased;
            () = self.intake.deliver() => true,
            () = last => false,
        };
        if !delivered {
            self.intake.give_up();
        }
    }
}

fn end_of(cut: bool) -> End {
    if cut { End::Missing } else { End::Whole }
}
