use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use super::*;
use crate::counters::Counters;
use crate::counters::Loss;
use crate::record::Column;
use crate::record::Record;
use crate::record::frame_at;
use crate::spool::Queue;
use crate::spool::QueueSettings;
use crate::spool::WhenFull;

mod handover;
mod waiting;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running source, and the queue behind it.
struct Rig {
    folder: TempDir,
    queue: Queue,
    tally: crate::counters::SourceTally,
    bound: watch::Receiver<Vec<Bound>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn run(settings: impl FnOnce(&std::path::Path) -> SyslogSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let counters = Counters::new();
        let queue = queue_in(&folder, &counters);
        let (bound, listening) = watch::channel(Vec::new());
        let stop = CancellationToken::new();
        let tally = counters.source("syslog.test");
        let inlet = Inlet::new(vec![queue.clone()], tally.clone());
        let settings = settings(folder.path());
        let task = tokio::spawn(run(settings, context(bound), inlet, stop.clone()));
        Self { folder, queue, tally, bound: listening, stop, task }
    }

    /// Waits until so many sockets are bound.
    async fn bound(&mut self, count: usize) -> Vec<Bound> {
        let all = self.bound.wait_for(|all| all.len() >= count);
        time::timeout(PATIENCE, all).await.expect("sockets are bound").unwrap().clone()
    }

    /// Waits until so many records are in the queue; returns their hosts, addresses, processes and messages.
    async fn rows(&self, count: usize) -> Vec<[String; 4]> {
        time::timeout(PATIENCE, rows(&self.queue, count)).await.expect("records arrive")
    }

    async fn lost(&self, loss: Loss, count: u64) {
        let counted = async {
            while self.tally.losses.count(loss) < count {
                time::sleep(Duration::from_millis(2)).await;
            }
        };
        time::timeout(PATIENCE, counted).await.expect("a loss is counted");
        assert_eq!(self.tally.losses.count(loss), count, "{loss:?}");
    }

    async fn stop(mut self) {
        self.end().await;
    }

    /// Stops the source; its queue stays.
    async fn end(&mut self) {
        self.stop.cancel();
        time::timeout(PATIENCE, &mut self.task).await.expect("the source stops").unwrap();
    }
}

fn queue_in(folder: &TempDir, counters: &Counters) -> Queue {
    queue_with(&folder.path().join("queue"), 64 << 20, counters)
}

fn queue_with(folder: &std::path::Path, cap: u64, counters: &Counters) -> Queue {
    let settings = QueueSettings {
        folder: folder.to_owned(),
        cap,
        when_full: WhenFull::Block,
        sync: Duration::from_secs(1),
        seal_after: Duration::from_millis(10),
        segment: (cap / 8).min(1 << 20),
    };
    let queue = Queue::open(settings, counters.workspace("test")).unwrap();
    let tended = queue.clone();
    tokio::spawn(async move { tended.tend().await });
    queue
}

async fn rows(queue: &Queue, count: usize) -> Vec<[String; 4]> {
    let (mut rows, mut bytes) = (Vec::new(), Vec::new());
    while rows.len() < count {
        queue.seal();
        let segment = queue.next().await;
        segment.load(&mut bytes).await.unwrap();
        let mut rest = bytes.as_slice();
        while let Ok(frame) = frame_at(rest) {
            let record = Record::decode(frame.payload).unwrap();
            let columns = [Column::HostName, Column::HostIp, Column::ProcessName, Column::SyslogMessage];
            rows.push(columns.map(|column| record.text(column).unwrap_or("-").to_owned()));
            rest = &rest[frame.length..];
        }
        queue.remove(&segment);
    }
    assert_eq!(rows.len(), count);
    rows
}

fn context(bound: watch::Sender<Vec<Bound>>) -> Context {
    Context {
        name: "syslog.test".to_owned(),
        computer: "edge7".to_owned(),
        address: "10.0.0.5".to_owned(),
        zone: TimeZone::UTC,
        bound,
        handover: Handover::default(),
    }
}

fn nothing() -> SyslogSettings {
    SyslogSettings {
        udp: Vec::new(),
        tcp: Vec::new(),
        unix: Vec::new(),
        facilities: Vec::new(),
        severity: 7,
        levels: std::collections::BTreeMap::new(),
        connections: 8,
        idle: PATIENCE,
    }
}

fn any_port() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().unwrap()]
}

fn udp_of(bound: &[Bound]) -> SocketAddr {
    bound.iter().find_map(|one| if let Bound::Udp(at) = one { Some(*at) } else { None }).unwrap()
}

fn tcp_of(bound: &[Bound]) -> SocketAddr {
    bound.iter().find_map(|one| if let Bound::Tcp(at) = one { Some(*at) } else { None }).unwrap()
}

fn messages(rows: &[[String; 4]]) -> Vec<&str> {
    rows.iter().map(|row| row[3].as_str()).collect()
}

#[tokio::test]
async fn messages_come_by_udp_tcp_and_unix_sockets_and_have_a_host_and_an_address() {
    let mut rig = Rig::run(|folder| SyslogSettings {
        udp: any_port(),
        tcp: any_port(),
        unix: vec![folder.join("log")],
        ..nothing()
    });
    let bound = rig.bound(3).await;
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"<13>Nov 22 17:50:04 web3 app: by udp", udp_of(&bound)).unwrap();
    let row = |parts: [&str; 4]| parts.map(str::to_owned);
    assert_eq!(rig.rows(1).await, [row(["web3", "10.0.0.5", "app", "by udp"])]);
    let unix = UnixDatagram::unbound().unwrap();
    unix.send_to(b"<13>Nov 22 17:50:04 cron[1]: by unix", rig.folder.path().join("log")).unwrap();
    assert_eq!(rig.rows(1).await, [row(["edge7", "10.0.0.5", "cron", "by unix"])]);
    let mut tcp = TcpStream::connect(tcp_of(&bound)).unwrap();
    tcp.write_all(b"<13>a: line\n19 <13>1 - - b - - - x\n<13>c: at the end").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let rows = rig.rows(3).await;
    assert_eq!(messages(&rows), ["line", "x", "at the end"]);
    assert_eq!(rig.tally.collected.get(), 5);
    rig.stop().await;
}

#[tokio::test]
async fn a_datagram_of_any_size_is_taken_and_one_beyond_64_kib_is_cut_and_counted() {
    let mut rig =
        Rig::run(|folder| SyslogSettings { udp: any_port(), unix: vec![folder.join("log")], ..nothing() });
    let bound = rig.bound(2).await;
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let longest = format!("<13>a: {}", "x".repeat(65_507 - 7));
    for _ in 0..10 {
        udp.send_to(longest.as_bytes(), udp_of(&bound)).unwrap();
    }
    let rows = rig.rows(10).await;
    assert!(rows.iter().all(|row| row[3].len() == 65_500));
    let unix = UnixDatagram::unbound().unwrap();
    unix.send_to(&[b"<13>a: ".as_slice(), &[b'x'; 100_000]].concat(), rig.folder.path().join("log")).unwrap();
    assert!(rig.rows(1).await[0][3].ends_with("x…[cut by agent-lite]"));
    rig.lost(Loss::Cut, 1).await;
    rig.stop().await;
}

#[tokio::test]
async fn ten_thousand_messages_by_udp_and_tcp_arrive_each_once_and_in_order() {
    let mut rig = Rig::run(|_| SyslogSettings { udp: any_port(), tcp: any_port(), ..nothing() });
    let bound = rig.bound(2).await;
    let (udp_to, tcp_to) = (udp_of(&bound), tcp_of(&bound));
    let by_udp = tokio::task::spawn_blocking(move || {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..5_000 {
            udp.send_to(format!("<13>udp: {number}").as_bytes(), udp_to).unwrap();
        }
    });
    let by_tcp = tokio::task::spawn_blocking(move || {
        let mut tcp = TcpStream::connect(tcp_to).unwrap();
        for number in 0..5_000 {
            tcp.write_all(format!("<13>tcp: {number}\n").as_bytes()).unwrap();
        }
    });
    let rows = rig.rows(10_000).await;
    by_udp.await.unwrap();
    by_tcp.await.unwrap();
    for process in ["udp", "tcp"] {
        let came = rows.iter().filter(|row| row[2] == process).map(|row| row[3].parse::<usize>().unwrap());
        assert!(came.eq(0..5_000), "{process}");
    }
    assert_eq!(rig.tally.losses.count(Loss::Overflowed), 0);
    rig.stop().await;
}

#[tokio::test]
async fn what_the_kernel_dropped_is_counted_exactly_also_behind_the_last_message() {
    let (folder, counters) = (tempfile::tempdir().unwrap(), Counters::new());
    let queue = queue_in(&folder, &counters);
    let tally = counters.source("syslog.test");
    let inlet = Inlet::new(vec![queue.clone()], tally.clone());
    let filter = Filter::new(&[], 7).unwrap();
    let datagrams = Datagrams::new(Intake::new(&context(watch::channel(Vec::new()).0), filter, inlet));
    let (socket, _) = bind::udp(any_port()[0], Stacks::Both, 4096).unwrap();
    let to = socket.local_addr().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..500 {
        sender.send_to(b"<13>a: b", to).unwrap();
    }
    let stop = CancellationToken::new();
    stop.cancel();
    datagrams.serve_udp(socket, &stop).await.unwrap();
    let lost = tally.losses.count(Loss::Overflowed);
    assert!(lost > 0);
    assert_eq!(tally.collected.get() + lost, 500);
}

#[tokio::test]
async fn a_socket_that_cannot_be_bound_stops_no_other_and_is_bound_when_it_can_be() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut rig = Rig::run(|_| SyslogSettings { udp: vec![address], tcp: any_port(), ..nothing() });
    assert!(matches!(rig.bound(1).await.as_slice(), [Bound::Tcp(_)]));
    drop(taken);
    assert_eq!(udp_of(&rig.bound(2).await), address);
    rig.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_counted_and_silent_ones_closed() {
    let idle = Duration::from_millis(100);
    let mut rig = Rig::run(|_| SyslogSettings { tcp: any_port(), connections: 1, idle, ..nothing() });
    let to = tcp_of(&rig.bound(1).await);
    let mut first = TcpStream::connect(to).unwrap();
    first.write_all(b"<13>a: not ended").unwrap();
    let mut second = TcpStream::connect(to).unwrap();
    rig.lost(Loss::Connections, 1).await;
    for silent in [&mut second, &mut first] {
        silent.set_nonblocking(true).unwrap();
        let mut silent = tokio::net::TcpStream::from_std(silent.try_clone().unwrap()).unwrap();
        let ended = time::timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut silent, &mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))));
    }
    assert_eq!(messages(&rig.rows(1).await), ["not ended"]);
    rig.stop().await;
}

#[tokio::test]
async fn unfinished_messages_of_many_connections_are_bounded_and_cut_ones_counted() {
    let mut rig = Rig::run(|_| SyslogSettings { tcp: any_port(), connections: 40, ..nothing() });
    let to = tcp_of(&rig.bound(1).await);
    let long = [b"<13>a: ".as_slice(), &[b'x'; 64 * 1024 - 7]].concat();
    let mut peers: Vec<_> = (0..40).map(|_| TcpStream::connect(to).unwrap()).collect();
    for peer in &mut peers {
        peer.set_nonblocking(true).unwrap();
        let mut peer = tokio::net::TcpStream::from_std(peer.try_clone().unwrap()).unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut peer, &long).await.unwrap();
    }
    // Sixteen fill the common room; the others have what each may have, and lose the rest of their message.
    let rows = rig.rows(24).await;
    assert!(rows.iter().all(|row| row[3].ends_with("x…[cut by agent-lite]")));
    rig.lost(Loss::Cut, 24).await;
    drop(peers);
    let rows = rig.rows(16).await;
    assert!(rows.iter().all(|row| row[3].len() == 64 * 1024 - 7));
    rig.stop().await;
}

#[tokio::test]
async fn what_is_there_when_the_source_stops_is_taken() {
    let mut rig = Rig::run(|_| SyslogSettings { udp: any_port(), tcp: any_port(), ..nothing() });
    let bound = rig.bound(2).await;
    let mut tcp = TcpStream::connect(tcp_of(&bound)).unwrap();
    tcp.write_all(b"<13>a: first\n").unwrap();
    rig.rows(1).await;
    // Until both tasks wait for their sockets again; what comes from now on is seen when the source stops.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"<13>a: by udp", udp_of(&bound)).unwrap();
    tcp.write_all(b"<13>a: by tcp\n<13>a: half").unwrap();
    rig.end().await;
    let rows = rig.rows(3).await;
    let mut rows = messages(&rows);
    rows.sort();
    assert_eq!(rows, ["by tcp", "by udp", "half"]);
    // The end is seen by who looks; who does not look is told by a reset.
    assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
    assert_eq!(tcp.write(b"<13>a: too late").expect_err("a reset").kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_sender_that_ends_first_sees_an_ordinary_end() {
    let mut rig = Rig::run(|_| SyslogSettings { tcp: any_port(), ..nothing() });
    let mut tcp = TcpStream::connect(tcp_of(&rig.bound(1).await)).unwrap();
    tcp.write_all(b"<13>a: first\n<13>a: last").unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(messages(&rig.rows(2).await), ["first", "last"]);
    let ended = tokio::task::spawn_blocking(move || tcp.read(&mut [0]));
    assert_eq!(time::timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap(), 0);
    rig.stop().await;
}

#[test]
fn a_socket_nobody_listens_at_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(UnixDatagram::bind(&path).unwrap());
    let first = bind::local::unix(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o666);
    assert!(bind::local::unix(&path).is_err_and(|error| error.to_string().contains("listens")));
    drop(first);
    assert!(!path.exists());
    std::fs::write(&path, "kept").unwrap();
    assert!(bind::local::unix(&path).is_err_and(|error| error.to_string().contains("no socket")));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}

#[test]
fn a_failure_names_the_setting_to_change() {
    let refused = |address: Address, kind| BindError::new(&address, std::io::Error::from(kind)).to_string();
    let udp = Address::Udp("0.0.0.0:514".parse().unwrap(), Stacks::Both);
    let said = refused(udp.clone(), std::io::ErrorKind::PermissionDenied);
    assert!(said.starts_with("udp 0.0.0.0:514: ") && said.contains("CAP_NET_BIND_SERVICE"), "{said}");
    assert!(refused(udp, std::io::ErrorKind::AddrInUse).contains("change `udp`"));
    let unix = Address::Unix("/no/log".into());
    assert!(refused(unix, std::io::ErrorKind::NotFound).contains("make its folder, or change `unix`"));
}
