//! What comes after a socket was read and before it is waited for.

use super::*;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;
use crate::spool::AppendError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_while_the_queue_has_no_room_is_read_when_there_is() {
    let mut rig = Rig::run(|_| nothing());
    rig.end().await;
    rig.queue = queue_with(&rig.folder.path().join("small"), 256 << 10, &Counters::new());
    let mut filler = Frames::default();
    filler.begin(Timestamp(1)).text(Column::RawData, "x").finish();
    while !matches!(rig.queue.append(&Table::Perf, &filler), Err(AppendError::Full)) {}
    rig.start(&Handover::default(), SyslogSettings { tcp: any_port(), ..nothing() });
    let mut tcp = TcpStream::connect(tcp_of(&rig.bound(1).await)).unwrap();
    tcp.write_all(b"<13>a: first\n").unwrap();
    let taken = async {
        while rig.tally.collected.get() < 1 {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(PATIENCE, taken).await.expect("the first is read");
    tcp.write_all(b"<13>a: second\n").unwrap();
    // The runtime hears of it while the source waits for room.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    loop {
        rig.queue.seal();
        let segment = time::timeout(PATIENCE, rig.queue.next()).await.expect("a segment");
        if *segment.table() == Table::Syslog {
            break;
        }
        rig.queue.remove(&segment);
    }
    assert_eq!(messages(&rig.rows(2).await), ["first", "second"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_datagram_that_comes_after_the_last_read_is_not_forgotten() {
    let (to, from) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (local, near) = UnixDatagram::pair().unwrap();
    to.set_nonblocking(true).unwrap();
    local.set_nonblocking(true).unwrap();
    from.send_to(b"x", to.local_addr().unwrap()).unwrap();
    near.send(b"x").unwrap();
    let udp = datagrams::Watch::Udp(tokio::net::UdpSocket::from_std(to).unwrap());
    let unix = datagrams::Watch::Unix(tokio::net::UnixDatagram::from_std(local).unwrap());
    for watch in [udp, unix] {
        time::timeout(PATIENCE, watch.readable()).await.expect("it comes").unwrap();
        watch.note_empty();
        time::timeout(PATIENCE, watch.readable()).await.expect("it is still there").unwrap();
    }
}
