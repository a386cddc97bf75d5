//! Reads TCP connections. One at a time reads, parses and waits for the queues: that is the back-pressure, and
//! why all connections do with one set of buffers. A connection of its own holds an unfinished message at most.

use std::io;
use std::net::IpAddr;
use std::net::Shutdown;
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
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::accept::Watch;
use super::handover::Live;
use super::intake;
use super::intake::Intake;
use super::intake::Origin;
use super::look;
use super::pacer::Pace;
use super::pacer::Pacer;
use crate::counters::SourceTally;
use crate::parse::framing::Framer;
use crate::parse::syslog::End;

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;
/// Most bytes of unfinished messages of all connections together, apart from [`SHARE`].
const UNFINISHED: usize = 1024 * 1024;
/// What every connection may hold of an unfinished message, however much the others hold.
const SHARE: usize = 2 * 1024;
/// How long the queues have for the last records when the source stops.
const LAST_DELIVERY: Duration = Duration::from_secs(2);
/// How long a connection that the source ends is read at most after its sender was told, and how long it may be silent
/// then: a sender that looks before it writes has seen the end by that time.
const LAST_READING: Duration = Duration::from_secs(1);
const LAST_SILENCE: Duration = Duration::from_millis(250);

/// What the TCP connections of a source share.
pub(super) struct Streams {
    /// The turn to read. Whoever has it keeps it while the queues are full, so that nobody reads then.
    pub(super) desk: Mutex<Desk>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) crowded: AtomicBool,
    pub(super) tally: SourceTally,
    unfinished: AtomicUsize,
    idle: Duration,
}

pub(super) struct Desk {
    chunk: Vec<u8>,
    pub(super) intake: Intake,
    pacer: Pacer,
    /// Until when queues have time for the last records.
    until: Option<time::Instant>,
}

/// One connection: its unfinished message is accounted for.
pub(super) struct Connection<'a> {
    peer: IpAddr,
    framer: Framer,
    pacer: Pacer,
    held: usize,
    streams: &'a Streams,
    source: &'a Source,
    watch: &'a Watch,
    /// Its sender was told that it ends.
    ending: bool,
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
            tally: intake.tally().clone(),
            desk: Mutex::new(Desk { chunk: Vec::new(), intake, pacer: Pacer::new(Pace::Late), until: None }),
            permits: Arc::new(Semaphore::new(connections)),
            crowded: AtomicBool::new(false),
            unfinished: AtomicUsize::new(0),
            idle,
        }
    }
}

impl<'a> Connection<'a> {
    pub(super) fn new(source: &'a Source, watch: &'a Watch, peer: IpAddr, framer: Framer) -> Self {
        let (pacer, streams) = (Pacer::new(Pace::Late), &source.streams);
        let mut connection = Self { peer, framer, pacer, held: 0, streams, source, watch, ending: false };
        connection.account();
        connection
    }

    /// Reads until the peer ends, is silent for too long, or the source is stopped.
    pub(super) async fn serve(mut self, stream: TcpStream) {
        match self.serve_watched(stream).await {
            Ok(stream) if self.is_left() => {
                let live = Live { stream, peer: self.peer, framer: std::mem::take(&mut self.framer) };
                self.source.context.handover.leave(self.watch.place, |left| left.connections.push(live));
            }
            Ok(stream) => self.end(stream).await,
            Err(_) => self.finish().await,
        }
    }

    /// Returns whether it is for the source that follows now.
    fn is_left(&self) -> bool {
        !self.ending
            && self.watch.closing.is_cancelled()
            && self.source.context.handover.is_expected(self.watch.place)
    }

    /// Tells the sender that this is the end, and takes what it has written before it saw that.
    pub(super) async fn end(mut self, stream: std::net::TcpStream) {
        self.ending = true;
        if let Ok(stream) = TcpStream::from_std(stream) {
            let _ = SockRef::from(&stream).shutdown(Shutdown::Write);
            let ends = time::Instant::now() + LAST_READING;
            while time::Instant::now() < ends {
                match self.read(SockRef::from(&stream)).await.0 {
                    Read::Some { .. } => task::yield_now().await,
                    Read::Nothing => {
                        note_empty(&stream);
                        let silent = ends.min(time::Instant::now() + LAST_SILENCE);
                        if time::timeout_at(silent, stream.readable()).await.is_err() {
                            break;
                        }
                    }
                    Read::End => {
                        // Who has ended, too, has nothing to repeat, and may see an ordinary end.
                        let _ = SockRef::from(&stream).set_linger(None);
                        break;
                    }
                }
            }
        }
        self.finish().await;
    }

    /// Takes the last message, of which the end was not seen.
    async fn finish(&mut self) {
        let mut desk = self.streams.desk.lock().await;
        if let Some(message) = self.framer.end() {
            desk.intake.take(message.bytes, end_of(message.cut), Origin::Peer(self.peer), intake::now());
            self.source.deliver(&mut desk, self.watch.place).await;
        }
    }

    /// Reads when there is news. Records that come fast are read by the clock, see [`super::datagrams`].
    async fn serve_watched(&mut self, mut stream: TcpStream) -> io::Result<std::net::TcpStream> {
        loop {
            let ready = tokio::select! {
                () = self.watch.closing.cancelled() => break,
                ready = time::timeout(self.streams.idle, stream.readable()) => ready,
            };
            if !matches!(ready, Ok(Ok(()))) {
                break;
            }
            match self.read(SockRef::from(&stream)).await {
                (Read::End, _) => break,
                (Read::Some { full: true }, _) => task::yield_now().await,
                (Read::Some { full: false }, Some(linger)) => {
                    let unwatched = stream.into_std()?;
                    self.serve_busy(&unwatched, linger).await;
                    stream = TcpStream::from_std(unwatched)?;
                }
                (Read::Some { full: false } | Read::Nothing, _) => note_empty(&stream),
            }
        }
        stream.into_std()
    }

    async fn serve_busy(&mut self, stream: &std::net::TcpStream, mut linger: Duration) {
        while !self.watch.closing.is_cancelled() {
            time::sleep(linger).await;
            loop {
                match self.read(SockRef::from(stream)).await {
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
    async fn read(&mut self, stream: SockRef<'_>) -> (Read, Option<Duration>) {
        let mut desk = self.streams.desk.lock().await;
        if self.is_left() {
            return (Read::Nothing, None);
        }
        let mut chunk = std::mem::take(&mut desk.chunk);
        chunk.resize(CHUNK, 0);
        // The socket is one that does not wait.
        let count = std::io::Read::read(&mut &*stream, &mut chunk);
        let records = match &count {
            Ok(count) => self.take(chunk.get(..*count).unwrap_or_default(), &mut desk).await,
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
    async fn take(&mut self, mut chunk: &[u8], desk: &mut Desk) -> u64 {
        let others = self.streams.unfinished.load(Ordering::Relaxed).saturating_sub(self.held);
        let room = UNFINISHED.saturating_sub(others).max(SHARE);
        let received = intake::now();
        let mut records = 0;
        while let Some(message) = self.framer.next(&mut chunk, room) {
            records += 1;
            desk.intake.take(message.bytes, end_of(message.cut), Origin::Peer(self.peer), received);
            if desk.intake.is_full() {
                self.source.deliver(desk, self.watch.place).await;
            }
        }
        self.account();
        self.source.deliver(desk, self.watch.place).await;
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
    /// Waits for the queues, and returns whether they have the records; when the source stops, only so long.
    pub(super) async fn deliver(&mut self, stop: &CancellationToken) -> bool {
        let Self { intake, until, .. } = self;
        let last = async {
            stop.cancelled().await;
            time::sleep_until(*until.get_or_insert_with(|| time::Instant::now() + LAST_DELIVERY)).await;
        };
        tokio::select! {
            biased;
            () = intake.deliver() => true,
            () = last => false,
        }
    }
}

/// Waits for news from now on, if there is nothing.
fn note_empty(stream: &TcpStream) {
    let _ = stream.try_io(Interest::READABLE, || look(SockRef::from(stream)));
}

fn end_of(cut: bool) -> End {
    if cut { End::Missing } else { End::Whole }
}
