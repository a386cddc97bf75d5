//! Streams of every kind: pipes of a few bytes with a paused clock, scripted streams, real sockets.

mod idle;
mod scripted;

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufStream;
use tokio::io::DuplexStream;
use tokio::io::duplex;
use tokio::io::split;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::yield_now;
use tokio::time::Instant;

use self::scripted::Did;
use self::scripted::Scripted;
use self::scripted::poll_times;
use super::super::carry::Bounds;
use super::super::carry::HALF_CLOSED;
use super::super::carry::to_the_end;
use super::super::idle::IdleWatch;
use super::super::idle::TICK;
use super::*;
use crate::ending::Ending;

const IDLE: Duration = Duration::from_secs(60);
const BOUNDS: Bounds = Bounds { idle: IDLE, upload_cap: None };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_byte_arrives_in_order_both_ways_through_pipes_of_any_size(
        pipes in (1..9_usize, 1..9_usize),
        up in prop::collection::vec(any::<u8>(), 0..600),
        down in prop::collection::vec(any::<u8>(), 0..600),
        pieces in prop::collection::vec(1..40_usize, 1..6),
    ) {
        paused(exchange(pipes, &up, &down, &pieces));
    }
}

#[test]
fn every_byte_arrives_in_order_when_it_is_more_than_the_scratch_holds() {
    let (up, down) = (bytes(1, 5 * SCRATCH + 13), bytes(2, 3 * SCRATCH - 1));
    for pipes in [(1000, 1000), (SCRATCH, 7), (7, SCRATCH), (3 * SCRATCH, SCRATCH + 1)] {
        paused(exchange(pipes, &up, &down, &[SCRATCH + 1, 999, 1]));
    }
}

#[tokio::test]
async fn every_byte_arrives_in_order_both_ways_over_sockets() {
    let (up, down) = (bytes(3, 3_000_001), bytes(4, 2_000_003));
    let ((client_far, client), (origin, origin_far)) = (socket_pair().await, socket_pair().await);
    let tunnel = carry(client, origin);
    let ((), (), ending) = tokio::join!(
        talk(client_far, &up, &down, &[100_000, 1, 4096]),
        talk(origin_far, &down, &up, &[70_001, 3]),
        tunnel
    );
    let expected = Traffic { up: up.len() as u64, down: down.len() as u64 };
    assert_eq!(ending.unwrap(), (Ending::Finished, expected));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_has_finished_sending_still_gets_what_the_other_sends() {
    for client_is_first in [true, false] {
        let (mut client_far, mut origin_far, tunnel) = pipes(3);
        let (first, second) = match client_is_first {
            true => (&mut client_far, &mut origin_far),
            false => (&mut origin_far, &mut client_far),
        };
        let (asked, answered) = (bytes(5, 100), bytes(6, 500));
        let asking = async {
            first.write_all(&asked).await.unwrap();
            first.shutdown().await.unwrap();
            let mut found = Vec::new();
            first.read_to_end(&mut found).await.unwrap();
            found
        };
        let answering = async {
            let mut found = Vec::new();
            second.read_to_end(&mut found).await.unwrap();
            // Only now: the end of the question is known, and the answer is not even begun.
            second.write_all(&answered).await.unwrap();
            second.shutdown().await.unwrap();
            found
        };
        let (answer, question) = tokio::join!(asking, answering);
        assert!(question == asked && answer == answered, "client first: {client_is_first}");
        let traffic = if client_is_first { (100, 500) } else { (500, 100) };
        assert_eq!(tunnel.await.unwrap(), (Ending::Finished, Traffic { up: traffic.0, down: traffic.1 }));
    }
}

#[tokio::test]
async fn half_a_close_travels_over_sockets_too_while_the_other_half_goes_on() {
    let ((mut client_far, client), (origin, mut origin_far)) = (socket_pair().await, socket_pair().await);
    let tunnel = carry(client, origin);
    origin_far.shutdown().await.unwrap();
    assert_eq!(client_far.read(&mut [0; 8]).await.unwrap(), 0, "the end of stream");
    client_far.write_all(b"more").await.unwrap();
    let mut found = [0; 4];
    origin_far.read_exact(&mut found).await.unwrap();
    assert_eq!(&found, b"more");
    client_far.shutdown().await.unwrap();
    assert_eq!(tunnel.await.unwrap(), (Ending::Finished, Traffic { up: 4, down: 0 }));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_passed_on_only_after_everything_before_it() {
    for (room, shut) in [(0, false), (99, false), (100, true), (200, true)] {
        let mut client = Scripted::sends(&[b'x'; 100]).then_ends();
        let mut origin = Scripted::with_room(room);
        let mut traffic = Traffic::default();
        poll_times(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()), 5);
        assert_eq!(origin.did.contains(&Did::Shut), shut, "room for {room}: {:?}", origin.did);
        assert_eq!(traffic.up, room.min(100) as u64);
        if shut {
            assert_eq!(origin.did.last(), Some(&Did::Shut), "{:?}", origin.did);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_read_while_the_receiver_is_full_and_at_most_the_scratch_is_kept() {
    for room in [0, 1, SCRATCH - 1, SCRATCH, SCRATCH + 1, 5 * SCRATCH + 7] {
        let mut client = Scripted::endless();
        let mut origin = Scripted::with_room(room);
        let mut traffic = Traffic::default();
        poll_times(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()), 20);
        let kept = client.given - room;
        assert_eq!(traffic.up, room as u64);
        assert!((1..=SCRATCH).contains(&kept), "room for {room}, {} read", client.given);
        let reads = client.did.iter().filter(|did| matches!(did, Did::Gave(_))).count();
        assert_eq!(reads, room / SCRATCH + 1, "room for {room}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_owns_a_buffer_only_while_its_receiver_is_slower() {
    let mut direction = Direction::new(None);
    let mut client = Scripted::sends(&[b'x'; 100]);
    let mut origin = Scripted::with_room(10);
    let (mut count, mut cx) = (0, Context::from_waker(std::task::Waker::noop()));
    assert!(direction.poll(&mut cx, &mut client, &mut origin, &mut count).is_pending());
    assert_eq!((direction.kept.len(), count), (90, 10));
    origin.room = 1000;
    assert!(direction.poll(&mut cx, &mut client, &mut origin, &mut count).is_pending());
    assert_eq!((direction.kept.capacity(), count), (0, 100));
}

#[tokio::test(start_paused = true)]
async fn an_endless_sender_gives_the_other_direction_its_turn_and_goes_on_afterwards() {
    let mut client = Scripted::endless();
    let mut origin = Scripted::sends(b"answer").and_room(usize::MAX);
    client.room = usize::MAX;
    let mut traffic = Traffic::default();
    poll_times(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()), 1);
    assert_eq!(traffic, Traffic { up: (MOST_MOVES * SCRATCH) as u64, down: 6 });

    let much = 5 * MOST_MOVES * SCRATCH;
    let mut client = Scripted::sends(&vec![0; much]).then_ends().and_room(usize::MAX);
    let mut origin = Scripted::default().then_ends().and_room(usize::MAX);
    let mut traffic = Traffic::default();
    let began = Instant::now();
    let ending = copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()).await;
    assert_eq!((ending, traffic.up), (Ending::Finished, much as u64));
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing but the clock woke it");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_holds_bytes_back_until_it_is_flushed_is_flushed() {
    let ((mut client_far, client), (origin, mut origin_far)) = (duplex(64), duplex(64));
    let tunnel = carry(BufStream::new(client), BufStream::new(origin));
    let mut found = [0; 3];
    for round in [b"one", b"two"] {
        client_far.write_all(round).await.unwrap();
        origin_far.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, round);
        origin_far.write_all(round).await.unwrap();
        client_far.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, round);
    }
    assert!(!tunnel.is_finished(), "it idled, so a flush was missing");
    drop((client_far, origin_far));
    assert_eq!(tunnel.await.unwrap(), (Ending::Finished, Traffic { up: 6, down: 6 }));
}

#[tokio::test(start_paused = true)]
async fn a_flush_comes_once_there_is_nothing_to_add_and_is_asked_again_until_it_is_done() {
    let mut client = Scripted::sends(&vec![0; 3 * SCRATCH]);
    let mut origin = Scripted::with_room(usize::MAX).slow_to_flush(2);
    let mut traffic = Traffic::default();
    poll_times(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()), 6);
    let wrote = [Did::Took(SCRATCH), Did::Took(SCRATCH), Did::Took(SCRATCH)];
    let flushed = [Did::NotYetFlushed, Did::NotYetFlushed, Did::Flushed];
    assert_eq!(origin.did, [wrote, flushed].concat());
}

#[tokio::test(start_paused = true)]
async fn the_side_that_broke_is_named_however_it_breaks_and_what_it_took_is_counted() {
    let reset = io::ErrorKind::ConnectionReset;
    type Breaks = fn(Scripted, io::ErrorKind) -> Scripted;
    let ways: [(&str, Breaks); 4] = [
        ("reading", |side, kind| side.then_breaks(kind)),
        ("writing", |side, kind| side.and_room(7).breaks_when_full(kind)),
        ("taking nothing", |side, _| side.and_room(7).takes_nothing_when_full()),
        ("closing", |side, kind| side.and_room(usize::MAX).breaks_when_shut(kind)),
    ];
    for (way, breaks) in ways {
        for (client_breaks, ending) in [(true, Ending::ClientReset), (false, Ending::OriginReset)] {
            let broken = breaks(Scripted::default(), reset);
            let whole = Scripted::sends(&[b'x'; 100]).then_ends().and_room(usize::MAX);
            let (mut client, mut origin) = if client_breaks { (broken, whole) } else { (whole, broken) };
            let mut traffic = Traffic::default();
            assert_eq!(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()).await, ending, "{way}");
            let broken = if client_breaks { &client } else { &origin };
            let toward = if client_breaks { traffic.down } else { traffic.up };
            assert_eq!((toward, traffic.up + traffic.down), (broken.taken as u64, toward), "{way}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_already_needs_no_end_of_stream() {
    let mut client = Scripted::default().then_ends();
    let mut origin = Scripted::default().then_ends().breaks_when_shut(io::ErrorKind::NotConnected);
    let ending = copy(&mut client, &mut origin, BOUNDS, &mut Traffic::default(), |_| ()).await;
    assert_eq!(ending, Ending::Finished);
}

// Wine ends a socket in order that is to be reset.
#[cfg(unix)]
#[tokio::test]
async fn a_reset_of_a_socket_is_the_resetting_sides_and_the_bytes_before_it_are_counted() {
    for (client_resets, ending) in [(true, Ending::ClientReset), (false, Ending::OriginReset)] {
        let ((mut client_far, client), (origin, mut origin_far)) = (socket_pair().await, socket_pair().await);
        let tunnel = carry(client, origin);
        client_far.write_all(b"hello").await.unwrap();
        origin_far.read_exact(&mut [0; 5]).await.unwrap();
        origin_far.write_all(b"hi").await.unwrap();
        client_far.read_exact(&mut [0; 2]).await.unwrap();
        // The other end stays open, so that only the reset can end the tunnel.
        let (resets, _stays) =
            if client_resets { (client_far, origin_far) } else { (origin_far, client_far) };
        socket2::SockRef::from(&resets).set_linger(Some(Duration::ZERO)).unwrap();
        drop(resets);
        assert_eq!(tunnel.await.unwrap(), (ending, Traffic { up: 5, down: 2 }));
    }
}

#[tokio::test(start_paused = true)]
async fn the_counts_are_exact_when_the_tunnel_is_dropped_in_the_middle() {
    for room in [0, 1, 1000, SCRATCH + 1] {
        let mut client = Scripted::endless().and_room(3);
        let mut origin = Scripted::sends(b"answer").and_room(room);
        let mut traffic = Traffic::default();
        poll_times(copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()), 3);
        assert_eq!(traffic, Traffic { up: origin.taken as u64, down: 3 });
        assert_eq!(origin.taken, room);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_up_to_the_cap_passes_and_nothing_beyond_it_is_delivered() {
    let bounds = |cap| Bounds { idle: IDLE, upload_cap: Some(cap) };
    let cases = [
        (100, 0, Ending::Finished),
        (101, 0, Ending::Finished),
        (99, 0, Ending::UploadCap),
        (110, 10, Ending::Finished),
        (109, 10, Ending::UploadCap),
        (10, 10, Ending::UploadCap),
        (9, 10, Ending::UploadCap),
    ];
    for (cap, before, ending) in cases {
        let mut client = Scripted::sends(&[b'x'; 100]).then_ends().and_room(usize::MAX);
        let mut origin = Scripted::sends(&[b'y'; 1000]).then_ends().and_room(usize::MAX);
        let mut traffic = Traffic { up: before, down: 0 };
        let found = copy(&mut client, &mut origin, bounds(cap), &mut traffic, |_| ()).await;
        assert_eq!(found, ending, "{before} before, a cap of {cap}");
        assert_eq!(traffic.up, before + origin.taken as u64);
        assert!(traffic.up <= cap.max(before), "{} bytes under a cap of {cap}", traffic.up);
    }
}

/// Copies as the gateway does, with a watch of its own.
async fn copy<C, O>(
    client: &mut C,
    origin: &mut O,
    bounds: Bounds,
    traffic: &mut Traffic,
    tell: impl FnMut(Traffic),
) -> Ending
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let watch = IdleWatch::new();
    let mut both = Both::new(bounds.upload_cap);
    let step = |cx: &mut Context<'_>, traffic: &mut Traffic| both.poll(cx, client, origin, traffic);
    let copying = to_the_end(step, watch.watch(bounds.idle), traffic, tell);
    tokio::select! {
        ending = copying => ending,
        never = watch.keep() => match never {},
    }
}

/// Sends `up` and `down` through a tunnel at the same time, and checks both and their counts.
async fn exchange(pipes: (usize, usize), up: &[u8], down: &[u8], pieces: &[usize]) {
    let ((client_far, mut client), (mut origin, origin_far)) = (duplex(pipes.0), duplex(pipes.1));
    let mut traffic = Traffic::default();
    let carrying = async {
        let ending = copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()).await;
        // As in the gateway: the streams end with the tunnel.
        drop((client, origin));
        ending
    };
    let talking =
        async { tokio::join!(talk(client_far, up, down, pieces), talk(origin_far, down, up, pieces)) };
    let (ending, _) = tokio::join!(carrying, talking);
    assert_eq!(
        (ending, traffic),
        (Ending::Finished, Traffic { up: up.len() as u64, down: down.len() as u64 })
    );
}

/// Says one thing in pieces while hearing another, and closes its half.
async fn talk<S: AsyncRead + AsyncWrite>(stream: S, say: &[u8], hear: &[u8], pieces: &[usize]) {
    let (mut reading, mut writing) = split(stream);
    let saying = async {
        let mut rest = say;
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            writing.write_all(now).await.unwrap();
            rest = later;
            if rest.is_empty() {
                break;
            }
            yield_now().await;
        }
        writing.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (read, ()) = tokio::join!(reading.read_to_end(&mut heard), saying);
    read.unwrap();
    assert!(heard == hear, "{} bytes heard, {} sent", heard.len(), hear.len());
}

/// A running tunnel between two pipes of this size, and their far ends.
fn pipes(size: usize) -> (DuplexStream, DuplexStream, JoinHandle<(Ending, Traffic)>) {
    let ((client_far, client), (origin, origin_far)) = (duplex(size), duplex(size));
    (client_far, origin_far, carry(client, origin))
}

fn carry<S>(mut client: S, mut origin: S) -> JoinHandle<(Ending, Traffic)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut traffic = Traffic::default();
        let ending = copy(&mut client, &mut origin, BOUNDS, &mut traffic, |_| ()).await;
        (ending, traffic)
    })
}

async fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

fn paused(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// Bytes without a period that a lost or doubled piece could hide in.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}
