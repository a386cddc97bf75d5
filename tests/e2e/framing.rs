//! Rows F01 to F13: bodies, pipelines, early bytes, half-closed tunnels and resets.

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::gateway::Gateway;
use end_to_end::hello::hellos;
use end_to_end::origin::BlackHole;
use end_to_end::origin::reset;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::MORE_THAN_BUFFERS;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::read_all;
use crate::stage::read_exactly;
use crate::stage::write_until_stalled;
use crate::table;
use crate::table::Row;

const MEBIBYTE: u64 = 1024 * 1024;

fn fields(id: &'static str, statuses: &'static [u16], blocks: &[&[u8]]) -> Vec<Row> {
    blocks.iter().map(|block| Row::fields(id, GOOD_TARGET, block, statuses)).collect()
}

async fn run(rows: impl IntoIterator<Item = Vec<Row>>) {
    let stage = Stage::good(Config::new(ANYONE)).await;
    table::run(&stage, &[], &rows.into_iter().flatten().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_to_f03_a_connect_with_a_body_or_a_strange_length_is_refused() {
    let with_body = |head: &str| {
        let mut row = Row::fields("f01", GOOD_TARGET, head.as_bytes(), &[400]);
        row.bytes.extend_from_slice(b"5\r\nhello\r\n0\r\n\r\n");
        row
    };
    let lengths: &[&[u8]] = &[
        b"Content-Length:\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -0\r\n",
        b"Content-Length: 5,5\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: 0, 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 0\r\nContent-Length: 5\r\n",
        b"Content-Length: 18446744073709551617\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
    ];
    let codings: &[&[u8]] = &[
        b"Transfer-Encoding: Chunked\r\n",
        b"Transfer-Encoding: chunked,\r\n",
        b"Transfer-Encoding: chunked ; q\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding:\tchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding:\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ];
    run([
        vec![with_body("Content-Length: 5\r\n"), with_body("Transfer-Encoding: chunked\r\n")],
        vec![with_body("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")],
        fields("f02", &[400], lengths),
        fields("f02", &[200], &[b"Content-Length: 0\r\n"]),
        fields("f03", &[400], codings),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_f05_malformed_fields_are_refused_and_strange_ones_are_ignored() {
    let malformed: &[&[u8]] = &[
        b": x\r\n",
        b"X : y\r\n",
        b"X\x01: y\r\n",
        b"X: a\x00b\r\n",
        b"X: a\x08b\r\n",
        b"X: a\rb\r\n",
        b"X: y\r\n folded\r\n",
        b"X: y\r\n\tfolded\r\n",
        b" X: y\r\n",
        b"no colon\r\n",
        b"X(y): z\r\n",
    ];
    let large = [b"X".repeat(64 * 1024), b": y\r\n".to_vec()].concat();
    let many = b"X: y\r\n".repeat(10_000);
    let ignored: &[&[u8]] = &[
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"Connection: upgrade, Proxy-Authorization\r\n",
        b"Connection: close, connection\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Proxy-Connection: Keep-Alive\r\n",
        b"TE: trailers\r\nTrailer: x\r\n",
    ];
    run([
        fields("f04", &[400], malformed),
        fields("f04", &[400, 431], &[&large, &many]),
        fields("f05", &[200], ignored),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_credentials_count_even_when_connection_names_them() {
    let role = "[role.agents]\nusers_file = \"agents.users\"\nbundles = [\"log-analytics\"]\n";
    let config = Config::new(role).file("agents.users", &users_file(&[("agent", "secret")]));
    let stage = Stage::good(config).await;
    let authorization = basic("agent", "secret");
    let headers =
        [("Connection", "upgrade, Proxy-Authorization"), ("Proxy-Authorization", authorization.as_str())];
    stage.serve_a_good_client(&headers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_f11_bytes_behind_the_connect_arrive_once_and_first_and_the_200_is_bare() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let hello = &stage.hellos.client;
    for early in [hello.len(), hello.len() / 2, 1, 0] {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        let mut first = connect_request(GOOD_TARGET, &[]);
        first.extend_from_slice(&hello[..early]);
        client.send(&first).await;
        let tunnel = client.tunnel().await;
        assert_eq!((tunnel.head.version.as_str(), tunnel.head.leftover.len()), ("HTTP/1.1", 0));
        assert_eq!(
            (tunnel.head.header("content-length"), tunnel.head.header("transfer-encoding")),
            (None, None)
        );
        let mut near = tunnel.stream;
        near.write_all(&hello[early..]).await.expect("the rest of the hello sent");
        near.write_all(b"CONNECT is only bytes here\r\n\r\n").await.expect("bytes sent");
        let mut far = stage.origin.accept().await;
        assert_eq!(read_exactly(&mut far, hello.len()).await, *hello, "{early} bytes with the CONNECT");
        far.write_all(&stage.hellos.server).await.expect("a hello sent");
        near.shutdown().await.expect("an orderly end");
        let rest = read_all(&mut far).await;
        assert_eq!(rest, b"CONNECT is only bytes here\r\n\r\n", "{early} bytes with the CONNECT");
        drop(far);
        assert_eq!(read_all(&mut near).await, stage.hellos.server);
        let record = stage.gateway.record_of(tunnel.address).await;
        record.assert_texts(&[("reason", "finished"), ("tls_version", "1.3")]);
        assert_eq!(record.number("bytes_up"), hello.len() as u64 + 30);
        assert_eq!(record.number("bytes_down"), stage.hellos.server.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_to_f09_nothing_behind_a_refused_request_is_looked_at() {
    let role = "[role.agents]\nusers_file = \"agents.users\"\nbundles = [\"log-analytics\"]\n";
    let config = Config::new(role).file("agents.users", &users_file(&[("agent", "secret")]));
    let stage = RawStage::new(config).await;
    let (right, wrong) = (basic("agent", "secret"), basic("agent", "wrong"));
    let (right, wrong) =
        ([("Proxy-Authorization", right.as_str())], [("Proxy-Authorization", wrong.as_str())]);
    let denied = connect_request("evil.example:443", &right);
    let (good, bare) = (connect_request(GOOD_TARGET, &right), connect_request(GOOD_TARGET, &[]));
    let cases = [
        ("f07", [&denied[..], &good].concat(), 403),
        ("f08", [&bare[..], &stage.hellos.client].concat(), 407),
        ("f09", [&denied[..], &bare].concat(), 403),
        ("f09", [&connect_request(GOOD_TARGET, &wrong)[..], &good].concat(), 407),
    ];
    for (row, bytes, status) in cases {
        let mut client = RawClient::connect(stage.gateway.proxy()).await;
        let address = client.address();
        client.send(&bytes).await;
        assert_refusal(&client.refusal().await.expect("an answer"), status);
        stage.gateway.record_of(address).await;
        let records = stage.gateway.access_records();
        assert_eq!(records.iter().filter(|record| record.is_from(address)).count(), 1, "{row}");
        assert!(!stage.origin.is_called().await, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_what_a_client_sends_before_the_200_is_bounded() {
    let hole = BlackHole::new();
    let config = Config::new(&format!("{ANYONE}[tunnel]\nconnect = \"8s\"\n")).hosts(&[GOOD], hole.address());
    let gateway = Gateway::start(&config).await;
    let mut client = RawClient::connect(gateway.proxy()).await;
    let address = client.address();
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    client.send(&hellos(&Pki::new(), GOOD).client).await;
    let mut stream = client.into_stream();
    let sent = write_until_stalled(&mut stream).await;
    assert!(sent < MORE_THAN_BUFFERS, "{sent} bytes went into the gateway");
    let answer = wire::read_answer_until_close(&mut stream).await.expect("an answer");
    assert_refusal(&answer, 504);
    gateway.record_of(address).await.assert_texts(&[("reason", "connect_timeout"), ("fault", "network")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_tunnel_whose_reader_does_not_read_pushes_back() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let (mut near, mut far, _) = stage.open().await;
    let sent = write_until_stalled(&mut near).await;
    assert!(sent < MORE_THAN_BUFFERS, "{sent} bytes went into the gateway");
    near.shutdown().await.expect("an orderly end");
    assert_eq!(read_all(&mut far).await.len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_half_closed_tunnel_carries_the_other_direction_to_its_end() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let content = Content::new(7, 10 * MEBIBYTE).all();
    for finisher in ["client", "origin"] {
        let (near, far, address) = stage.open().await;
        let (mut done, mut talker) = if finisher == "client" { (near, far) } else { (far, near) };
        done.shutdown().await.expect("an orderly end");
        assert!(read_all(&mut talker).await.is_empty(), "the end is passed on");
        let (sent, expected) = (content.clone(), content.len());
        let writer = tokio::spawn(async move {
            talker.write_all(&sent).await.expect("all bytes sent");
            talker.shutdown().await.expect("an orderly end");
        });
        let received = read_all(&mut done).await;
        writer.await.expect("no panic");
        assert!(received == content, "{finisher} first: {} of {expected} bytes", received.len());
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("reason", "finished"), ("verdict", "carried")]);
        let (up, down) = (stage.hellos.client.len() as u64, stage.hellos.server.len() as u64);
        let (more_up, more_down) =
            if finisher == "client" { (0, expected as u64) } else { (expected as u64, 0) };
        assert_eq!(
            (record.number("bytes_up"), record.number("bytes_down")),
            (up + more_up, down + more_down)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_client_may_end_right_behind_its_request() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    client.send(&[connect_request(GOOD_TARGET, &[]), stage.hellos.client.clone()].concat()).await;
    client.finish().await;
    let mut far = stage.origin.accept().await;
    assert_eq!(read_exactly(&mut far, stage.hellos.client.len()).await, stage.hellos.client);
    far.write_all(&stage.hellos.server).await.expect("a hello sent");
    assert!(read_all(&mut far).await.is_empty(), "the end is passed on");
    far.write_all(&Content::new(8, MEBIBYTE).all()).await.expect("bytes sent");
    drop(far);
    let mut tunnel = client.tunnel().await;
    let received = [tunnel.head.leftover, read_all(&mut tunnel.stream).await].concat();
    assert_eq!(received.len() as u64, stage.hellos.server.len() as u64 + MEBIBYTE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_reset_of_one_side_ends_the_other_and_leaves_nothing_open() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    for (who, reason) in [("client", "client_reset"), ("origin", "origin_reset")] {
        for _ in 0..20 {
            let (near, far, address) = stage.open().await;
            let (gone, mut left) = if who == "client" { (near, far) } else { (far, near) };
            reset(gone);
            let mut rest = Vec::new();
            let end = end_to_end::patience::patiently("the end", left.read_to_end(&mut rest)).await;
            assert!(end.is_err() || rest.is_empty(), "bytes from nowhere");
            let record = stage.gateway.record_of(address).await;
            record.assert_texts(&[("reason", reason), ("verdict", "carried")]);
        }
    }
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_client_that_resets_before_its_200_leaves_a_record() {
    let hole = BlackHole::new();
    let config = Config::new(&format!("{ANYONE}[tunnel]\nconnect = \"5s\"\n")).hosts(&[GOOD], hole.address());
    let gateway = Gateway::start(&config).await;
    let mut client = RawClient::connect(gateway.proxy()).await;
    let address = client.address();
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    gateway.wait_for_metric("la_gateway_active_client_connections", &[], 1.0).await;
    reset(client.into_stream());
    gateway.record_of(address).await.assert_texts(&[("verdict", "refused")]);
    gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_tls_end_the_tunnel() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    for first in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 64]] {
        let mut tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
        tunnel.stream.write_all(first).await.expect("bytes sent");
        let mut far = stage.origin.accept().await;
        assert!(read_all(&mut far).await.is_empty(), "the origin saw bytes that are no TLS");
        let record = stage.gateway.record_of(tunnel.address).await;
        record.assert_texts(&[("reason", "not_tls"), ("verdict", "carried")]);
        assert_eq!(record.number("event_id"), 402);
    }
    let mut tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    tunnel.stream.write_all(&stage.hellos.client).await.expect("a hello sent");
    let mut far = stage.origin.accept().await;
    read_exactly(&mut far, stage.hellos.client.len()).await;
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("bytes sent");
    let mut received = Vec::new();
    let _ = tunnel.stream.read_to_end(&mut received).await;
    assert!(received.is_empty(), "the client saw bytes that are no TLS");
    stage.gateway.record_of(tunnel.address).await.assert_texts(&[("reason", "origin_not_tls")]);
}
