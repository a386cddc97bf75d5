//! Rows S01 to S07: clients that are silent, slow, huge or too many.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::hello::client_hello;
use end_to_end::origin::RawOrigin;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::process::may_open;
use end_to_end::process::processor_time;
use end_to_end::process::resident_memory;
use end_to_end::proxy_header::v2;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::MORE_THAN_BUFFERS;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::read_exactly;
use crate::stage::write_until_stalled;
use crate::table;
use crate::table::Row;

/// Silent connections, and the memory each may cost the gateway; a debug build's tasks are the larger.
const SILENT: usize = 5000;
const BYTES_PER_SILENT: u64 = 24 * 1024;
/// Handshakes and headers that were begun and are not gone on with.
const STALLED: usize = 500;
/// Open files of a gateway that has too few, and clients that are too many for it.
const FILES: u32 = 256;
const TOO_MANY: usize = 400;
/// How often a slow client sends its next byte.
const DRIP: Duration = Duration::from_millis(50);

fn with_head_timeout(timeout: &str) -> Config {
    Config::new(&format!("{ANYONE}[limits]\nhead_timeout = \"{timeout}\"\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_thousands_of_silent_connections_cost_little_and_are_closed_in_time() {
    // Two descriptors a connection, and three quarters of the places for one address.
    if !may_open(SILENT as u64 * 3) {
        return;
    }
    let limits = format!("{ANYONE}[limits]\nhead_timeout = \"10s\"\nrequest_burst_per_address = 20000\n");
    let stage = Stage::good(Config::new(&limits)).await;
    stage.serve_a_good_client(&[]).await;
    let series = stage.gateway.metrics().await;
    let before = resident_memory(stage.gateway.pid());
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(RawClient::connect(stage.gateway.proxy()).await);
    }
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], SILENT as f64).await;
    let each = resident_memory(stage.gateway.pid()).saturating_sub(before) / SILENT as u64;
    assert!(each < BYTES_PER_SILENT, "{each} bytes of memory for each silent connection");
    stage.serve_a_good_client(&[]).await;
    for client in silent {
        assert_refusal(&client.refusal().await.expect("an answer"), 408);
    }
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("la_gateway_refusals_total", &[("reason", "head_timeout")]), SILENT as f64);
    assert_eq!(metrics.series(), series.series());
    assert!(stage.gateway.access_records().len() < SILENT / 2, "the log was flooded");
    assert_eq!(stage.azure.connections(), 2);
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_head_that_comes_too_slowly_is_408() {
    let stage = Stage::good(with_head_timeout("1s")).await;
    let series = stage.gateway.metrics().await;
    for bytes in [connect_request(GOOD_TARGET, &[("X", &"y".repeat(4000))]), b"\r\n".repeat(2000)] {
        let client = RawClient::connect(stage.gateway.proxy()).await;
        let own = client.address();
        let (mut from_proxy, mut to_proxy) = client.into_stream().into_split();
        let dripping = tokio::spawn(async move {
            let mut drip = tokio::time::interval(DRIP);
            for byte in bytes {
                drip.tick().await;
                if to_proxy.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        assert_refusal(&wire::read_answer_until_close(&mut from_proxy).await.expect("an answer"), 408);
        patiently("the connection is closed, not only answered", dripping).await.expect("no panic");
        stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "head_timeout"), ("host", "")]);
        stage.serve_a_good_client(&[]).await;
    }
    assert_eq!(stage.azure.connections(), 2);
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_heads_that_are_too_large_are_431() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let large = [b"X: ".to_vec(), vec![b'y'; 64 * 1024 + 1], b"\r\n".to_vec()].concat();
    let rows = [
        Row::fields("s02", GOOD_TARGET, &b"X: y\r\n".repeat(10_000), &[431]),
        Row::fields("s02", GOOD_TARGET, &b"X: y\r\n".repeat(100), &[431]),
        Row::fields("s02", GOOD_TARGET, &large, &[431]),
        Row::raw("s02", large.repeat(8), &[400, 431]),
        Row::raw("s02", [&b"CONNECT "[..], &[b'a'; 64 * 1024 + 1]].concat(), &[431]),
        Row::fields("s02", GOOD_TARGET, &b"X: y\r\n".repeat(40), &[200]),
    ];
    table::run(&stage, &[], &rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_connection_that_is_kept_after_a_refusal_is_closed() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let mut kept = Vec::new();
    for talks_on in [false, true, true] {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        client.send(&connect_request("evil.example:443", &[("Connection", "keep-alive")])).await;
        let mut stream = client.into_stream();
        let answer = wire::read_answer_until_close(&mut stream).await.expect("an answer");
        assert_refusal(&answer, 403);
        if talks_on {
            // A second request on it is thrown away, whether it can still be sent or not.
            let _ = stream.write_all(&connect_request(GOOD_TARGET, &[])).await;
        }
        kept.push(stream);
    }
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    assert_eq!((stage.azure.connections(), stage.gateway.records_once(3).await), (0, 3));
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s04_stalled_handshakes_do_not_keep_others_waiting() {
    let front = Pki::new();
    let files = front.pem_files("gateway", &["gateway.example"]);
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n{ANYONE}\
         [limits]\nhead_timeout = \"4s\"\n",
        files.certificate.display(),
        files.key.display()
    );
    let stage = Stage::good(Config::new(&text)).await;
    let series = stage.gateway.metrics().await;
    let hello = client_hello(front.client_config(), "gateway.example");
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        client.send(&hello[..1 + number % hello.len()]).await;
        stalled.push(client.into_stream());
    }
    stage.serve_a_good_client(&[]).await;
    for mut stream in stalled {
        let _ = patiently("a stalled handshake is ended", stream.read_to_end(&mut Vec::new())).await;
    }
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    assert_eq!(stage.azure.connections(), 1);
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s04_stalled_proxy_headers_do_not_keep_others_waiting() {
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = {{ trusted = [\"127.0.0.0/8\"] }}\n{ANYONE}\
         [limits]\nhead_timeout = \"4s\"\n"
    );
    let stage = RawStage::new(Config::new(&text)).await;
    let series = stage.gateway.metrics().await;
    let named = "127.0.0.9:4711".parse().expect("an address");
    let header = v2(named, &[]);
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        client.send(&header[..number % header.len()]).await;
        stalled.push(client);
    }
    let mut good = RawClient::connect(stage.gateway.proxy()).await;
    good.send(&[header, connect_request(GOOD_TARGET, &[]), stage.hellos.client.clone()].concat()).await;
    drop(good.tunnel().await);
    read_exactly(&mut stage.origin.accept().await, stage.hellos.client.len()).await;
    stage.gateway.only_record_of(named).await.assert_texts(&[("verdict", "carried")]);
    for client in stalled {
        assert!(client.refusal().await.is_none(), "an answer to a part of a header");
    }
    let reason = [("reason", "proxy_header")];
    stage.gateway.wait_for_metric("la_gateway_refusals_total", &reason, STALLED as f64).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_reader_that_never_reads_pushes_back_and_is_ended_by_the_idle_time() {
    let config = Config::new(&format!("{ANYONE}[tunnel]\nidle = \"4s\"\n"));
    let stage = RawStage::new(config).await;
    let before = resident_memory(stage.gateway.pid());
    let (near, far, first) = stage.open().await;
    let (other_near, other_far, second) = stage.open().await;
    tokio::join!(stand_still(&stage, near, far, first), stand_still(&stage, other_far, other_near, second));
    let grown = resident_memory(stage.gateway.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes for two tunnels that stood still");
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    let (near, far, _) = stage.open().await;
    drop((near, far));
}

/// Lets a tunnel of this client stand still because `reader`, one of its ends, does not read.
async fn stand_still(stage: &RawStage, mut reader: TcpStream, mut writer: TcpStream, client: SocketAddr) {
    let sent = write_until_stalled(&mut writer).await;
    assert!(sent < MORE_THAN_BUFFERS, "{sent} bytes went into the gateway");
    // The other way it still carries.
    reader.write_all(b"the other way").await.expect("bytes sent");
    assert_eq!(read_exactly(&mut writer, 13).await, b"the other way");
    let record = stage.gateway.only_record_of(client).await;
    record.assert_texts(&[("reason", "idle"), ("verdict", "carried")]);
    assert_eq!(record.number("event_id"), 117);
    let _ = patiently("the end", writer.read_to_end(&mut Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_a_gateway_without_descriptors_says_so_once_and_recovers_by_itself() {
    let origin = RawOrigin::bind().await;
    let config = with_head_timeout("3s").hosts(&[GOOD], origin.address());
    let gateway = Gateway::start_with_files(FILES, &config).await;
    let (begun, used) = (Instant::now(), processor_time(gateway.pid()));
    let mut silent = Vec::new();
    for at in 0..TOO_MANY {
        silent.push(RawClient::connect_from(one_of_many(at), gateway.proxy()).await);
    }
    gateway.wait_for_record("an alarm", |record| record.text("message").contains("open files")).await;
    // Each place that becomes free is taken at once by one that waits.
    for client in silent.drain(..50) {
        drop(client);
    }
    for client in silent {
        assert_refusal(&client.refusal().await.expect("an answer"), 408);
    }
    let (took, used) = (begun.elapsed(), processor_time(gateway.pid()) - used);
    assert!(used < took / 2, "{used:?} of processor time in {took:?}");
    serve(&gateway, &origin).await;
    gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    let alarms = gateway.log().records().into_iter().filter(|record| record.number("event_id") == 300);
    let alarms: Vec<_> = alarms.collect();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_one_address_never_takes_all_places_and_tunnels_never_use_up_the_descriptors() {
    let origin = RawOrigin::bind().await;
    let config = with_head_timeout("20s").hosts(&[GOOD], origin.address());
    let gateway = Gateway::start_with_files(FILES, &config).await;
    let mut held = Vec::new();
    let refusal = loop {
        let mut client = RawClient::connect(gateway.proxy()).await;
        client.send(&connect_request(GOOD_TARGET, &[])).await;
        match client.verdict().await {
            Ok(tunnel) => held.push((tunnel, origin.accept().await)),
            Err(answer) => break answer,
        }
        assert!(held.len() < FILES as usize, "more tunnels than descriptors");
    };
    assert_refusal(&refusal, 429);
    // The places that are left are for others, and each has a descriptor for its tunnel.
    let mut client = RawClient::connect_from(one_of_many(1), gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    held.push((client.verdict().await.expect("another address is served"), origin.accept().await));
    gateway.metrics().await;
    drop(held);
    serve(&gateway, &origin).await;
}

/// Spreads clients over sixteen addresses of loopback, so that none holds more than its share.
fn one_of_many(at: usize) -> IpAddr {
    IpAddr::from([127, 0, 7, u8::try_from(at % 16 + 1).expect("a small number")])
}

/// Opens a tunnel as a good client does, as soon as there is a place for it.
async fn serve(gateway: &Gateway, origin: &RawOrigin) -> TcpStream {
    patiently("a good client is served", async {
        loop {
            let mut client = RawClient::connect(gateway.proxy()).await;
            client.send(&connect_request(GOOD_TARGET, &[])).await;
            if client.verdict().await.is_ok() {
                return origin.accept().await;
            }
        }
    })
    .await
}
