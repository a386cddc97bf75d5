//! TLS to the gateway itself: on the port that speaks plain HTTP, too, or alone.

use std::net::SocketAddr;
use std::sync::Arc;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::content::hash_of;
use end_to_end::curl::curl;
use end_to_end::hello::client_hello;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::read_all;

const FRONT: &str = "gateway.example";
const HANDSHAKE_FAILED: [(&str, &str); 3] =
    [("reason", "tls_handshake"), ("verdict", "refused"), ("host", "")];
const TEN_MEGABYTES: u64 = 10 * 1000 * 1000;

/// A listener with TLS, and with plain HTTP beside it or not; its authority is not that of the origins.
fn listener(front: &Pki, plain: bool, rest: &str) -> Config {
    let files = front.pem_files("gateway", &[FRONT, "127.0.0.1"]);
    let (certificate, key) = (files.certificate.display(), files.key.display());
    Config::new(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nplain = {plain}\n\
         tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n{rest}"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_speaks_plain_and_tls() {
    let front = Pki::new();
    let stage = Stage::good(listener(&front, true, ANYONE)).await;
    let series = stage.gateway.metrics().await;
    for _ in 0..2 {
        stage.serve_a_good_client(&[]).await;
        let (mut proxy, own) = secured(stage.gateway.proxy(), front.client_config()).await;
        assert_eq!(proxy.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(ask(&mut proxy, GOOD_TARGET, &[]).await, 200);
        let mut inner = inside(proxy, stage.pki.client_config()).await;
        let answer = wire::exchange(&mut inner, "POST /hash", &[("Host", GOOD)], b"abc").await;
        assert_eq!(answer.head.status, 200);
        drop(inner);
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("verdict", "carried"), ("role", "agents"), ("tls_version", "1.3")]);
    }
    let (mut proxy, own) = secured(stage.gateway.proxy(), front.client_config()).await;
    proxy.write_all(&connect_request("evil.example:443", &[])).await.expect("a request sent");
    assert_refusal(&wire::read_answer_until_close(&mut proxy).await.expect("an answer"), 403);
    stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "host_denied")]);
    assert_eq!((stage.azure.connections(), stage.gateway.records_once(5).await), (4, 5));
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_of_one_kind_refuses_the_other() {
    let front = Pki::new();
    let tls_only = Stage::good(listener(&front, false, ANYONE)).await;
    let plain_only = Stage::good(Config::new(ANYONE)).await;
    let hello = client_hello(front.client_config(), FRONT);
    let cases = [(&tls_only, connect_request(GOOD_TARGET, &[])), (&plain_only, hello)];
    for (stage, bytes) in cases {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        let own = client.address();
        client.send(&bytes).await;
        assert_refusal(&client.refusal().await.expect("an answer"), 400);
        stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "not_http"), ("host", "")]);
        assert_eq!(stage.azure.connections(), 0);
    }
    let (mut proxy, _) = secured(tls_only.gateway.proxy(), front.client_config()).await;
    assert_eq!(ask(&mut proxy, GOOD_TARGET, &[]).await, 200);
    plain_only.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_comes_by_https_with_right_wrong_and_encoded_passwords() {
    let front = Pki::new();
    let role = "[role.agents]\nusers_file = \"agents.users\"\n";
    let config = listener(&front, true, role).file("agents.users", &users_file(&[("at", "p@ss")]));
    let stage = Stage::good(config).await;
    let proxy = stage.gateway.proxy();
    let (front_file, origin_file) = (front.authority_file(), stage.pki.authority_file());
    let (known, other) = (front_file.to_str().expect("UTF-8"), origin_file.to_str().expect("UTF-8"));
    let by = |user: &str| format!("https://{user}{proxy}");
    let (good, evil) = (format!("https://{GOOD}/bytes/100000"), "https://evil.example/");
    let cases: [(_, &[&str], &str, _); 6] = [
        (by("at:p%40ss@"), &["--proxy-cacert", known], &good, (0, 200, 200)),
        (by("at:p%2540ss@"), &["--proxy-cacert", known], &good, (0, 200, 200)),
        (by("at:wrong@"), &["--proxy-cacert", known], &good, (56, 407, 0)),
        (by(""), &["--proxy-cacert", known], &good, (56, 407, 0)),
        (by("at:p%40ss@"), &["--proxy-cacert", known], evil, (56, 403, 0)),
        (by("at:p%40ss@"), &["--proxy-cacert", other], &good, (60, 0, 0)),
    ];
    for (url, options, target, expected) in cases {
        let arguments = [&["-x", &url, "--cacert", other], options, &[target]].concat();
        let Some(outcome) = curl(&arguments).await else { return };
        let found = (outcome.exit, outcome.connect_status, outcome.status);
        assert_eq!(found, expected, "{arguments:?} {}", outcome.stderr);
        assert_eq!(outcome.body.len(), if outcome.exit == 0 { 100_000 } else { 0 });
    }
    assert_eq!(stage.azure.connections(), 2);
    stage.serve_a_good_client(&[("Proxy-Authorization", &basic("at", "p@ss"))]).await;
    assert!(!stage.gateway.everything_said().contains("p@ss"), "a password stands in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_1_is_chosen_and_http_2_alone_is_refused() {
    let front = Pki::new();
    let stage = Stage::good(listener(&front, true, ANYONE)).await;
    let cases: [(&[&str], Option<&str>); 3] =
        [(&["h2", "http/1.1"], Some("http/1.1")), (&["http/1.1"], Some("http/1.1")), (&[], None)];
    for (offered, chosen) in cases {
        let (mut proxy, _) = secured(stage.gateway.proxy(), offering(&front, offered)).await;
        let protocol = proxy.get_ref().1.alpn_protocol().map(String::from_utf8_lossy);
        assert_eq!(protocol.as_deref(), chosen, "{offered:?}");
        assert_eq!(ask(&mut proxy, GOOD_TARGET, &[]).await, 200);
    }
    let client = RawClient::connect(stage.gateway.proxy()).await;
    let own = client.address();
    let connecting =
        TlsConnector::from(offering(&front, &["h2"])).connect(front_name(), client.into_stream());
    assert!(patiently("a handshake", connecting).await.is_err(), "HTTP/2 was agreed on");
    stage.gateway.only_record_of(own).await.assert_texts(&HANDSHAKE_FAILED);
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_is_spoken_and_tls_1_1_is_not() {
    let front = Pki::new();
    let stage = Stage::good(listener(&front, true, ANYONE)).await;
    let (mut proxy, _) = secured(stage.gateway.proxy(), front.client_config_tls12()).await;
    assert_eq!(proxy.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(ask(&mut proxy, GOOD_TARGET, &[]).await, 200);
    for minor in [0, 1, 2] {
        let mut old = RawClient::connect(stage.gateway.proxy()).await;
        old.send(&old_hello(&front, minor)).await;
        let own = old.address();
        let mut said = Vec::new();
        let _ = patiently("the end", old.into_stream().read_to_end(&mut said)).await;
        let protocol_version = [2, 70];
        assert_eq!((said.first(), said.get(5..)), (Some(&21), Some(&protocol_version[..])), "{said:?}");
        stage.gateway.only_record_of(own).await.assert_texts(&HANDSHAKE_FAILED);
    }
    stage.gateway.wait_for_metric("la_gateway_connected_clients", &[], 1.0).await;
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_and_slow_heads_within_tls_end_at_the_deadline_of_the_head() {
    let front = Pki::new();
    let limits = "[limits]\nhead_timeout = \"2s\"\n";
    let stage = Stage::good(listener(&front, true, &format!("{ANYONE}{limits}"))).await;
    let hello = client_hello(front.client_config(), FRONT);
    let mut slow = Vec::new();
    for begun in [1, 5, hello.len() - 1, hello.len()] {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        client.send(&hello[..begun]).await;
        slow.push((client.address(), client.into_stream()));
    }
    let mut heads = Vec::new();
    for begun in [&b""[..], b"CONNECT ", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n"] {
        let (mut proxy, own) = secured(stage.gateway.proxy(), front.client_config()).await;
        proxy.write_all(begun).await.expect("a part of a head sent");
        heads.push((proxy, own));
    }
    stage.serve_a_good_client(&[]).await;
    for (mut proxy, own) in heads {
        assert_refusal(&wire::read_answer_until_close(&mut proxy).await.expect("an answer"), 408);
        stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "head_timeout")]);
    }
    for (own, mut stream) in slow {
        // What a server says to a hello it has, or nothing; then the end, in order or not.
        let mut said = Vec::new();
        let _ = patiently("the end", stream.read_to_end(&mut said)).await;
        assert!(!said.starts_with(b"HTTP"), "an answer in plain to the beginning of a handshake");
        stage.gateway.only_record_of(own).await.assert_texts(&HANDSHAKE_FAILED);
    }
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    assert_eq!(stage.azure.connections(), 1);
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_megabytes_pass_both_ways_through_tls_in_tls() {
    let front = Pki::new();
    let stage = Stage::good(listener(&front, true, ANYONE)).await;
    let (mut proxy, own) = secured(stage.gateway.proxy(), front.client_config()).await;
    assert_eq!(ask(&mut proxy, GOOD_TARGET, &[]).await, 200);
    let mut inner = inside(proxy, stage.pki.client_config()).await;
    let content = Content::new(9, TEN_MEGABYTES).all();
    let answer = wire::exchange(&mut inner, "POST /hash", &[("Host", GOOD)], &content).await;
    assert_eq!(answer.text(), hash_of(Content::new(9, TEN_MEGABYTES)));
    let path = format!("GET /bytes/{TEN_MEGABYTES}");
    let answer = wire::exchange(&mut inner, &path, &[("Host", GOOD)], b"").await;
    assert!(answer.body == Content::new(0, TEN_MEGABYTES).all(), "{} bytes came", answer.body.len());
    inner.shutdown().await.expect("an orderly end");
    drop(inner);
    let record = stage.gateway.only_record_of(own).await;
    assert!(record.number("bytes_up") > TEN_MEGABYTES && record.number("bytes_down") > TEN_MEGABYTES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_tunnel_in_tls_carries_the_other_direction_to_its_end() {
    let front = Pki::new();
    let stage = RawStage::new(listener(&front, true, ANYONE)).await;
    let content = Content::new(7, TEN_MEGABYTES).all();
    for finisher in ["client", "origin"] {
        let (mut near, own) = secured(stage.gateway.proxy(), front.client_config()).await;
        assert_eq!(ask(&mut near, GOOD_TARGET, &[]).await, 200);
        let mut far = stage.say_hello(&mut near, &stage.hellos).await;
        let sent = content.clone();
        let received = if finisher == "client" {
            near.shutdown().await.expect("an orderly end");
            assert!(read_all(&mut far).await.is_empty(), "the end is passed on");
            let writer = tokio::spawn(async move { far.write_all(&sent).await });
            let received = read_all(&mut near).await;
            writer.await.expect("no panic").expect("all sent");
            received
        } else {
            far.shutdown().await.expect("an orderly end");
            assert!(read_all(&mut near).await.is_empty(), "the end is passed on");
            let writer = tokio::spawn(async move {
                near.write_all(&sent).await?;
                near.shutdown().await
            });
            let received = read_all(&mut far).await;
            writer.await.expect("no panic").expect("all sent");
            received
        };
        assert!(received == content, "{finisher} first: {} bytes came", received.len());
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("reason", "finished"), ("verdict", "carried")]);
    }
}

fn front_name() -> ServerName<'static> {
    ServerName::try_from(FRONT).expect("a host name")
}

/// Does a TLS handshake with the gateway; returns the stream and our own address.
async fn secured(proxy: SocketAddr, config: Arc<ClientConfig>) -> (TlsStream<TcpStream>, SocketAddr) {
    let client = RawClient::connect(proxy).await;
    let own = client.address();
    let connecting = TlsConnector::from(config).connect(front_name(), client.into_stream());
    (patiently("a handshake with the gateway", connecting).await.expect("a handshake"), own)
}

/// Sends a CONNECT and returns the status of the answer.
async fn ask(proxy: &mut TlsStream<TcpStream>, target: &str, headers: &[(&str, &str)]) -> u16 {
    proxy.write_all(&connect_request(target, headers)).await.expect("a request sent");
    let head = wire::read_head(proxy).await.expect("an answer");
    assert!(head.status != 200 || head.leftover.is_empty(), "bytes from nowhere");
    head.status
}

/// Does a TLS handshake with the origin inside that with the gateway.
async fn inside(proxy: TlsStream<TcpStream>, config: Arc<ClientConfig>) -> TlsStream<TlsStream<TcpStream>> {
    let name = ServerName::try_from(GOOD).expect("a host name");
    let connecting = TlsConnector::from(config).connect(name, proxy);
    patiently("a handshake in the tunnel", connecting).await.expect("a handshake")
}

fn offering(front: &Pki, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(front.client_config());
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Returns a hello of TLS 1.2 that was made to offer SSL 3.0 (0), TLS 1.0 (1) or TLS 1.1 (2) alone.
fn old_hello(front: &Pki, minor: u8) -> Vec<u8> {
    let mut hello = client_hello(front.client_config_tls12(), FRONT);
    let supported_versions = [0, 43, 0, 3, 2, 3, 3];
    let offered = hello.windows(7).position(|window| window == supported_versions);
    for version in [Some(9), offered.map(|at| at + 5)].into_iter().flatten() {
        assert_eq!(hello[version..version + 2], [3, 3], "TLS 1.2");
        hello[version + 1] = minor;
    }
    hello
}
