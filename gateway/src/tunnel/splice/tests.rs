//! Real sockets, through the kernel and through copies.

mod alike;
mod slow;

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::super::carry::Bounds;
use super::super::carry::to_the_end;
use super::super::idle::IdleWatch;
use super::super::pipes::Budget;
use super::super::pipes::LEAST_PIPE;
use super::*;
use crate::ending::Ending;
use crate::observe::metrics::Metrics;

const BOUNDS: Bounds = Bounds { idle: Duration::from_secs(600), upload_cap: None };
const PLENTY: Budget = Budget { size: 1024 * 1024, most: 8, stay: 4 };
const MUCH: usize = 6 * 1024 * 1024 + 17;

#[tokio::test]
async fn much_arrives_in_order_both_ways_whatever_pipes_there_are() {
    let none = Budget { most: 0, stay: 0, ..PLENTY };
    let small = Budget { size: LEAST_PIPE, ..PLENTY };
    for budget in [PLENTY, small, Budget { stay: 0, ..PLENTY }, none] {
        let pipes = pool(budget);
        let (client_far, origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
        let (up, down) = (content(1, MUCH), content(2, MUCH / 2));
        let talks =
            [tokio::spawn(talk(client_far, up.clone())), tokio::spawn(talk(origin_far, down.clone()))];
        let [at_client, at_origin] = talks;
        assert!(at_origin.await.unwrap() == up && at_client.await.unwrap() == down, "{budget:?}");
        let expected = Traffic { up: up.len() as u64, down: down.len() as u64 };
        assert_eq!(tunnel.await.unwrap(), (Ending::Finished, expected), "{budget:?}");
        let (open, idle) = pipes.count();
        assert_eq!((open > 0, idle), (budget.most > 0, open), "{budget:?}");
    }
}

#[tokio::test]
async fn what_the_kernel_refuses_to_move_is_copied() {
    let pipes = pool(PLENTY);
    (0..PLENTY.most).for_each(|_| pipes.put_no_pipe());
    let (client_far, origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
    let (up, down) = (content(6, MUCH), content(7, MUCH));
    let talks = [tokio::spawn(talk(client_far, up.clone())), tokio::spawn(talk(origin_far, down.clone()))];
    let [at_client, at_origin] = talks;
    assert!(at_origin.await.unwrap() == up && at_client.await.unwrap() == down);
    let expected = Traffic { up: up.len() as u64, down: down.len() as u64 };
    assert_eq!(tunnel.await.unwrap(), (Ending::Finished, expected));
    let (open, idle) = pipes.count();
    assert!(open < PLENTY.most && open == idle, "what refused was not lent again: {open} open, {idle} idle");
}

#[tokio::test]
async fn what_stands_behind_an_urgent_byte_arrives_and_the_end_is_only_after_it() {
    let pipes = pool(PLENTY);
    let (mut client_far, mut origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
    let (before, behind) = (content(4, MUCH), content(5, MUCH));
    let whole = [before.clone(), behind.clone()].concat();
    let reading = tokio::spawn(async move {
        let mut found = Vec::new();
        origin_far.read_to_end(&mut found).await.unwrap();
        found
    });
    client_far.write_all(&before).await.unwrap();
    // A stream has no message ends, so the byte may go with what was written before it.
    loop {
        client_far.writable().await.unwrap();
        match client_far.try_io(Interest::WRITABLE, || SockRef::from(&client_far).send_out_of_band(b"!")) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    client_far.write_all(&behind).await.unwrap();
    client_far.shutdown().await.unwrap();
    assert!(reading.await.unwrap() == whole, "all but the urgent byte");
    drop(client_far);
    assert_eq!(tunnel.await.unwrap().0, Ending::Finished);
}

#[tokio::test]
async fn little_needs_no_pipe() {
    let pipes = pool(PLENTY);
    let (mut client_far, mut origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
    let mut found = vec![0; WORTH_A_PIPE - 1];
    for _ in 0..20 {
        let message = content(3, found.len());
        client_far.write_all(&message).await.unwrap();
        origin_far.read_exact(&mut found).await.unwrap();
        assert!(found == message);
    }
    drop((client_far, origin_far));
    assert_eq!(tunnel.await.unwrap().0, Ending::Finished);
    assert_eq!(pipes.count(), (0, 0));
}

#[tokio::test]
async fn the_cap_is_exact_wherever_it_falls() {
    for cap in [0, 1, LITTLE - 1, LITTLE, LITTLE + 1, LITTLE + FIRST, LITTLE + FIRST + 1, MUCH] {
        for (sent, expected) in [(cap, Ending::Finished), (cap + 1, Ending::UploadCap)] {
            let bounds = Bounds { upload_cap: Some(cap as u64), ..BOUNDS };
            let pipes = pool(PLENTY);
            let (mut client_far, mut origin_far, tunnel) = tunnel(&pipes, bounds).await;
            let message = content(4, sent);
            origin_far.shutdown().await.unwrap();
            let sending = tokio::spawn(async move {
                // Beyond the cap the tunnel may be gone already.
                let _ = client_far.write_all(&message).await;
                let _ = client_far.shutdown().await;
                client_far
            });
            let mut found = Vec::new();
            // The client's leg is cut with a byte unread, the origin's ends in an orderly way.
            origin_far.read_to_end(&mut found).await.unwrap();
            let (ending, traffic) = tunnel.await.unwrap();
            drop(sending.await.unwrap());
            assert_eq!((ending, traffic.up), (expected, cap as u64), "a cap of {cap}, {sent} sent");
            assert!(found == content(4, sent)[..cap], "a cap of {cap}, {} arrived", found.len());
            let (open, idle) = pipes.count();
            assert_eq!(open, idle, "a cap of {cap}");
        }
    }
}

#[tokio::test]
async fn an_endless_sender_gives_the_other_direction_its_turn() {
    let pipes = pool(PLENTY);
    let (client_far, mut origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
    let (mut reading, mut writing) = client_far.into_split();
    let flooding = tokio::spawn(async move { while writing.write_all(&[7; 100_000]).await.is_ok() {} });
    let mut buffer = vec![0; 1024 * 1024];
    for _ in 0..50 {
        origin_far.read_exact(&mut buffer).await.unwrap();
        origin_far.write_all(b"answer").await.unwrap();
        let mut found = [0; 6];
        reading.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, b"answer");
    }
    drop((reading, origin_far));
    flooding.await.unwrap();
    assert_eq!(tunnel.await.unwrap().0, Ending::OriginReset);
}

/// Says one thing while hearing another, and closes its half.
async fn talk(stream: TcpStream, say: Vec<u8>) -> Vec<u8> {
    let (mut reading, mut writing) = stream.into_split();
    let saying = async {
        writing.write_all(&say).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (read, ()) = tokio::join!(reading.read_to_end(&mut heard), saying);
    read.unwrap();
    heard
}

/// A running tunnel between plain sockets, and their far ends.
async fn tunnel(pipes: &Arc<Pipes>, bounds: Bounds) -> (TcpStream, TcpStream, JoinHandle<(Ending, Traffic)>) {
    let ((client_far, client), (origin, origin_far)) = (socket_pair().await, socket_pair().await);
    (client_far, origin_far, carry(pipes, client, origin, bounds))
}

fn carry(
    pipes: &Arc<Pipes>,
    mut client: TcpStream,
    mut origin: TcpStream,
    bounds: Bounds,
) -> JoinHandle<(Ending, Traffic)> {
    let pipes = Arc::clone(pipes);
    tokio::spawn(async move {
        let mut both = Both::new(&pipes, bounds.upload_cap);
        let step =
            |cx: &mut Context<'_>, traffic: &mut Traffic| both.poll(cx, &mut client, &mut origin, traffic);
        watched(step, bounds).await
    })
}

/// Takes turns to the end, with a watch of its own.
async fn watched(
    step: impl FnMut(&mut Context<'_>, &mut Traffic) -> Turn,
    bounds: Bounds,
) -> (Ending, Traffic) {
    let watch = IdleWatch::new();
    let mut traffic = Traffic::default();
    let ending = tokio::select! {
        ending = to_the_end(step, watch.watch(bounds.idle), &mut traffic, |_| ()) => ending,
        never = watch.keep() => match never {},
    };
    (ending, traffic)
}

fn pool(budget: Budget) -> Arc<Pipes> {
    Pipes::new(budget, Metrics::new().unwrap().pipes)
}

async fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

/// Bytes in which a lost or doubled piece shows: their period is a prime that no buffer has for its size.
fn content(seed: u64, count: usize) -> Vec<u8> {
    const PERIOD: usize = 65_521;
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let block: Vec<u8> = (0..PERIOD.min(count)).map(|_| next()).collect();
    block.iter().copied().cycle().take(count).collect()
}
