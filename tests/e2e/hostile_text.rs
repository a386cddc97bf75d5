//! Rows S09 to S11: floods and strange text in the log, and what must not be reached through the proxy.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use serde_json::Value;

use crate::stage::ANYONE;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::lonely_address;
use crate::table;
use crate::table::Row;

/// Different denied hosts, and how many are asked for at once.
const DENIED: usize = 2000;
const AT_ONCE: usize = 100;
/// Records of one address and reason that may be written at once, and in a second after that.
const RECORDS_AT_ONCE: usize = 200;
const RECORDS_A_SECOND: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s09_a_flood_of_denied_hosts_adds_no_series_and_few_records() {
    let limits = "[limits]\nconnects_per_second = 10000\nburst = 10000\nrequests_per_second_per_address = 10000\n\
         request_burst_per_address = 10000\n";
    let stage = Stage::good(Config::new(&format!("{ANYONE}{limits}"))).await;
    let series = stage.gateway.metrics().await;
    let begun = std::time::Instant::now();
    for batch in 0..DENIED / AT_ONCE {
        let mut clients = Vec::new();
        for number in 0..AT_ONCE {
            let mut client = RawClient::connect(stage.gateway.proxy()).await;
            let target = format!("host-{batch}-{number}.evil.example:443");
            client.send(&connect_request(&target, &[])).await;
            clients.push(client);
        }
        for client in clients {
            assert_refusal(&client.refusal().await.expect("an answer"), 403);
        }
    }
    stage.serve_a_good_client(&[]).await;
    let asked = patiently("a record that tells how many were not written", async {
        let mut asked = DENIED;
        while written(&stage).iter().map(|suppressed| suppressed + 1).sum::<usize>() != asked {
            refused(stage.gateway.proxy(), "one-more.evil.example:443", &[]).await;
            asked += 1;
        }
        asked
    })
    .await;
    let most = RECORDS_AT_ONCE + (begun.elapsed().as_secs() as usize + 1) * RECORDS_A_SECOND;
    let records = written(&stage).len();
    assert!((RECORDS_AT_ONCE..=most).contains(&records), "{records} records for {asked} requests");
    let metrics = stage.gateway.metrics().await;
    let counted = metrics.value("la_gateway_refusals_total", &[("reason", "host_denied")]);
    assert_eq!(counted, asked as f64, "metrics count every one");
    assert_eq!(metrics.series(), series.series());
    assert_eq!(stage.azure.connections(), 1);
    stage.serve_a_good_client(&[]).await;
}

/// Returns how many records each written record of a denied host says were not written.
fn written(stage: &Stage) -> Vec<usize> {
    let denied =
        stage.gateway.access_records().into_iter().filter(|record| record.is("reason", "host_denied"));
    denied.map(|record| record.number("suppressed") as usize).collect()
}

/// Users whose names a log must escape. No name holds a control character.
const USERS: [(&str, &str); 4] = [
    ("quote\"brace}{\"x\"", "one"),
    ("back\\slash\\u0022\\n", "two"),
    ("ünï\u{202e}cödé\u{2028}\u{feff}", "three"),
    ("agent", "four"),
];

/// Text that ends lines, moves cursors, closes quotes.
const STRANGE: [&str; 8] = [
    "\"",
    "\"}\n{\"event_id\":101}",
    "a\nb",
    "a\r\nX-Injected: yes",
    "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "\u{9b}31m\u{2028}\u{2029}\u{202e}",
    "\\\\\\\"%0a%0d%00${jndi:x}%s%n",
    "\0\x08\x7f\x0b",
];

pub(crate) fn strange_rows() -> Vec<Row> {
    const ANY: &[u16] = &[400, 403, 407, 431, 505];
    let long = "x\"\\".repeat(8192 / 3);
    let mut rows = Vec::new();
    for text in STRANGE.iter().copied().chain([long.as_str()]) {
        let host = format!("CONNECT {text}.ods.opinsights.azure.com:443 HTTP/1.1\r\nHost: {text}\r\n\r\n");
        rows.push(Row::raw("host", host, ANY));
        let method = format!("{text} {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n\r\n");
        rows.push(Row::raw("method", method, &[400, 403, 405, 407, 431, 505]));
        for credentials in [format!("{text}:four"), format!("agent:{text}"), format!("agent{text}:x")] {
            let line = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials));
            rows.push(Row::fields("user", GOOD_TARGET, line.as_bytes(), ANY));
        }
        let right = basic("agent", "four");
        let agent = format!("User-Agent: {text}\r\nProxy-Authorization: {right}\r\n");
        rows.push(Row::fields("agent", GOOD_TARGET, agent.as_bytes(), &[200, 400, 407, 431]));
        let name = format!("{text}: x\r\nProxy-Authorization: {right}\r\n");
        rows.push(Row::fields("field", GOOD_TARGET, name.as_bytes(), &[200, 400, 407, 431]));
    }
    rows
}

fn with_strange_users(format: &str, listener: &str) -> Config {
    let text = format!(
        "{listener}[role.agents]\nusers_file = \"users\"\n[log]\nformat = \"{format}\"\nlevel = \"debug\"\n\
         [limits]\nfailed_logins_per_minute = 1000\n"
    );
    Config::new(&text).file("users", &users_file(&USERS))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_whatever_a_client_sends_every_line_is_one_json_object() {
    let stage = Stage::good(with_strange_users("json", "")).await;
    let good = basic("agent", "four");
    table::run(&stage, &[("Proxy-Authorization", &good)], &strange_rows()).await;
    for (name, password) in USERS {
        stage.serve_a_good_client(&[("Proxy-Authorization", &basic(name, password))]).await;
        let record = stage.gateway.wait_for_record(name, |record| record.is("user", name)).await;
        record.assert_texts(&[("role", "agents"), ("verdict", "carried")]);
    }
    let lines = stage.gateway.log().lines();
    for line in &lines {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let object = value.as_object().expect("an object");
        let wanted = ["timestamp", "level", "event_id", "message"];
        assert!(wanted.iter().all(|field| object.contains_key(*field)), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let started = lines.iter().filter(|line| line.contains("\"event_id\":101")).count();
    assert_eq!(started, 2, "a client has written a record of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_whatever_a_client_sends_a_line_of_text_has_no_control_characters() {
    // Text does not tell the bound port to a program, so the test chooses the address.
    let proxy = SocketAddr::new(lonely_address().into(), 18080);
    let listener = format!("[[listener]]\naddress = \"{proxy}\"\n");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = with_strange_users("text", &listener).write(folder.path());
    let gateway = Gateway::spawn(&["--config".as_ref(), path.as_os_str()], folder);
    let log = gateway.log();
    log.wait_for("it listens", |log| log.lines().iter().any(|line| line.contains("listening")).then_some(()))
        .await;
    let mut answered = 0;
    for row in strange_rows() {
        let mut client = RawClient::connect(proxy).await;
        client.send(&row.bytes).await;
        answered += usize::from(client.refusal().await.is_some());
    }
    assert!(answered > 0);
    let strange = |line: &String| line.contains(char::is_control) || line.contains('\u{202e}');
    assert_eq!(gateway.log().lines().into_iter().filter(strange).collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a08_a_secret_in_a_target_is_not_written() {
    const SECRET: &str = "s3cr3t-w0rd";
    let stage = Stage::good(Config::new(ANYONE)).await;
    let raw = |line: String| {
        Row::raw("a08", format!("{line} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n\r\n"), &[400, 405])
    };
    let rows = [
        raw(format!("CONNECT agent:{SECRET}@{GOOD_TARGET}")),
        raw(format!("CONNECT {SECRET}@{GOOD_TARGET}")),
        raw(format!("CONNECT https://agent:{SECRET}@{GOOD_TARGET}/")),
        raw(format!("GET http://agent:{SECRET}@evil.example/")),
        raw(format!("GET http://account.blob.core.windows.net/c?sig={SECRET}")),
        raw(format!("PUT /c/b?sig={SECRET}")),
    ];
    table::run(&stage, &[], &rows).await;
    let said = stage.gateway.everything_said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_nothing_of_the_admin_listener_is_reached_through_the_proxy() {
    let stage = Stage::good(Config::new(&format!("{ANYONE}hosts = [\"*.example.com\"]\n"))).await;
    let admin = stage.gateway.admin();
    let port = admin.port();
    let mut rows = Vec::new();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        rows.push(Row::target("s11", &format!("{host}:{port}"), &[403]));
        rows.push(Row::target("s11", &format!("{host}:443"), &[403]));
    }
    for host in ["localhost", "la-gateway", "admin.example", "gateway.example.com", "localhost.localdomain"] {
        rows.push(Row::target("s11", &format!("{host}:{port}"), &[403]));
    }
    for host in ["localhost", "la-gateway", "admin.example", "127.1", "2130706433", "0x7f000001"] {
        rows.push(Row::target("s11", &format!("{host}:443"), &[400, 403]));
    }
    for path in ["/metrics", "/healthz", "/readyz", "/", "*"] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let own = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n\r\n", stage.gateway.proxy());
            rows.push(Row::raw("s11", own, &[400, 405]));
        }
        let absolute = format!("GET http://{admin}{path} HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        rows.push(Row::raw("s11", absolute, &[400, 405]));
    }
    table::run(&stage, &[], &rows).await;
}
