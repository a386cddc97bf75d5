//! Rows A01 to A10: who may come in, by password and by network.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::curl::curl;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire::Answer;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::read_exactly;
use crate::table;
use crate::table::Row;

const USERS: [(&str, &str); 7] = [
    ("plain", "correct horse"),
    ("colon", "pa:ss:word"),
    ("at", "p@ss"),
    ("percent", "p%40ss"),
    ("umlaut", "pässwörd-ß"),
    ("slash", "a/b?c#d&e=f+g"),
    ("site-7", "another secret"),
];
const ROLE: &str = "[role.agents]\nusers_file = \"agents.users\"\nbundles = [\"log-analytics\"]\n";

/// Users alone; so many failures are allowed that a table of them stays below the limit.
fn with_users(limits: &str) -> Config {
    Config::new(&format!("{ROLE}{limits}")).file("agents.users", &users_file(&USERS))
}

const PATIENT: &str = "[limits]\nfailed_logins_per_minute = 1000\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_user_gets_in_with_the_right_password_whatever_its_characters() {
    let stage = Stage::good(with_users(PATIENT)).await;
    for (name, password) in USERS {
        let authorization = basic(name, password);
        let tunnel =
            Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &authorization)])
                .await;
        let address = tunnel.address;
        drop(tunnel);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("user", name), ("role", "agents"), ("verdict", "carried")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_a05_missing_credentials_are_407_with_one_challenge() {
    let stage = Stage::good(with_users(PATIENT)).await;
    let right = basic("plain", "correct horse");
    for headers in [&[][..], &[("Authorization", right.as_str())], &[("User-Agent", "agent")]] {
        let (answer, address) = refused(stage.gateway.proxy(), GOOD_TARGET, headers).await;
        assert_refusal(&answer, 407);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("reason", "credentials_missing"), ("user", ""), ("fault", "client")]);
        assert_eq!(record.number("event_id"), 110);
    }
    let denied = refused(stage.gateway.proxy(), "evil.example:443", &[("Proxy-Authorization", &right)]).await;
    assert_refusal(&denied.0, 403);
    stage.gateway.record_of(denied.1).await.assert_texts(&[("reason", "host_denied"), ("user", "plain")]);
    assert_eq!(stage.azure.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_to_a04_credentials_follow_their_grammar() {
    let stage = Stage::good(with_users(PATIENT)).await;
    let right = basic("plain", "correct horse");
    let token = right.strip_prefix("Basic ").expect("a scheme");
    let encoded = |text: &[u8]| format!("Basic {}", STANDARD.encode(text));
    let field = |id, value: &str, statuses| {
        Row::fields(id, GOOD_TARGET, format!("Proxy-Authorization: {value}\r\n").as_bytes(), statuses)
    };
    let url_safe = STANDARD.encode("slash:a/b?c#d&e=f+g~~~???").replace('+', "-").replace('/', "_");
    let rows = [
        field("a02", &format!("basic {token}"), &[200]),
        field("a02", &format!("BASIC {token}"), &[200]),
        field("a02", &format!("Basic  {token}"), &[200]),
        field("a02", &format!("Basic {token}  "), &[200]),
        field("a02", &format!("Basic\t{token}"), &[200, 400, 407]),
        field("a02", token, &[400, 407]),
        field("a02", "Basic", &[400, 407]),
        field("a02", "Bearer abc", &[400, 407]),
        field("a03", &format!("{right}\r\nProxy-Authorization: {right}"), &[400]),
        field("a03", &format!("{right}\r\nproxy-authorization: Basic eDp5"), &[400]),
        field("a03", &format!("{right}, {right}"), &[400, 407]),
        field("a04", "Basic !!!!", &[400, 407]),
        field("a04", &format!("Basic {token}="), &[400, 407]),
        field("a04", &format!("Basic {}", token.trim_end_matches('=')), &[200, 400, 407]),
        field("a04", &format!("Basic {url_safe}"), &[400, 407]),
        field("a04", &format!("Basic {}\r\n {}", &token[..8], &token[8..]), &[400]),
        field("a04", &encoded(b"plain:\xff\xfe"), &[400, 407]),
        field("a04", &encoded(b"plain\0:correct horse"), &[400, 407]),
        field("a04", &encoded(b"plain"), &[400, 407]),
        field("a04", &encoded(b":correct horse"), &[400, 407]),
        field("a04", &encoded(b"plain:"), &[400, 407]),
        field("a04", &encoded(b"PLAIN:correct horse"), &[400, 407]),
        field("a04", &encoded(b"plain:correct horse "), &[400, 407]),
        field("a04", &encoded(&[b'a'; 8192]), &[400, 407, 431]),
    ];
    table::run(&stage, &[("Proxy-Authorization", &right)], &rows).await;
    assert_no_secret(&stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_an_unknown_user_is_answered_like_a_wrong_password() {
    let stage = Stage::good(with_users(PATIENT)).await;
    let mut answers = Vec::new();
    for (name, password) in [("nobody", "correct horse"), ("plain", "wrong")] {
        let authorization = basic(name, password);
        let headers = [("Proxy-Authorization", authorization.as_str())];
        let (answer, address) = refused(stage.gateway.proxy(), GOOD_TARGET, &headers).await;
        let id = assert_refusal(&answer, 407);
        stage.gateway.record_of(address).await.assert_texts(&[("reason", "credentials_rejected")]);
        answers.push(without_id(answer, &id));
    }
    assert_eq!(answers[0], answers[1]);
    let wrong = stage.gateway.metric("la_gateway_password_checks_total", &[("result", "wrong")]).await;
    assert_eq!(wrong, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_after_too_many_failures_only_a_verified_user_gets_in_from_that_address() {
    let stage = Stage::good(with_users("[limits]\nfailed_logins_per_minute = 3\n")).await;
    let right = basic("plain", "correct horse");
    let good = [("Proxy-Authorization", right.as_str())];
    stage.serve_a_good_client(&good).await;
    let mut statuses = Vec::new();
    for i in 0..6 {
        let wrong = basic("plain", &format!("guess {i}"));
        let (answer, _) =
            refused(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &wrong)]).await;
        assert_refusal(&answer, answer.head.status);
        statuses.push(answer.head.status);
    }
    assert_eq!(statuses, [407, 407, 407, 429, 429, 429]);
    stage.serve_a_good_client(&good).await;
    let other: IpAddr = "127.0.0.2".parse().expect("an address");
    let mut elsewhere = RawClient::connect_from(other, stage.gateway.proxy()).await;
    elsewhere.send(&connect_request(GOOD_TARGET, &[("Proxy-Authorization", &basic("at", "p@ss"))])).await;
    elsewhere.tunnel().await;
    let cached = stage.gateway.metric("la_gateway_password_checks_total", &[("result", "cached")]).await;
    assert_eq!(cached, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a08_no_password_is_ever_said_again() {
    let text = "[log]\nformat = \"json\"\nlevel = \"debug\"\n";
    let stage = Stage::good(with_users(&format!("{PATIENT}{text}"))).await;
    for (name, password) in USERS {
        stage.serve_a_good_client(&[("Proxy-Authorization", &basic(name, password))]).await;
        let right = basic(name, password);
        let (answer, address) =
            refused(stage.gateway.proxy(), "evil.example:443", &[("Proxy-Authorization", &right)]).await;
        assert!(!answer.text().contains(password), "{}", answer.text());
        stage.gateway.record_of(address).await;
        let wrong = basic(name, &format!("{password}!"));
        let (answer, address) =
            refused(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &wrong)]).await;
        assert!(!answer.text().contains(password), "{}", answer.text());
        stage.gateway.record_of(address).await;
    }
    assert_no_secret(&stage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a09_a_forged_source_address_does_not_admit() {
    let role = ANYONE.replace("127.0.0.0/8", "127.0.0.1/32");
    let stage = Stage::good(Config::new(&role)).await;
    stage.serve_a_good_client(&[]).await;
    let outside: IpAddr = "127.0.0.2".parse().expect("an address");
    let forged =
        [("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1"), ("X-Real-IP", "127.0.0.1")];
    for headers in [&[][..], &forged] {
        let mut client = RawClient::connect_from(outside, stage.gateway.proxy()).await;
        let address = client.address();
        client.send(&connect_request(GOOD_TARGET, headers)).await;
        assert_refusal(&client.refusal().await.expect("an answer"), 403);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("reason", "client_network_denied"), ("role", ""), ("fault", "policy")]);
        assert_eq!(record.number("event_id"), 112);
    }
    assert_eq!(stage.azure.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_headers_that_name_a_role_or_a_proxy_are_ignored_and_not_forwarded() {
    let stage = RawStage::new(Config::new(ANYONE)).await;
    let decoy = end_to_end::origin::RawOrigin::bind().await;
    let upstream = format!("http://{}", decoy.address());
    let headers = [
        ("X-Upstream-Https-Proxy", upstream.as_str()),
        ("X-Smokescreen-Role", "admin"),
        ("X-Role", "admin"),
        ("Proxy-Connection", "keep-alive"),
        ("Via", "1.1 elsewhere"),
    ];
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &headers)).await;
    client.send(&stage.hellos.client).await;
    let tunnel = client.tunnel().await;
    let mut far = stage.origin.accept().await;
    assert_eq!(read_exactly(&mut far, stage.hellos.client.len()).await, stage.hellos.client);
    assert!(!decoy.is_called().await);
    drop((tunnel.stream, far));
    stage.gateway.record_of(tunnel.address).await.assert_texts(&[("role", "agents"), ("route", "direct")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_users_credentials_do_not_matter() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    stage.serve_a_good_client(&[("Proxy-Authorization", &basic("whoever", "whatever"))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_users_a_network_role_still_admits_and_others_are_asked_for_a_password() {
    let text = format!(
        "{ROLE}{PATIENT}[role.network]\nanonymous_from = [\"127.0.0.1/32\"]\nbundles = [\"log-analytics\"]\n"
    );
    let stage = Stage::good(Config::new(&text).file("agents.users", &users_file(&USERS))).await;
    let right = basic("plain", "correct horse");
    let headers = [("Proxy-Authorization", right.as_str())];
    for (source, headers, role) in [("127.0.0.1", &[][..], "network"), ("127.0.0.2", &headers, "agents")] {
        let mut client =
            RawClient::connect_from(source.parse().expect("an address"), stage.gateway.proxy()).await;
        client.send(&connect_request(GOOD_TARGET, headers)).await;
        let address = client.tunnel().await.address;
        stage.gateway.record_of(address).await.assert_texts(&[("role", role)]);
    }
    let mut client =
        RawClient::connect_from("127.0.0.2".parse().expect("an address"), stage.gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    assert_refusal(&client.refusal().await.expect("an answer"), 407);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_without_host_gets_in() {
    let stage = Stage::good(with_users(PATIENT)).await;
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    let authorization = basic("at", "p@ss");
    let text = format!("CONNECT {GOOD_TARGET} HTTP/1.0\r\nProxy-Authorization: {authorization}\r\n\r\n");
    client.send(text.as_bytes()).await;
    let tunnel = client.tunnel().await;
    tunnel.tls(GOOD, stage.pki.client_config()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_in_with_encoded_passwords_and_after_being_asked() {
    let stage = Stage::good(with_users(PATIENT)).await;
    let authority = stage.pki.authority_file();
    let authority = authority.to_str().expect("UTF-8");
    let proxy = stage.gateway.proxy();
    let (url, denied) = (format!("https://{GOOD}/bytes/1000"), "https://evil.example/");
    let in_url = |user: &str| format!("http://{user}@{proxy}");
    let plain = format!("http://{proxy}");
    let cases: [(&[&str], &str, i32, u16); 8] = [
        (&["-x", &in_url("at:p%40ss")], &url, 0, 200),
        (&["-x", &in_url("percent:p%2540ss")], &url, 0, 200),
        (&["-x", &in_url("colon:pa%3Ass%3Aword")], &url, 0, 200),
        (&["-x", &in_url("umlaut:p%C3%A4ssw%C3%B6rd-%C3%9F")], &url, 0, 200),
        (&["-x", &plain, "--proxy-anyauth", "-U", "at:p@ss"], &url, 0, 200),
        (&["-x", &in_url("at:wrong")], &url, 56, 407),
        (&["-x", &plain], &url, 56, 407),
        (&["-x", &in_url("at:p%40ss")], denied, 56, 403),
    ];
    for (arguments, url, exit, connect_status) in cases {
        let arguments = [arguments, &["--cacert", authority, url]].concat();
        let Some(outcome) = curl(&arguments).await else { return };
        assert_eq!(
            (outcome.exit, outcome.connect_status),
            (exit, connect_status),
            "{arguments:?} {}",
            outcome.stderr
        );
    }
}

fn without_id(mut answer: Answer, id: &str) -> Answer {
    answer.body = answer.text().replace(id, "ID").into_bytes();
    answer
        .head
        .headers
        .retain(|(name, _)| !["x-request-id", "date"].contains(&name.to_ascii_lowercase().as_str()));
    answer
}

fn assert_no_secret(stage: &Stage) {
    let said = stage.gateway.everything_said();
    for (name, password) in USERS {
        assert!(!said.contains(password), "the password {password:?} stands in the log");
        let token = basic(name, password).replace("Basic ", "");
        assert!(!said.contains(&token), "the credentials of {name} stand in the log");
    }
}
