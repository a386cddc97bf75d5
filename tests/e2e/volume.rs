//! Much data, many tunnels, and the plain refusals.

use std::sync::Arc;

use end_to_end::azure::SEED;
use end_to_end::client::Tunnel;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::content::Hash;
use end_to_end::content::hash_of;
use end_to_end::dns::FakeDns;
use end_to_end::gateway::Gateway;
use end_to_end::origin::refusing;
use end_to_end::patience::patiently;
use end_to_end::process::descriptors;
use end_to_end::process::pipes;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;

const LARGE: u64 = 100 * 1024 * 1024;
const TUNNELS: usize = 200;
/// The gateway's bound on pipes.
const MOST_PIPES: usize = 32;
/// So much of an answer is more than the buffers between hold.
const SOME: usize = 16 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_up_arrive_unchanged() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    wire::send_head(&mut stream, "POST /hash", &[("Host", GOOD)], LARGE).await;
    let mut hash = Hash::new();
    for block in Content::new(3, LARGE) {
        hash.update(&block);
        patiently("sending a block", stream.write_all(&block)).await.expect("a block sent");
    }
    stream.flush().await.expect("all sent");
    let head = wire::read_head(&mut stream).await.expect("an answer");
    let mut body = head.leftover;
    let length: usize = 64 + 1 + LARGE.to_string().len();
    while body.len() < length {
        patiently("the hash", stream.read_buf(&mut body)).await.expect("the hash");
    }
    assert_eq!(String::from_utf8(body).expect("text"), hash.finish());
    drop(stream);
    let record = stage.gateway.record_of(address).await;
    assert!(record.number("bytes_up") > LARGE && record.number("bytes_down") < LARGE, "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_down_arrive_unchanged() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    wire::send_head(&mut stream, &format!("GET /bytes/{LARGE}"), &[("Host", GOOD)], 0).await;
    let head = wire::read_head(&mut stream).await.expect("an answer");
    let mut hash = Hash::new();
    hash.update(&head.leftover);
    let mut left = LARGE - head.leftover.len() as u64;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let length = patiently("content", stream.read(&mut buffer)).await.expect("content");
        assert_ne!(length, 0, "{left} bytes are missing");
        hash.update(&buffer[..length]);
        left -= length as u64;
    }
    assert_eq!(hash.finish(), hash_of(Content::new(SEED, LARGE)));
    drop(stream);
    let record = stage.gateway.record_of(address).await;
    assert!(record.number("bytes_down") > LARGE && record.number("bytes_up") < LARGE, "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tunnels_live_at_once() {
    let stage = Arc::new(Stage::good(Config::new(ANYONE)).await);
    let (open, seen) = (Arc::new(Barrier::new(TUNNELS + 1)), Arc::new(Barrier::new(TUNNELS + 1)));
    let mut clients = JoinSet::new();
    for number in 0..TUNNELS as u64 {
        let (stage, open, seen) = (Arc::clone(&stage), Arc::clone(&open), Arc::clone(&seen));
        clients.spawn(async move {
            let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
            let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
            open.wait().await;
            seen.wait().await;
            let content = Content::new(number, 1000 + number).all();
            let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &content).await;
            assert_eq!(answer.text(), hash_of(Content::new(number, 1000 + number)));
        });
    }
    patiently("all tunnels are open", open.wait()).await;
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], TUNNELS as f64).await;
    assert_eq!(stage.gateway.metric("la_gateway_connected_clients", &[]).await, 1.0);
    seen.wait().await;
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client that got its answer");
    }
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    let carried = stage.gateway.metric("la_gateway_connects_total", &[("verdict", "carried")]).await;
    assert_eq!(carried, TUNNELS as f64);
    assert_eq!(stage.gateway.records_once(TUNNELS).await, TUNNELS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_busy_tunnels_share_a_few_pipes_and_stuck_ones_do_not_stop_the_others() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let before = pipes(stage.gateway.pid());
    let mut stuck = Vec::new();
    for _ in 0..TUNNELS / 4 {
        let mut stream = tunnel_in(&stage).await;
        // The answer is asked for and not read, so that bytes are under way in the gateway.
        wire::send_head(&mut stream, &format!("GET /bytes/{LARGE}"), &[("Host", GOOD)], 0).await;
        stream.flush().await.expect("all sent");
        stuck.push(stream);
    }
    for number in 0..3 {
        let (mut stream, length) = (tunnel_in(&stage).await, LARGE / 20 + number);
        let content = Content::new(number, length).all();
        let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &content).await;
        assert_eq!(answer.text(), hash_of(Content::new(number, length)));
    }
    let open = stage.gateway.metric("la_gateway_pipes_open", &[]).await;
    assert!((1.0..=MOST_PIPES as f64).contains(&open), "{open} pipes");
    let ends = pipes(stage.gateway.pid()) - before;
    assert!(ends <= 2 * MOST_PIPES, "{ends} ends of pipes");
    // Who was stuck goes on where it was.
    let mut stream = stuck.pop().expect("a tunnel");
    let head = wire::read_head(&mut stream).await.expect("an answer");
    let mut found = head.leftover;
    while found.len() < SOME {
        patiently("content", stream.read_buf(&mut found)).await.expect("content");
    }
    let expected: Vec<u8> = Content::new(SEED, LARGE).flatten().take(SOME).collect();
    assert!(found[..SOME] == expected, "the content is another one");
    drop((stuck, stream));
    stage.gateway.wait_for_metric("la_gateway_pipes_in_use", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_tunnel_owns_two_descriptors() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let owned = async |expected: usize| {
        let reached = async {
            while descriptors(stage.gateway.pid()) != expected {
                tokio::task::yield_now().await;
            }
        };
        patiently(&format!("{expected} descriptors"), reached).await;
    };
    let mut first = tunnel_in(&stage).await;
    wire::exchange(&mut first, "POST /hash", &[("Host", GOOD)], b"x").await;
    let with_one = descriptors(stage.gateway.pid());
    let mut idle = Vec::new();
    for number in 1..=20 {
        let mut stream = tunnel_in(&stage).await;
        wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], b"x").await;
        idle.push(stream);
        owned(with_one + 2 * number).await;
    }
    drop(idle);
    owned(with_one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_refuses_or_has_no_address_is_a_bad_gateway() {
    let dns = FakeDns::start().await;
    let text = format!("{ANYONE}[dns]\nservers = [\"{}\"]\n", dns.address());
    let gateway = Gateway::start(&Config::new(&text).hosts(&[GOOD], refusing())).await;
    let unknown = "account.blob.core.windows.net:443";
    for (target, reason, event) in [(GOOD_TARGET, "connect_refused", 403), (unknown, "name_not_found", 116)] {
        let (answer, address) = refused(gateway.proxy(), target, &[]).await;
        assert_refusal(&answer, 502);
        let record = gateway.record_of(address).await;
        record.assert_texts(&[("reason", reason), ("fault", "network"), ("verdict", "refused")]);
        assert_eq!((record.number("event_id"), record.number("bytes_up")), (event, 0));
        gateway.wait_for_metric("la_gateway_refusals_total", &[("reason", reason)], 1.0).await;
    }
    gateway.wait_for_metric("la_gateway_connects_total", &[("verdict", "refused")], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_host_port_or_address_is_forbidden() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let port = format!("{GOOD}:8443");
    let cases =
        [("evil.example:443", "host_denied"), (&port, "port_denied"), ("20.1.2.3:443", "address_literal")];
    for (target, reason) in cases {
        let (answer, address) = refused(stage.gateway.proxy(), target, &[]).await;
        let id = assert_refusal(&answer, 403);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("reason", reason), ("fault", "policy"), ("request_id", &id), ("address", "")]);
        assert_eq!((record.number("event_id"), record.number("status")), (105, 403));
        stage.gateway.wait_for_metric("la_gateway_refusals_total", &[("reason", reason)], 1.0).await;
    }
    assert_eq!(stage.azure.connections(), 0);
    assert_eq!(stage.gateway.metric("la_gateway_rejections_total", &[]).await, 3.0);
}

/// A tunnel to the good host, with TLS inside.
async fn tunnel_in(stage: &Stage) -> TlsStream<TcpStream> {
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    tunnel.tls(GOOD, stage.pki.client_config()).await
}
