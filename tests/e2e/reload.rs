//! Another configuration by SIGHUP: who may do what from then on, and what the open tunnels become.

use std::ffi::OsStr;

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::run_to_end;
use end_to_end::origin::RawOrigin;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::record::Record;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;

const USERS: &str = "[role.users]\nusers_file = \"users\"\n";
const ENDING: &str = "[reload]\nend_tunnels = \"denied\"\n";
const ANN: (&str, &str) = ("ann", "one");
const BOB: (&str, &str) = ("bob", "two");

/// Roles and users; names lead to the stage's origin.
fn config(stage: &Stage, text: &str, users: &[(&str, &str)]) -> Config {
    Config::new(text).file("users", &users_file(users)).hosts(&[GOOD], stage.azure.address())
}

async fn begin(text: &str, users: &[(&str, &str)]) -> Stage {
    Stage::good(Config::new(text).file("users", &users_file(users))).await
}

async fn status(stage: &Stage, (name, password): (&str, &str)) -> u16 {
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[("Proxy-Authorization", &basic(name, password))])).await;
    client.verdict().await.map_or_else(|answer| answer.head.status, |tunnel| tunnel.head.status)
}

async fn open(stage: &Stage, (name, password): (&str, &str)) -> TlsStream<TcpStream> {
    let headers = [("Proxy-Authorization", &*basic(name, password))];
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &headers).await;
    tunnel.tls(GOOD, stage.pki.client_config()).await
}

/// Asserts that a tunnel carries a request and its answer.
async fn assert_carries(stream: &mut TlsStream<TcpStream>) {
    let answer = wire::exchange(stream, "GET /bytes/50000", &[("Host", GOOD)], b"").await;
    assert_eq!((answer.head.status, answer.body.len()), (200, 50_000));
}

/// Waits until a tunnel is cut, and asserts how its record says so.
async fn assert_revoked(stage: &Stage, mut stream: TlsStream<TcpStream>) {
    let address = stream.get_ref().0.local_addr().expect("a bound address");
    let _ = patiently("the tunnel is cut", stream.read_to_end(&mut Vec::new())).await;
    let record = stage.gateway.record_of(address).await;
    record.assert_texts(&[("reason", "revoked"), ("verdict", "carried"), ("fault", "policy")]);
    assert_eq!(record.number("event_id"), 117);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_removed_user_is_refused_at_once_and_its_open_tunnel_goes_on_unless_configured() {
    let stage = begin(USERS, &[ANN, BOB]).await;
    let mut of_ann = open(&stage, ANN).await;
    stage.gateway.reload(&config(&stage, USERS, &[BOB]), "applied").await;
    assert_eq!((status(&stage, ANN).await, status(&stage, BOB).await), (407, 200));
    assert_carries(&mut of_ann).await;
    stage.gateway.reload(&config(&stage, USERS, &[ANN, BOB]), "applied").await;
    assert_eq!(status(&stage, ANN).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_the_only_user_that_the_command_removes_is_refused_after_the_reload_and_the_policy_says_so() {
    let stage = begin(USERS, &[ANN]).await;
    assert_eq!(status(&stage, ANN).await, 200);
    let remove = ["users", "remove", "ann", "--file", "users"].map(OsStr::new);
    let done = run_to_end(&remove, stage.gateway.folder()).await;
    assert!(done.status.success(), "{done:?}");
    stage.gateway.hang_up();
    stage.gateway.wait_for_metric("la_gateway_reloads_total", &[("outcome", "applied")], 1.0).await;
    // No role has users any more, so the network alone decides, and no role is for it.
    assert_eq!(status(&stage, ANN).await, 403);
    let nobody =
        |record: &Record| record.event_id() == Some(118) && record.text("message").contains("users (nobody)");
    stage.gateway.wait_for_record("the policy in force", nobody).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_the_tunnels_of_a_removed_user_end_where_configured_and_no_others_do() {
    let text = format!("{ENDING}{USERS}");
    let stage = begin(&text, &[ANN, BOB]).await;
    let users = std::fs::read_to_string(stage.gateway.folder().join("users")).expect("a users file");
    let of_bob = users.lines().find(|line| line.starts_with("bob:")).expect("a line");
    let only_bob = config(&stage, &text, &[]).file("users", of_bob);
    let (of_ann, mut of_bob) = (open(&stage, ANN).await, open(&stage, BOB).await);
    stage.gateway.reload(&only_bob, "applied").await;
    assert_revoked(&stage, of_ann).await;
    assert_eq!(status(&stage, ANN).await, 407);
    assert_carries(&mut of_bob).await;
    let ended = ("la_gateway_tunnel_endings_total", [("reason", "revoked")]);
    assert_eq!(stage.gateway.metric(ended.0, &ended.1).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_password_that_was_changed_is_worth_nothing_although_it_was_proven() {
    let text = format!("{ENDING}{USERS}");
    let stage = begin(&text, &[ANN]).await;
    let of_ann = open(&stage, ANN).await;
    assert_eq!(status(&stage, ANN).await, 200);
    stage.gateway.reload(&config(&stage, &text, &[("ann", "other")]), "applied").await;
    assert_eq!((status(&stage, ANN).await, status(&stage, ("ann", "other")).await), (407, 200));
    assert_revoked(&stage, of_ann).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_proven_is_not_hashed_again_after_a_reload() {
    let stage = begin(USERS, &[ANN]).await;
    assert_eq!(status(&stage, ANN).await, 200);
    let users = std::fs::read_to_string(stage.gateway.folder().join("users")).expect("a users file");
    let more = config(&stage, &format!("{USERS}[role.more]\nanonymous_from = [\"127.0.0.9/32\"]\n"), &[]);
    stage.gateway.reload(&more.file("users", &users), "applied").await;
    assert_eq!(status(&stage, ANN).await, 200);
    let hashed = ("la_gateway_password_checks_total", [("result", "right")]);
    assert_eq!(stage.gateway.metric(hashed.0, &hashed.1).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_removed_role_and_a_narrowed_one_hold_at_once_and_for_open_tunnels_where_configured() {
    let text = format!("{ENDING}{USERS}{ANYONE}");
    let narrowed = "[role.users]\nusers_file = \"users\"\nbundles = []\nhosts = [\"packages.example\"]\n";
    let stage = begin(&text, &[ANN]).await;
    let of_ann = open(&stage, ANN).await;
    let anonymous = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let anonymous = anonymous.tls(GOOD, stage.pki.client_config()).await;
    stage.gateway.reload(&config(&stage, &format!("{ENDING}{narrowed}"), &[ANN]), "applied").await;
    assert_revoked(&stage, of_ann).await;
    assert_revoked(&stage, anonymous).await;
    assert_eq!(status(&stage, ANN).await, 403);
    assert_refusal(&refused(stage.gateway.proxy(), GOOD_TARGET, &[]).await.0, 407);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_who_is_being_admitted_while_the_reload_comes_is_judged_by_the_new_rules() {
    let relay = RawOrigin::bind().await;
    let text = format!("{USERS}[relay]\nproxies = [\"http://{}\"]\n", relay.address());
    let with = |users| Config::new(&text).file("users", &users_file(users));
    let gateway = Gateway::start(&with(&[ANN, BOB])).await;
    let mut client = RawClient::connect(gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[("Proxy-Authorization", &basic(ANN.0, ANN.1))])).await;
    let mut asked = relay.accept().await;
    gateway.reload(&with(&[BOB]), "applied").await;
    asked.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("an answer sent");
    let (address, answer) = (client.address(), client.refusal().await.expect("an answer"));
    assert_refusal(&answer, 407);
    gateway
        .only_record_of(address)
        .await
        .assert_texts(&[("reason", "credentials_rejected"), ("user", "ann")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_limits_hold_at_once_and_open_tunnels_count_towards_them() {
    let stage = begin(ANYONE, &[]).await;
    let held = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let one = config(&stage, &format!("{ANYONE}[limits]\ntunnels = 1\n"), &[]);
    stage.gateway.reload(&one, "applied").await;
    assert_refusal(&refused(stage.gateway.proxy(), GOOD_TARGET, &[]).await.0, 503);
    stage.gateway.reload(&config(&stage, &format!("{ANYONE}[limits]\ntunnels = 2\n"), &[]), "applied").await;
    stage.serve_a_good_client(&[]).await;
    drop(held);
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fewer_connections_hold_once_the_open_ones_are_gone_and_more_hold_at_once() {
    let stage = begin(&format!("{ANYONE}[limits]\nconnections = 2\n"), &[]).await;
    let held = [(); 2].map(|()| RawClient::connect(stage.gateway.proxy()));
    let [first, second] = held;
    let (first, _second) = (first.await, second.await);
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 2.0).await;
    let one = config(&stage, &format!("{ANYONE}[limits]\nconnections = 1\n"), &[]);
    stage.gateway.reload(&one, "applied").await;
    drop(first);
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 1.0).await;
    let mut waiting = RawClient::connect(stage.gateway.proxy()).await;
    waiting.send(&connect_request(GOOD_TARGET, &[])).await;
    for _ in 0..20 {
        stage.gateway.metrics().await;
        assert_eq!(stage.azure.connections(), 0, "there was no room");
    }
    let three = config(&stage, &format!("{ANYONE}[limits]\nconnections = 3\n"), &[]);
    stage.gateway.reload(&three, "applied").await;
    waiting.tunnel().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_tunnel_keeps_its_times_and_a_new_one_has_the_new() {
    let stage = begin(ANYONE, &[]).await;
    let mut old = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[])
        .await
        .tls(GOOD, stage.pki.client_config())
        .await;
    let short = config(&stage, &format!("{ANYONE}[tunnel]\nidle = \"100ms\"\n"), &[]);
    stage.gateway.reload(&short, "applied").await;
    let new = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = new.address;
    let mut new = new.tls(GOOD, stage.pki.client_config()).await;
    let _ = patiently("the new tunnel is idle", new.read_to_end(&mut Vec::new())).await;
    stage.gateway.record_of(address).await.assert_texts(&[("reason", "idle")]);
    assert_carries(&mut old).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_the_drain_limit_in_force_is_the_last_one_that_was_taken() {
    let mut stage = begin(&format!("{ANYONE}[tunnel]\ndrain = \"1h\"\n"), &[]).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let short = config(&stage, &format!("{ANYONE}[tunnel]\ndrain = \"100ms\"\n"), &[]);
    stage.gateway.reload(&short, "applied").await;
    stage.gateway.terminate();
    stage.gateway.record_of(address).await.assert_texts(&[("reason", "drained")]);
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    drop(tunnel);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_goes_on_speaks_what_is_written_now_and_a_new_one_waits_for_a_restart() {
    let front = Pki::new();
    let files = front.pem_files("gateway", &["gateway.example", "127.0.0.1"]);
    let tls = |more: &str| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!(
            "[sandbox]\nenabled = false\n[[listener]]\naddress = \"127.0.0.1:0\"\n{more}tls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n{ANYONE}"
        )
    };
    let stage = begin(&format!("[sandbox]\nenabled = false\n{ANYONE}"), &[]).await;
    stage.gateway.reload(&config(&stage, &tls("plain = false\n"), &[]), "applied").await;
    assert_refusal(&refused(stage.gateway.proxy(), GOOD_TARGET, &[]).await.0, 400);
    let socket = TcpStream::connect(stage.gateway.proxy()).await.expect("a connection");
    let name = "gateway.example".try_into().expect("a name");
    let connecting = tokio_rustls::TlsConnector::from(front.client_config()).connect(name, socket);
    let mut proxy = patiently("a handshake", connecting).await.expect("TLS at the same port");
    proxy.write_all(&connect_request(GOOD_TARGET, &[])).await.expect("a request sent");
    assert_eq!(wire::read_head(&mut proxy).await.expect("an answer").status, 200);

    let two = format!("{}[[listener]]\naddress = \"127.0.0.2:0\"\n", tls(""));
    stage.gateway.reload(&config(&stage, &two, &[]), "applied").await;
    stage.serve_a_good_client(&[]).await;
    let waits = stage.gateway.wait_for_record("what waits", |record| record.event_id() == Some(132)).await;
    assert!(waits.text("message").contains("127.0.0.2:0"), "{waits:?}");
    assert_eq!(stage.gateway.metric("la_gateway_reload_waiting", &[]).await, 1.0);
    stage.gateway.reload(&config(&stage, &tls(""), &[]), "applied").await;
    assert_eq!(stage.gateway.metric("la_gateway_reload_waiting", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_at_a_port_that_the_sandbox_keeps_shut_is_refused_with_what_to_do() {
    let stage = begin(ANYONE, &[]).await;
    let in_force = |line: &String| line.contains("sandbox: in force");
    if !stage.gateway.log().lines().iter().any(in_force) {
        println!("skipped: this kernel's Landlock has no TCP rules");
        return;
    }
    let relay = format!("{ANYONE}[relay]\nproxies = [\"http://127.0.0.9:3999\"]\n");
    stage.gateway.reload(&config(&stage, &relay, &[]), "refused").await;
    let said = stage.gateway.wait_for_record("why", |record| record.event_id() == Some(131)).await;
    assert!(said.text("message").contains("port 3999: the sandbox"), "{said:?}");
    assert!(said.text("message").contains("restart"), "{said:?}");
    stage.serve_a_good_client(&[]).await;
}
