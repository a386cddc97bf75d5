use std::time::Duration;

use common::host_port::HostPort;
use tokio::net::TcpListener;

use super::*;
use crate::upload::testing::Authority;
use crate::upload::testing::FakeGateway;
use crate::upload::testing::Log;
use crate::upload::testing::PATIENCE;
use crate::upload::testing::Script;
use crate::upload::testing::gateways;
use crate::upload::testing::settings;

type Expected = fn(&GatewayReason) -> bool;

const SILENT: Duration = Duration::from_millis(150);

/// What takes connections, and nothing else.
async fn sink() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn leads(sink: &TcpListener) -> Script {
    Script::Lead(sink.local_addr().unwrap())
}

fn target() -> HostPort {
    "ws.ods.example:443".parse().unwrap()
}

async fn reason(gateways: &Gateways, limit: Duration) -> GatewayReason {
    gateways.tunnel(&target(), limit).await.expect_err("no tunnel").reason
}

#[tokio::test]
async fn every_answer_has_a_reason_of_its_own_and_a_sentence_for_the_operator() {
    let gateway = FakeGateway::start(Script::Silence).await;
    let all = gateways(&[gateway.value()]);
    let denied = "HTTP/1.1 403 Forbidden\r\nproxy-status: la-gateway; error=http_request_denied; details=\"host_denied\"\r\nX-Request-ID: 7f3\r\n\r\n";
    let clear = "HTTP/1.1 400 Bad Request\r\nproxy-status: la-gateway; error=http_request_error; details=\"not_http\"\r\n\r\n";
    let cases: [(&str, Expected, &str); 10] = [
        (clear, |r| matches!(r, GatewayReason::Status(400, _)), "https://"),
        ("HTTP/1.1 407 x\r\n\r\n", |r| matches!(r, GatewayReason::Credentials(_)), "user and password"),
        (denied, |r| matches!(r, GatewayReason::Denied(_)), "allow ws.ods.example"),
        ("HTTP/1.1 429 x\r\nRetry-After: 9\r\n\r\n", |r| matches!(r, GatewayReason::Busy(_)), "limits"),
        ("HTTP/1.1 502 x\r\n\r\n", |r| matches!(r, GatewayReason::Status(502, _)), "cannot reach"),
        ("HTTP/1.1 404 x\r\n\r\n", |r| matches!(r, GatewayReason::Status(404, _)), "host and port"),
        ("SSH-2.0-x\r\n", |r| *r == GatewayReason::Garbage, "host and port"),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}", |r| *r == GatewayReason::WantsTls, "https://"),
        ("", |r| *r == GatewayReason::Closed, "gateway's log"),
        ("HTTP/1.1 301 x\r\n\r\n", |r| matches!(r, GatewayReason::Status(301, _)), "host and port"),
    ];
    for (answer, expected, change) in cases {
        gateway.does(Script::Answer(answer));
        let error = all.tunnel(&target(), PATIENCE).await.expect_err("no tunnel");
        assert!(expected(&error.reason), "{answer:?}: {error}");
        assert!(error.what_to_change().contains(change), "{answer:?}: {}", error.what_to_change());
    }
    gateway.does(Script::Answer(denied));
    let error = all.tunnel(&target(), PATIENCE).await.expect_err("no tunnel").to_string();
    assert!(error.contains("host_denied") && error.contains("(request id 7f3)"), "{error}");
    gateway.does(Script::Silence);
    assert_eq!(reason(&all, SILENT).await, GatewayReason::Timeout(GatewayPhase::Connect));
    let address = gateway.address;
    drop(gateway);
    let gone = gateways(&[format!("http://{address}")]);
    crate::upload::testing::until("it refuses", || std::net::TcpStream::connect(address).is_err()).await;
    assert_eq!(reason(&gone, PATIENCE).await, GatewayReason::Refused { address });
    let nowhere = gateways(&["http://gateway.invalid:8080".to_owned()]);
    let name = reason(&nowhere, PATIENCE).await;
    assert!(matches!(name, GatewayReason::NameNotFound { .. } | GatewayReason::NameFailed { .. }), "{name}");
}

#[tokio::test]
async fn a_verdict_is_final_and_everything_else_goes_on_to_the_next_gateway() {
    let sink = sink().await;
    let well = FakeGateway::start(leads(&sink)).await;
    let cases = [
        ("HTTP/1.1 407 x\r\n\r\n", false),
        ("HTTP/1.1 403 x\r\n\r\n", false),
        ("HTTP/1.1 429 x\r\n\r\n", false),
        ("HTTP/1.1 400 x\r\n\r\n", false),
        ("HTTP/1.1 408 x\r\n\r\n", true),
        ("HTTP/1.1 502 x\r\n\r\n", true),
        ("HTTP/1.1 503 x\r\n\r\n", true),
        ("HTTP/1.1 504 x\r\n\r\n", true),
        ("garbage\r\n\r\n", true),
        ("", true),
    ];
    for (answer, goes_on) in cases {
        let first = FakeGateway::start(Script::Answer(answer)).await;
        let both = gateways(&[first.value(), well.value()]);
        assert_eq!(both.tunnel(&target(), PATIENCE).await.is_ok(), goes_on, "{answer:?}");
        assert_eq!(first.connections(), 1);
    }
}

#[tokio::test]
async fn the_gateway_that_serves_is_used_until_the_first_is_looked_at_again_and_serves() {
    let sink = sink().await;
    let (first, second) =
        (FakeGateway::start(Script::Answer("")).await, FakeGateway::start(leads(&sink)).await);
    let (counters, log) = (Counters::new(), Log::keep());
    let values = [first.value(), second.value()];
    let settings = GatewaySettings { return_after: Duration::ZERO, ..settings(&values, None) };
    let both = Gateways::new(&settings, counters.clone()).unwrap();
    let twin = both.clone();
    both.tunnel(&target(), PATIENCE).await.unwrap();
    assert_eq!((first.connections(), second.connections()), (1, 1));
    // Still dead: looked at once, then the second serves.
    twin.tunnel(&target(), PATIENCE).await.unwrap();
    assert_eq!((first.connections(), second.connections()), (2, 2));
    first.does(leads(&sink));
    twin.tunnel(&target(), PATIENCE).await.unwrap();
    assert_eq!((first.connections(), second.connections()), (3, 2));
    let said = [Event::GatewayDown, Event::GatewayChanged, Event::GatewayUp].map(|event| log.count(event));
    assert_eq!(said, [1, 2, 1], "only what changes is said");
    let text = counters.text();
    for row in ["{gateway=\"1\",outcome=\"broken\"} 2", "{gateway=\"1\",outcome=\"tunnel\"} 1"] {
        assert!(text.contains(row), "{text}");
    }

    // What the first says while it is only looked at does not matter.
    first.does(Script::Answer(""));
    twin.tunnel(&target(), PATIENCE).await.unwrap();
    first.does(Script::Answer("HTTP/1.1 407 x\r\n\r\n"));
    twin.tunnel(&target(), PATIENCE).await.unwrap();
    let before = first.connections();

    let later = GatewaySettings { return_after: PATIENCE, ..settings };
    first.does(Script::Answer(""));
    let both = Gateways::new(&later, Counters::new()).unwrap();
    for _ in 0..3 {
        both.tunnel(&target(), PATIENCE).await.unwrap();
    }
    assert_eq!(first.connections(), before + 1, "the second is used without a look at the first");
}

#[tokio::test]
async fn a_silent_gateway_leaves_the_next_its_share_of_the_time() {
    let sink = sink().await;
    let (silent, well) = (FakeGateway::start(Script::Silence).await, FakeGateway::start(leads(&sink)).await);
    let values = [silent.value(), well.value()];
    let settings = GatewaySettings { connect: SILENT, ..settings(&values, None) };
    let both = Gateways::new(&settings, Counters::new()).unwrap();
    both.tunnel(&target(), PATIENCE).await.unwrap();
    assert_eq!((silent.asked().len(), well.asked().len()), (1, 1));
}

#[tokio::test]
async fn user_and_password_go_to_the_gateway_and_the_environment_goes_nowhere() {
    let sink = sink().await;
    let gateway = FakeGateway::start(leads(&sink)).await;
    let value = format!("http://site-7:p%40ss@{}", gateway.address);
    gateways(&[value]).tunnel(&target(), PATIENCE).await.unwrap();
    let head = gateway.asked().concat();
    assert!(head.starts_with("CONNECT ws.ods.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic c2l0ZS03OnBAc3M=\r\n"), "{head}");
}

#[tokio::test]
async fn an_https_gateway_must_prove_its_name_to_its_own_authority() {
    let (ours, other) = (Authority::new("ours"), Authority::new("Other Root"));
    let sink = sink().await;
    let outcome = async |acceptor, host: &str| {
        let gateway = FakeGateway::secure(leads(&sink), acceptor).await;
        let value = format!("https://u:p@{host}:{}", gateway.address.port());
        let all = Gateways::new(&settings(&[value], Some(ours.file())), Counters::new()).unwrap();
        let outcome = all.tunnel(&target(), PATIENCE).await;
        (
            outcome.map(drop).map_err(|error| (error.reason.clone(), error.what_to_change())),
            gateway.asked().len(),
        )
    };
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(outcome(ours.acceptor(&[host]), host).await, (Ok(()), 1), "{host}");
    }
    let (unknown, asked) = outcome(other.acceptor(&["127.0.0.1"]), "127.0.0.1").await;
    let (reason, change) = unknown.unwrap_err();
    assert_eq!(reason, GatewayReason::Tls(TlsTrouble::UnknownIssuer { issuer: "CN=Other Root".into() }));
    assert!(change.contains("`ca`") && asked == 0, "{change}");
    let (wrong, asked) = outcome(ours.acceptor(&["gw.example"]), "127.0.0.1").await;
    let (reason, change) = wrong.unwrap_err();
    assert!(
        matches!(&reason, GatewayReason::Tls(TlsTrouble::WrongName { names }) if names.contains("gw.example"))
    );
    assert!(change.contains("names") && asked == 0, "{change}");
}

#[tokio::test]
async fn each_scheme_at_the_other_ones_port_is_told_apart() {
    let ours = Authority::new("ours");
    let secure = FakeGateway::secure(Script::Silence, ours.acceptor(&["127.0.0.1"])).await;
    let plain = gateways(&[secure.value()]);
    assert_eq!(reason(&plain, PATIENCE).await, GatewayReason::WantsTls);
    // A plain proxy answers the hello with an error, closes, or waits for the end of a head.
    let (listener, target) = (sink().await, target());
    let value = format!("https://{}", listener.local_addr().unwrap());
    let all = Gateways::new(&settings(&[value], Some(ours.file())), Counters::new()).unwrap();
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        socket
    };
    let (outcome, _socket) = tokio::join!(all.tunnel(&target, PATIENCE), answer);
    let error = outcome.expect_err("no tunnel");
    assert_eq!(error.reason, GatewayReason::Tls(TlsTrouble::NotTls));
    assert!(error.what_to_change().contains("http://"));
    let silent = async {
        let (socket, _) = listener.accept().await.unwrap();
        socket
    };
    let (outcome, _socket) = tokio::join!(all.tunnel(&target, SILENT), silent);
    let error = outcome.expect_err("no tunnel");
    assert_eq!(error.reason, GatewayReason::Timeout(GatewayPhase::Tls));
    assert!(error.what_to_change().contains("http://"));
}

/// Whatever else the agent does, it can only go where these files go.
#[test]
fn only_one_file_connects_and_only_one_asks_for_names_and_none_reads_the_environments_proxies() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(source)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(source).unwrap().display().to_string();
            match path.is_dir() {
                true if !name.ends_with("tests") && !name.ends_with("testing") => folders.push(path),
                false if !name.ends_with("tests.rs") && !name.ends_with("testing.rs") => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                    let marks = [
                        "TcpStream::connect",
                        "TcpSocket",
                        "lookup_host",
                        "SocketAddrs",
                        "Resolver::",
                        "_proxy\"",
                        "_PROXY\"",
                    ];
                    found.extend(
                        marks
                            .iter()
                            .filter(|mark| code.contains(**mark))
                            .map(|mark| format!("{name} {mark}")),
                    );
                }
                _ => {}
            }
        }
    }
    found.sort();
    assert_eq!(found, ["upload/gateways/dial.rs TcpStream::connect", "upload/gateways/names.rs Resolver::"]);
}
