use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;

/// How often a source is changed or ended.
const ROUNDS: usize = 40;

impl Rig {
    /// Ends the source and starts one with other settings, as a reload does.
    async fn follow(&mut self, handover: &Handover, settings: SyslogSettings) {
        handover.expect(std::iter::once(&settings));
        self.end().await;
        self.start(handover, settings);
        self.bound(1).await;
    }

    pub(super) fn start(&mut self, handover: &Handover, settings: SyslogSettings) {
        let (bound, listening) = watch::channel(Vec::new());
        let inlet = Inlet::new(vec![self.queue.clone()], self.tally.clone());
        (self.stop, self.bound) = (CancellationToken::new(), listening);
        let context = Context { handover: handover.clone(), ..context(bound) };
        self.task = tokio::spawn(run(settings, context, inlet, self.stop.clone()));
    }
}

/// Begins with a source at a port that stays the same.
async fn begin(handover: &Handover) -> (Rig, SyslogSettings) {
    let mut rig = Rig::run(|_| SyslogSettings { tcp: any_port(), ..nothing() });
    let settings = SyslogSettings { tcp: vec![tcp_of(&rig.bound(1).await)], ..nothing() };
    rig.end().await;
    rig.start(handover, settings.clone());
    rig.bound(1).await;
    (rig, settings)
}

/// A sender that looks whether the other side has ended before it writes, as rsyslog and syslog-ng do.
struct Sender {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<usize>,
}

impl Sender {
    /// Writes until it is stopped; its thread returns how often it connected.
    fn start(to: SocketAddr) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            let mut connected = 0;
            while !until.load(Ordering::Acquire) {
                let Ok(mut stream) = TcpStream::connect(to) else { continue };
                connected += 1;
                let mut ended = false;
                while !ended && !until.load(Ordering::Acquire) {
                    stream.set_nonblocking(true).unwrap();
                    let seen = stream.read(&mut [0]);
                    stream.set_nonblocking(false).unwrap();
                    ended = !seen.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
                    let line = format!("<13>a: {}\n", count.load(Ordering::Acquire));
                    if !ended {
                        ended = stream.write_all(line.as_bytes()).is_err();
                        count.fetch_add(usize::from(!ended), Ordering::AcqRel);
                        std::thread::sleep(Duration::from_micros(20));
                    }
                }
            }
            connected
        });
        Self { stop, written, thread }
    }

    /// Waits until so many more were written.
    async fn writes(&self, more: usize) {
        let from = self.written.load(Ordering::Acquire);
        let writes = async {
            while self.written.load(Ordering::Acquire) < from + more {
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        time::timeout(PATIENCE, writes).await.expect("the sender gets on");
    }

    /// Returns how many were written and how often it connected.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Release);
        let connected = tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
        (self.written.load(Ordering::Acquire), connected)
    }
}

async fn expect_all(rig: &Rig, written: usize) {
    let rows = time::timeout(PATIENCE, rows(&rig.queue, written)).await;
    let rows = rows.unwrap_or_else(|_| panic!("not all of {written} came: {}", rig.tally.collected.get()));
    let numbers = messages(&rows).into_iter().map(|text| text.parse::<usize>().unwrap());
    assert!(numbers.eq(0..written));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_changes_a_tcp_source_loses_no_record_and_ends_no_connection() {
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    let sender = Sender::start(settings.tcp[0]);
    for round in 0..ROUNDS {
        sender.writes(5).await;
        let idle = PATIENCE + Duration::from_secs(round as u64);
        rig.follow(&handover, SyslogSettings { idle, ..settings.clone() }).await;
    }
    let (written, connected) = sender.end().await;
    expect_all(&rig, written).await;
    assert_eq!(connected, 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_source_that_ends_loses_no_record_that_was_sent_before_the_sender_saw_the_end() {
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    let sender = Sender::start(settings.tcp[0]);
    for _ in 0..ROUNDS {
        sender.writes(5).await;
        rig.end().await;
        rig.start(&handover, settings.clone());
        rig.bound(1).await;
    }
    sender.writes(1).await;
    let (written, connected) = sender.end().await;
    expect_all(&rig, written).await;
    assert_eq!(connected, ROUNDS + 1);
    rig.stop().await;
}

#[tokio::test]
async fn half_a_record_and_who_waits_to_be_accepted_are_left_to_the_source_that_follows() {
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    let mut tcp = TcpStream::connect(settings.tcp[0]).unwrap();
    tcp.write_all(b"<13>a: whole\n<13>a: ha").unwrap();
    rig.rows(1).await;
    handover.expect(std::iter::once(&settings));
    rig.end().await;
    let mut waits = TcpStream::connect(settings.tcp[0]).expect("the listener is still there");
    waits.write_all(b"<13>a: waits\n").unwrap();
    tcp.write_all(b"lf\n").unwrap();
    rig.start(&handover, SyslogSettings { connections: 2, ..settings });
    let rows = rig.rows(2).await;
    let mut rows = messages(&rows);
    rows.sort();
    assert_eq!(rows, ["half", "waits"]);
    handover.expect(std::iter::empty());
    rig.stop().await;
}

#[tokio::test]
async fn connections_beyond_fewer_allowed_ones_end_after_what_they_have_sent() {
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    let mut peers: Vec<_> = (0..3).map(|_| TcpStream::connect(settings.tcp[0]).unwrap()).collect();
    peers.iter_mut().for_each(|peer| peer.write_all(b"<13>a: first\n").unwrap());
    rig.rows(3).await;
    handover.expect(std::iter::once(&settings));
    rig.end().await;
    peers.iter_mut().for_each(|peer| peer.write_all(b"<13>a: second\n").unwrap());
    rig.start(&handover, SyslogSettings { connections: 1, ..settings });
    assert_eq!(messages(&rig.rows(3).await), ["second"; 3]);
    handover.expect(std::iter::empty());
    rig.stop().await;
}

#[tokio::test]
async fn what_is_left_goes_where_nobody_follows() {
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    handover.expect(std::iter::once(&settings));
    rig.end().await;
    TcpStream::connect(settings.tcp[0]).expect("the listener is still there");
    handover.expect(std::iter::empty());
    TcpStream::connect(settings.tcp[0]).expect_err("nobody listens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_has_not_taken_is_left_to_the_source_that_follows() {
    let (cap, count) = (256 << 10, 1_500);
    let handover = Handover::default();
    let (mut rig, settings) = begin(&handover).await;
    rig.end().await;
    rig.queue = queue_with(&rig.folder.path().join("small"), cap, &Counters::new());
    rig.start(&handover, settings.clone());
    let to = tcp_of(&rig.bound(1).await);
    let sender = tokio::task::spawn_blocking(move || {
        let mut tcp = TcpStream::connect(to).unwrap();
        (0..count).for_each(|number| tcp.write_all(format!("<13>a: {number:01000}\n").as_bytes()).unwrap());
    });
    let full = async {
        let (mut before, mut still) = (0, 0);
        while rig.queue.state().bytes < cap / 2 || still < 50 {
            time::sleep(Duration::from_millis(2)).await;
            let now = rig.tally.collected.get();
            still = if now == std::mem::replace(&mut before, now) { still + 1 } else { 0 };
        }
    };
    time::timeout(PATIENCE, full).await.expect("the queue fills");
    rig.follow(&handover, settings).await;
    expect_all(&rig, count).await;
    assert_eq!(rig.tally.losses.count(Loss::Refused), 0);
    sender.await.unwrap();
    rig.stop().await;
}
