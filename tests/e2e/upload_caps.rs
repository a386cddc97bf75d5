//! Upload caps: a host that agents only download from takes no more than a request's worth of bytes.

use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::hello::hellos;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::stage::GOOD;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::read_all;
use crate::stage::read_exactly;

const CAPPED: &str = "packagesofmine.blob.core.windows.net";
const CAP: usize = 256 * 1024;
const TEN_MEGABYTES: u64 = 10 * 1000 * 1000;

fn capped() -> Config {
    Config::new(
        r#"
[role.agents]
anonymous_from = ["127.0.0.0/8"]
upload_caps = { "{account}.blob.core.windows.net" = "256 KiB" }
"#,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_up_to_the_cap_arrives_and_one_byte_more_ends_the_tunnel() {
    let stage = RawStage::reaching(capped(), &[CAPPED, GOOD]).await;
    let series = stage.gateway.metrics().await;
    let hellos = hellos(&Pki::new(), CAPPED);
    let content = Content::new(1, CAP as u64).all();
    let left = CAP - hellos.client.len();
    for round in 1..=2 {
        let (mut near, mut far, own) = stage.open_to(CAPPED, &hellos).await;
        near.write_all(&content[..left]).await.expect("bytes sent");
        assert!(read_exactly(&mut far, left).await == content[..left], "other bytes arrived");
        far.write_all(b"still open").await.expect("bytes sent");
        assert_eq!(read_exactly(&mut near, 10).await, b"still open");
        near.write_all(b"!").await.expect("a byte sent");
        let mut rest = Vec::new();
        let _ = patiently("the end at the origin", far.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{} bytes beyond the cap arrived", rest.len());
        let _ = patiently("the end at the client", near.read_to_end(&mut rest)).await;
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("reason", "upload_cap"), ("fault", "policy"), ("verdict", "carried")]);
        assert_eq!((record.number("event_id"), record.number("bytes_up")), (117, CAP as u64));
        let ended = [("reason", "upload_cap")];
        stage.gateway.wait_for_metric("la_gateway_tunnel_endings_total", &ended, f64::from(round)).await;
    }
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_what_fits_the_cap_arrives() {
    let stage = RawStage::reaching(capped(), &[CAPPED, GOOD]).await;
    let hellos = hellos(&Pki::new(), CAPPED);
    let content = Content::new(2, 4 * CAP as u64).all();
    let (near, mut far, own) = stage.open_to(CAPPED, &hellos).await;
    let (mut from_far, mut to_far) = near.into_split();
    let sent = content.clone();
    let writer = tokio::spawn(async move { to_far.write_all(&sent).await });
    let mut received = Vec::new();
    let _ = patiently("the end at the origin", far.read_to_end(&mut received)).await;
    let _ = patiently("the end at the client", from_far.read_to_end(&mut Vec::new())).await;
    let _ = writer.await.expect("no panic");
    let left = CAP - hellos.client.len();
    assert_eq!(received.len(), left, "bytes that fit the cap");
    assert!(received == content[..left], "other bytes arrived");
    let record = stage.gateway.only_record_of(own).await;
    record.assert_texts(&[("reason", "upload_cap")]);
    assert_eq!(record.number("bytes_up"), CAP as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_hosts_are_not_capped() {
    let stage = RawStage::reaching(capped(), &[CAPPED, GOOD]).await;
    let content = Content::new(3, 16 * CAP as u64).all();
    let (mut near, mut far, own) = stage.open().await;
    let sent = content.clone();
    let writer = tokio::spawn(async move {
        near.write_all(&sent).await?;
        near.shutdown().await?;
        Ok::<_, std::io::Error>(near)
    });
    assert!(read_all(&mut far).await == content, "other bytes arrived");
    drop(far);
    drop(writer.await.expect("no panic").expect("all sent"));
    stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "finished")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_client_downloads_what_it_likes_and_uploads_to_the_cap() {
    let stage = Stage::new(capped(), &[CAPPED, GOOD]).await;
    let target = format!("{CAPPED}:443");
    let open = async || {
        let tunnel = Tunnel::open(stage.gateway.proxy(), &target, &[]).await;
        let own = tunnel.address;
        (tunnel.tls(CAPPED, stage.pki.client_config()).await, own)
    };
    let (mut stream, own) = open().await;
    for _ in 0..3 {
        let path = format!("GET /bytes/{TEN_MEGABYTES}");
        let answer = wire::exchange(&mut stream, &path, &[("Host", CAPPED)], b"").await;
        assert!(answer.body == Content::new(0, TEN_MEGABYTES).all(), "{} bytes came", answer.body.len());
    }
    let answer = wire::exchange(&mut stream, "PUT /container/blob", &[("Host", CAPPED)], &[7; CAP / 2]).await;
    assert_eq!(answer.head.status, 201);
    stream.shutdown().await.expect("an orderly end");
    drop(stream);
    let record = stage.gateway.only_record_of(own).await;
    assert!(record.number("bytes_down") > 3 * TEN_MEGABYTES && !record.is("reason", "upload_cap"));

    let (mut stream, own) = open().await;
    wire::send_head(&mut stream, "PUT /container/blob", &[("Host", CAPPED)], 8 * CAP as u64).await;
    let sending =
        async { while stream.write_all(&[7; 16 * 1024]).await.is_ok() && stream.flush().await.is_ok() {} };
    patiently("the tunnel is ended", sending).await;
    let record = stage.gateway.only_record_of(own).await;
    record.assert_texts(&[("reason", "upload_cap"), ("host", CAPPED)]);
    assert!(record.number("bytes_up") <= CAP as u64, "{record:?}");
    stage.serve_a_good_client(&[]).await;
}
