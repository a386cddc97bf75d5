//! Progress and the lack of it.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::duplex;
use tokio::time::Instant;
use tokio::time::sleep;

use super::Bounds;
use super::HALF_CLOSED;
use super::IDLE;
use super::TICK;
use super::carry;
use super::copy;
use super::pipes;
use super::socket_pair;
use crate::ending::Ending;
use crate::observe::access::Traffic;

/// A little less than [`IDLE`].
const ALMOST: Duration = Duration::from_secs(59);

#[tokio::test(start_paused = true)]
async fn a_slow_tunnel_lives_as_long_as_anything_moves_in_either_direction() {
    for client_sends in [true, false] {
        let (mut client_far, mut origin_far, tunnel) = pipes(8);
        let (from, to) = match client_sends {
            true => (&mut client_far, &mut origin_far),
            false => (&mut origin_far, &mut client_far),
        };
        for _ in 0..50 {
            sleep(ALMOST).await;
            from.write_all(b"x").await.unwrap();
            to.read_exact(&mut [0]).await.unwrap();
        }
        let began = Instant::now();
        let (ending, traffic) = tunnel.await.unwrap();
        assert_eq!((ending, traffic.up + traffic.down), (Ending::Idle, 50));
        assert_eq!(began.elapsed().as_secs(), IDLE.as_secs(), "counted from the last byte");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_one_byte_now_and_then_is_progress_and_one_that_takes_none_is_not() {
    let (mut client_far, mut origin_far, tunnel) = pipes(4);
    let sending = tokio::spawn(async move {
        // Goes on for ever: what the sender wishes is no progress.
        while client_far.write_all(&[7; 1000]).await.is_ok() {}
    });
    for _ in 0..50 {
        sleep(ALMOST).await;
        origin_far.read_exact(&mut [0]).await.unwrap();
    }
    let began = Instant::now();
    assert_eq!(tunnel.await.unwrap(), (Ending::Idle, Traffic { up: 54, down: 0 }));
    assert_eq!(began.elapsed().as_secs(), IDLE.as_secs());
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn half_a_close_is_progress_and_the_open_half_may_idle_from_then_on() {
    let (mut client_far, _origin_far, tunnel) = pipes(4);
    sleep(ALMOST).await;
    client_far.shutdown().await.unwrap();
    let began = Instant::now();
    assert_eq!(tunnel.await.unwrap(), (Ending::Idle, Traffic::default()));
    assert_eq!(began.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test]
async fn s06_a_peer_with_a_closed_window_ends_the_tunnel_as_idle_and_every_delivered_byte_is_counted() {
    let ((mut client_far, client), (origin, mut origin_far)) = (socket_pair().await, socket_pair().await);
    let tunnel = carry(client, origin);
    client_far.write_all(b"hello").await.unwrap();
    origin_far.read_exact(&mut [0; 5]).await.unwrap();
    let sending = tokio::spawn(async move { while client_far.write_all(&[7; 100_000]).await.is_ok() {} });
    tokio::time::pause();
    let (ending, traffic) = tunnel.await.unwrap();
    let mut found = Vec::new();
    origin_far.read_to_end(&mut found).await.unwrap();
    assert_eq!((ending, traffic), (Ending::Idle, Traffic { up: 5 + found.len() as u64, down: 0 }));
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_tunnel_may_idle_for_two_minutes_only_and_each_byte_begins_them_anew() {
    let (mut client_far, mut client) = duplex(64);
    let (mut origin_far, mut origin) = duplex(64);
    let bounds = Bounds { idle: HALF_CLOSED * 100, upload_cap: None };
    let tunnel = tokio::spawn(async move {
        let mut traffic = Traffic::default();
        (copy(&mut client, &mut origin, bounds, &mut traffic, |_| ()).await, traffic)
    });
    sleep(HALF_CLOSED * 10).await;
    client_far.shutdown().await.unwrap();
    origin_far.read_to_end(&mut Vec::new()).await.unwrap();
    for _ in 0..10 {
        sleep(HALF_CLOSED - Duration::from_secs(1)).await;
        origin_far.write_all(b"x").await.unwrap();
        client_far.read_exact(&mut [0]).await.unwrap();
    }
    let began = Instant::now();
    assert_eq!(tunnel.await.unwrap(), (Ending::Idle, Traffic { up: 0, down: 10 }));
    assert!((HALF_CLOSED..=HALF_CLOSED + TICK).contains(&began.elapsed()), "{:?}", began.elapsed());
}
