//! Rows T01 to T05 and T07: the hellos inside a tunnel, which are judged and passed on unchanged.

use std::sync::Arc;

use end_to_end::azure::FakeAzure;
use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::hello::client_hello;
use end_to_end::hello::hellos;
use end_to_end::pki::Pki;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::RawStage;
use crate::stage::read_all;
use crate::stage::read_exactly;

fn config(tunnel: &str) -> Config {
    Config::new(&format!("{ANYONE}[tunnel]\n{tunnel}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t02_t07_the_version_the_origin_chooses_is_recorded_and_judged() {
    let pki = Pki::new();
    let azure = FakeAzure::start_with(pki.server_config_tls12(&[GOOD])).await;
    let lenient = Gateway::start(&config("minimum_tls = \"1.2\"").hosts(&[GOOD], azure.address())).await;
    let tunnel = Tunnel::open(lenient.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(GOOD, pki.client_config()).await;
    let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], b"abc").await;
    assert_eq!(answer.head.status, 200);
    drop(stream);
    lenient.record_of(address).await.assert_texts(&[("tls_version", "1.2"), ("verdict", "carried")]);

    let strict = Gateway::start(&config("minimum_tls = \"1.3\"").hosts(&[GOOD], azure.address())).await;
    let mut tunnel = Tunnel::open(strict.proxy(), GOOD_TARGET, &[]).await;
    let hello = client_hello(pki.client_config(), GOOD);
    tunnel.stream.write_all(&hello).await.expect("a hello sent");
    let mut received = Vec::new();
    let _ = tunnel.stream.read_to_end(&mut received).await;
    assert!(received.is_empty(), "a session of TLS 1.2 was begun");
    let record = strict.record_of(tunnel.address).await;
    record.assert_texts(&[("reason", "origin_tls_version"), ("verdict", "carried")]);
    assert_eq!(record.number("event_id"), 106);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t03_the_server_name_inside_must_be_the_host_of_the_connect_unless_told_otherwise() {
    let pki = Pki::new();
    let mut nameless = Arc::unwrap_or_clone(pki.client_config());
    nameless.enable_sni = false;
    let same = client_hello(pki.client_config(), GOOD);
    let other = client_hello(pki.client_config(), "evil.example");
    let absent = client_hello(Arc::new(nameless), GOOD);
    let cases = [
        ("must-match", [true, false, false]),
        ("may-be-absent", [true, false, true]),
        ("ignore", [true, true, true]),
    ];
    for (setting, passed) in cases {
        let stage = RawStage::new(config(&format!("server_name = \"{setting}\""))).await;
        for (hello, passes) in [&same, &other, &absent].into_iter().zip(passed) {
            let mut tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
            tunnel.stream.write_all(hello).await.expect("a hello sent");
            let mut far = stage.origin.accept().await;
            if passes {
                assert_eq!(read_exactly(&mut far, hello.len()).await, *hello, "{setting}");
                continue;
            }
            assert!(read_all(&mut far).await.is_empty(), "{setting}: the origin saw a refused hello");
            let record = stage.gateway.record_of(tunnel.address).await;
            record.assert_texts(&[("reason", "server_name"), ("verdict", "carried")]);
            assert_eq!(record.number("event_id"), 106);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_hello_in_single_bytes_or_in_several_records_passes_unchanged() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let whole = &stage.hellos.client;
    for hello in [whole.clone(), in_records(whole, 2), in_records(whole, 40), in_records(whole, whole.len())]
    {
        let mut tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
        tunnel.stream.set_nodelay(true).expect("a socket option");
        for byte in &hello {
            tunnel.stream.write_all(&[*byte]).await.expect("a byte sent");
        }
        let mut far = stage.origin.accept().await;
        assert_eq!(read_exactly(&mut far, hello.len()).await, hello);
        for byte in &stage.hellos.server {
            far.write_all(&[*byte]).await.expect("a byte sent");
        }
        assert_eq!(read_exactly(&mut tunnel.stream, stage.hellos.server.len()).await, stage.hellos.server);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_a_hello_that_does_not_come_ends_the_tunnel() {
    let stage = RawStage::new(config("hello = \"1s\"")).await;
    let hello = hellos(&Pki::new(), GOOD).client;
    for begun in [0, 1, hello.len() - 1] {
        let mut tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
        tunnel.stream.write_all(&hello[..begun]).await.expect("a part of a hello sent");
        let mut far = stage.origin.accept().await;
        assert!(read_all(&mut far).await.is_empty(), "the origin saw a part of a hello");
        let mut rest = Vec::new();
        let _ = tunnel.stream.read_to_end(&mut rest).await;
        let record = stage.gateway.record_of(tunnel.address).await;
        record.assert_texts(&[("reason", "hello_timeout"), ("verdict", "carried")]);
    }
}

/// Cuts the one record of a hello into records of at most `longest` bytes.
fn in_records(record: &[u8], longest: usize) -> Vec<u8> {
    let (head, payload) = record.split_at(5);
    let cut = |piece: &[u8]| [&head[..3], &(piece.len() as u16).to_be_bytes(), piece].concat();
    payload.chunks(longest).flat_map(cut).collect()
}
