//! The end of a gateway: readiness first, the lame-duck time, open tunnels, and what is cut.

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::patience::patiently;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

fn patient(lame_duck: &str, drain: &str) -> Config {
    Config::new(&format!("{ANYONE}[tunnel]\ndrain = \"{drain}\"\nlame_duck = \"{lame_duck}\"\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_lame_duck_time_readiness_is_red_and_clients_are_still_served() {
    let mut stage = Stage::good(patient("1h", "1h")).await;
    assert_eq!(stage.gateway.get("/readyz").await.head.status, 200);
    stage.gateway.terminate();
    stage.gateway.wait_for_record("the lame-duck time", |record| is_draining(record, "lame-duck")).await;
    assert_eq!(stage.gateway.get("/readyz").await.head.status, 503);
    assert_eq!(stage.gateway.get("/healthz").await.head.status, 200);
    for _ in 0..3 {
        let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
        let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
        let answer = wire::exchange(&mut stream, "GET /bytes/1000", &[("Host", GOOD)], b"").await;
        assert_eq!((answer.head.status, answer.body.len()), (200, 1000));
    }
    let status = stage.gateway.status().await;
    assert_eq!((status["state"].as_str(), status["ready"].as_bool()), (Some("lame-duck"), Some(false)));
    stage.gateway.terminate();
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_lame_duck_time_nothing_is_accepted_and_tunnels_go_on() {
    let mut stage = Stage::good(patient("1s", "1h")).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    let drained = stage.gateway.command(&["drain"]).await;
    assert!(drained.status.success(), "{drained:?}");
    assert!(String::from_utf8_lossy(&drained.stdout).contains("lame-duck"), "{drained:?}");
    patiently("the listener is closed", async {
        while TcpStream::connect(stage.gateway.proxy()).await.is_ok() {}
    })
    .await;
    let status = stage.gateway.status().await;
    assert_eq!((status["state"].as_str(), status["tunnels"].as_u64()), (Some("draining"), Some(1)));
    let answer = wire::exchange(&mut stream, "GET /bytes/1000", &[("Host", GOOD)], b"").await;
    assert_eq!(answer.body.len(), 1000);
    stream.shutdown().await.expect("an orderly end");
    drop(stream);
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(stopped(&stage).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_tunnels_that_never_end_are_cut_at_the_limit_and_the_last_record_counts_them() {
    let mut stage = Stage::good(patient("0s", "1s")).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
        tunnels.push(tunnel.tls(GOOD, stage.pki.client_config()).await);
    }
    stage.gateway.terminate();
    for mut tunnel in tunnels {
        let _ = patiently("the tunnel is cut", tunnel.read_to_end(&mut Vec::new())).await;
    }
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(stopped(&stage).await, 3);
    let cut = stage.gateway.access_records();
    assert_eq!(cut.iter().filter(|record| record.is("reason", "drained")).count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_cuts_and_counts() {
    let mut stage = Stage::good(patient("0s", "1h")).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    stage.gateway.terminate();
    stage.gateway.wait_for_record("draining", |record| is_draining(record, "no new connections")).await;
    stage.gateway.terminate();
    let _ = patiently("the tunnel is cut", stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(stopped(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_command_the_first_signal_cuts() {
    let mut stage = Stage::good(patient("0s", "1h")).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    assert!(stage.gateway.command(&["drain"]).await.status.success());
    stage.gateway.terminate();
    let _ = patiently("the tunnel is cut", stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(stopped(&stage).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_accepted_before_the_drain_and_asks_after_it_is_served() {
    let stage = Stage::good(patient("0s", "1h")).await;
    let mut early = RawClient::connect(stage.gateway.proxy()).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 1.0).await;
    stage.gateway.terminate();
    stage.gateway.wait_for_record("draining", |record| is_draining(record, "no new connections")).await;
    early.send(&connect_request(GOOD_TARGET, &[])).await;
    let mut stream = early.tunnel().await.tls(GOOD, stage.pki.client_config()).await;
    let answer = wire::exchange(&mut stream, "GET /bytes/1000", &[("Host", GOOD)], b"").await;
    assert_eq!(answer.body.len(), 1000);
}

fn is_draining(record: &end_to_end::record::Record, says: &str) -> bool {
    record.event_id() == Some(115) && record.text("message").contains(says)
}

/// Returns how many tunnels the last record says were cut.
async fn stopped(stage: &Stage) -> u64 {
    stage.gateway.wait_for_record("the end", |record| record.event_id() == Some(102)).await.number("cut")
}
