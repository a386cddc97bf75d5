//! Row S05 and the rates: how many tunnels, connections and requests there may be.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Instant;

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::patience::patiently;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire::Answer;

use crate::stage::ANYONE;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;

const USERS: [(&str, &str); 2] = [("ann", "one"), ("bob", "two")];
const MORE: usize = 8;
/// One fewer than the bursts here. Of a whole burst at once the last may be refused: two threads may read the
/// clock in one order and ask the limiter in the other.
const FEWER: usize = 4;

/// What a crowd of requests got.
struct Answers {
    tunnels: Vec<Tunnel>,
    refusals: Vec<(Answer, SocketAddr)>,
}

/// Sends the same CONNECT on so many connections at once from this address.
async fn ask(stage: &Stage, from: [u8; 4], headers: &[(&str, &str)], count: usize) -> Answers {
    let request = connect_request(GOOD_TARGET, headers);
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(RawClient::connect_from(IpAddr::from(from), stage.gateway.proxy()).await);
    }
    for client in &mut clients {
        client.send(&request).await;
    }
    let mut answers = Answers { tunnels: Vec::new(), refusals: Vec::new() };
    for client in clients {
        let own = client.address();
        match client.verdict().await {
            Ok(tunnel) => answers.tunnels.push(tunnel),
            Err(refusal) => answers.refusals.push((refusal, own)),
        }
    }
    answers
}

/// Asserts that all these are refusals of one reason that tell when to come again, each with one record.
async fn assert_refused(stage: &Stage, refusals: &[(Answer, SocketAddr)], status: u16, reason: &str) {
    for (answer, own) in refusals {
        let id = assert_refusal(answer, status);
        let wait = answer.head.header("retry-after").expect("a time to come again");
        assert!(wait.parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{wait}");
        let record = stage.gateway.only_record_of(*own).await;
        record.assert_texts(&[("reason", reason), ("request_id", &id), ("address", "")]);
        assert_eq!(record.number("event_id"), 111);
    }
}

/// Asks again until as many tunnels are open at once as there are places.
async fn refill(stage: &Stage, places: usize) -> Vec<Tunnel> {
    patiently("all places can be taken again", async {
        loop {
            let answers = ask(stage, [127, 0, 0, 1], &[], places).await;
            if answers.refusals.is_empty() {
                return answers.tunnels;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_exactly_as_many_tunnels_are_open_as_may_be() {
    let cases = [
        ("", "[limits]\ntunnels_per_client = 5\n", 5, 429, "client_tunnels"),
        ("tunnels = 3\n", "", 3, 503, "role_tunnels"),
        ("", "[limits]\ntunnels = 4\n", 4, 503, "gateway_tunnels"),
    ];
    for (role, limits, places, status, reason) in cases {
        let stage = Stage::good(Config::new(&format!("{ANYONE}{role}{limits}"))).await;
        let series = stage.gateway.metrics().await;
        let answers = ask(&stage, [127, 0, 0, 1], &[], places + MORE).await;
        assert_eq!((answers.tunnels.len(), answers.refusals.len()), (places, MORE), "{reason}");
        assert_refused(&stage, &answers.refusals, status, reason).await;
        stage.azure.wait_for_connections(places as u64).await;
        stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], places as f64).await;
        let metrics = stage.gateway.metrics().await;
        assert_eq!(metrics.value("la_gateway_refusals_total", &[("reason", reason)]), MORE as f64);
        assert_eq!(metrics.value("la_gateway_connects_total", &[("verdict", "refused")]), MORE as f64);
        assert_eq!(metrics.value("la_gateway_connects_total", &[("verdict", "carried")]), places as f64);

        let mut tunnels = answers.tunnels;
        drop(tunnels.pop());
        tunnels.extend(refill(&stage, 1).await);
        let full = ask(&stage, [127, 0, 0, 1], &[], 1).await;
        assert_refused(&stage, &full.refusals, status, reason).await;
        assert_eq!(full.refusals.len(), 1, "one place was free, and now none is");
        drop(tunnels);
        for gauge in ["tunnels_active", "active_client_connections", "connected_clients"] {
            stage.gateway.wait_for_metric(&format!("la_gateway_{gauge}"), &[], 0.0).await;
        }
        drop(refill(&stage, places).await);
        assert_eq!(stage.gateway.metrics().await.series(), series.series());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_users_and_addresses_and_roles_are_counted_apart() {
    let text = "[role.users]\nusers_file = \"users\"\n\
                [role.network]\nanonymous_from = [\"127.0.0.0/8\"]\ntunnels = 3\n\
                [limits]\ntunnels_per_client = 2\n";
    let stage = Stage::good(Config::new(text).file("users", &users_file(&USERS))).await;
    let [ann, bob] = USERS.map(|(name, password)| basic(name, password));
    let (ann, bob) = ([("Proxy-Authorization", ann.as_str())], [("Proxy-Authorization", bob.as_str())]);
    let cases = [
        ([127, 0, 0, 2], &ann[..], 1, 1, ""),
        ([127, 0, 0, 3], &ann, 2, 1, "client_tunnels"),
        ([127, 0, 0, 2], &bob, 3, 2, "client_tunnels"),
        ([127, 0, 0, 2], &[], 3, 2, "client_tunnels"),
        ([127, 0, 0, 3], &[], 2, 1, "role_tunnels"),
        ([127, 0, 0, 4], &[], 1, 0, "role_tunnels"),
    ];
    let mut held = Vec::new();
    for (from, headers, asked, opened, reason) in cases {
        let answers = ask(&stage, from, headers, asked).await;
        assert_eq!(answers.tunnels.len(), opened, "{from:?} {headers:?}");
        let status = if reason == "role_tunnels" { 503 } else { 429 };
        assert_refused(&stage, &answers.refusals, status, reason).await;
        held.extend(answers.tunnels);
    }
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 7.0).await;
    drop(held);
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    stage.serve_a_good_client(&bob).await;
}

/// Asserts that a crowd got through as a rate of 1 a second with a burst of 5 allows since `begun`.
fn assert_rate(through: usize, begun: Instant) {
    let most = 5 + begun.elapsed().as_secs() as usize + 1;
    assert!((5..=most).contains(&through), "{through} got through, not 5 to {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_too_fast_is_told_when_to_come_again() {
    let text = format!("{ANYONE}[limits]\nconnects_per_second = 1\nburst = 5\n");
    let stage = Stage::good(Config::new(&text)).await;
    let series = stage.gateway.metrics().await;
    let begun = Instant::now();
    let answers = ask(&stage, [127, 0, 0, 2], &[], 60).await;
    assert_rate(answers.tunnels.len(), begun);
    assert_refused(&stage, &answers.refusals, 429, "rate_limited").await;
    let others = ask(&stage, [127, 0, 0, 3], &[], FEWER).await;
    assert_eq!(others.tunnels.len(), FEWER, "another client is not touched");
    stage.azure.wait_for_connections((answers.tunnels.len() + FEWER) as u64).await;
    let refused = stage.gateway.metric("la_gateway_refusals_total", &[("reason", "rate_limited")]).await;
    assert_eq!(refused, answers.refusals.len() as f64);
    patiently("the client is served again", async {
        while ask(&stage, [127, 0, 0, 2], &[], 1).await.tunnels.is_empty() {}
    })
    .await;
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
    stage.serve_a_good_client(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_asks_too_fast_is_stopped_before_any_password_is_hashed() {
    let text = "[role.users]\nusers_file = \"users\"\n\
                [limits]\nrequests_per_second_per_address = 1\nrequest_burst_per_address = 5\n\
                failed_logins_per_minute = 1000\n";
    let stage = Stage::good(Config::new(text).file("users", &users_file(&USERS))).await;
    let begun = Instant::now();
    let wrong = basic("ann", "wrong");
    let answers = ask(&stage, [127, 0, 0, 2], &[("Proxy-Authorization", &wrong)], 60).await;
    let (hashed, stopped): (Vec<_>, Vec<_>) =
        answers.refusals.into_iter().partition(|(answer, _)| answer.head.status == 407);
    assert_rate(hashed.len(), begun);
    assert_refused(&stage, &stopped, 429, "rate_limited").await;
    let checks = stage.gateway.metric("la_gateway_password_checks_total", &[]).await;
    assert_eq!(checks, hashed.len() as f64);
    assert_eq!(stage.azure.connections(), 0);
    let right = basic("ann", "one");
    let elsewhere = ask(&stage, [127, 0, 0, 3], &[("Proxy-Authorization", &right)], FEWER).await;
    let refused: Vec<_> = elsewhere.refusals.iter().map(|(answer, _)| &answer.head).collect();
    assert_eq!(elsewhere.tunnels.len(), FEWER, "another address is not touched: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_a_number_of_connections() {
    let stage = Stage::good(Config::new(&format!("{ANYONE}[limits]\nconnections_per_address = 3\n"))).await;
    let series = stage.gateway.metrics().await;
    let mut silent = Vec::new();
    for held in 1..=3 {
        silent.push(RawClient::connect_from([127, 0, 0, 2].into(), stage.gateway.proxy()).await);
        stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], held.into()).await;
    }
    let answers = ask(&stage, [127, 0, 0, 2], &[], MORE).await;
    assert_eq!(answers.refusals.len(), MORE);
    assert_refused(&stage, &answers.refusals, 429, "address_connections").await;
    assert_eq!(stage.azure.connections(), 0);
    stage.serve_a_good_client(&[]).await;
    drop(silent.pop());
    patiently("a place is free again", async {
        while ask(&stage, [127, 0, 0, 2], &[], 1).await.tunnels.is_empty() {}
    })
    .await;
    drop(silent);
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_all_connections_clients_wait_and_are_served_when_there_is_room() {
    let stage = Stage::good(Config::new(&format!("{ANYONE}[limits]\nconnections = 3\n"))).await;
    let mut silent = Vec::new();
    for held in 1..=3 {
        silent.push(RawClient::connect(stage.gateway.proxy()).await);
        stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], held.into()).await;
    }
    let mut waiting = RawClient::connect(stage.gateway.proxy()).await;
    waiting.send(&connect_request(GOOD_TARGET, &[])).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 3.0).await;
    assert_eq!(stage.azure.connections(), 0, "there was no room");
    drop(silent);
    waiting.tunnel().await;
    stage.serve_a_good_client(&[]).await;
}
