//! Ways out through relays: gateway, relay, fake Azure, and what each of them gets to see.

use std::net::SocketAddr;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::content::hash_of;
use end_to_end::curl::curl;
use end_to_end::gateway::Gateway;
use end_to_end::origin::refusing;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::scripted::Play;
use end_to_end::scripted::ScriptedRelay;
use end_to_end::tinyproxy::Tinyproxy;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::io::AsyncWriteExt;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::lonely_address;
use crate::stage::read_all;

const PASSWORD: &str = "p@ss:w/%ä";
const ENCODED: &str = "p%40ss%3Aw%2F%25%C3%A4";
const RELAY: &str = "relay.example";
const MEGABYTES: u64 = 4 * 1000 * 1000;
pub(crate) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A gateway with these relays. `rest` begins in the section `[relay]`.
pub(crate) fn through(proxies: &[&str], rest: &str) -> Config {
    Config::new(&format!("{ANYONE}[relay]\nproxies = {proxies:?}\n{rest}"))
}

/// Uploads and downloads through a tunnel to [`GOOD`]; returns our own address.
pub(crate) async fn exchange(proxy: SocketAddr, pki: &Pki) -> SocketAddr {
    let tunnel = Tunnel::open(proxy, GOOD_TARGET, &[]).await;
    let own = tunnel.address;
    let mut stream = tunnel.tls(GOOD, pki.client_config()).await;
    let sent = Content::new(9, MEGABYTES).all();
    let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &sent).await;
    assert_eq!(answer.text(), hash_of(Content::new(9, MEGABYTES)));
    let answer =
        wire::exchange(&mut stream, &format!("GET /bytes/{MEGABYTES}"), &[("Host", GOOD)], b"").await;
    assert!(answer.body == Content::new(0, MEGABYTES).all(), "{} bytes came", answer.body.len());
    stream.shutdown().await.expect("an orderly end");
    own
}

/// A second gateway that wants a password, reached in clear or by TLS under the name [`RELAY`] alone.
async fn second(front: &Pki) -> Stage {
    let files = front.pem_files("relay", &[RELAY]);
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [passwords]\npercent_encoded = \"refused\"\n\
         [role.sites]\nusers_file = \"sites.users\"\nbundles = [\"log-analytics\"]\n",
        files.certificate.display(),
        files.key.display()
    );
    Stage::good(Config::new(&config).file("sites.users", &users_file(&[("site", PASSWORD)]))).await
}

/// A gateway that knows where [`RELAY`] is, trusts `front`, and tells its operator all it can.
async fn first(proxies: &[&str], front: &Pki, second: &Stage) -> Gateway {
    let rest = format!(
        "ca = \"{}\"\n[role.more]\nanonymous_from = [\"127.0.0.9/32\"]\nhosts = [\"packages.example\"]\n\
         [log]\nformat = \"json\"\nlevel = \"debug\"\n",
        front.authority_file().display()
    );
    Gateway::start(&through(proxies, &rest).host(RELAY, &[second.gateway.proxy()])).await
}

pub(crate) fn assert_silent(said: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!said.contains(secret), "{secret:?} is said");
    }
}

fn secrets() -> [String; 3] {
    let token = basic("site", PASSWORD).replace("Basic ", "");
    [PASSWORD.to_owned(), ENCODED.to_owned(), token]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_with_a_password_is_a_relay_in_clear_and_by_tls() {
    let front = Pki::new();
    for scheme in ["http", "https"] {
        let second = second(&front).await;
        let url = format!("{scheme}://site:{ENCODED}@{RELAY}:{}", second.gateway.proxy().port());
        let first = first(&[&url], &front, &second).await;
        let series = (first.metrics().await, second.gateway.metrics().await);
        let own = exchange(first.proxy(), &second.pki).await;
        let near = first.only_record_of(own).await;
        let address = second.gateway.proxy().to_string();
        near.assert_texts(&[("route", "relay"), ("address", &address), ("verdict", "carried")]);
        near.assert_texts(&[("reason", "finished"), ("tls_version", "1.3"), ("host", GOOD), ("user", "")]);
        let far = second.gateway.wait_for_record("the relay's record", |record| record.is_access()).await;
        far.assert_texts(&[("route", "direct"), ("user", "site"), ("role", "sites"), ("reason", "finished")]);
        far.assert_texts(&[("address", &second.azure.address().to_string()), ("host", GOOD)]);
        for field in ["bytes_up", "bytes_down"] {
            assert_eq!(near.number(field), far.number(field), "{scheme} {field}");
            assert!(near.number(field) > MEGABYTES);
        }
        assert_eq!((second.azure.connections(), second.gateway.records_once(1).await), (1, 1));
        let (authority, proxy) = (second.pki.authority_file(), first.proxy_url());
        let authority = authority.to_str().expect("UTF-8");
        let url = format!("https://{GOOD}/bytes/100000");
        if let Some(outcome) = curl(&["-x", &proxy, "--cacert", authority, &url]).await {
            assert_eq!((outcome.exit, outcome.connect_status), (0, 200), "{scheme} {}", outcome.stderr);
            assert_eq!(outcome.body, Content::new(0, 100_000).all());
        }
        assert_eq!(first.metrics().await.series(), series.0.series());
        assert_eq!(second.gateway.metrics().await.series(), series.1.series());
        for gateway in [&first, &second.gateway] {
            assert_silent(&gateway.everything_said(), &secrets().each_ref().map(String::as_str));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_r07_a_relay_that_does_not_know_us_or_is_another_gives_502_and_the_next_one_is_tried() {
    let (front, stranger) = (Pki::new(), Pki::new());
    let second = second(&front).await;
    let port = second.gateway.proxy().port();
    let good = format!("https://site:{ENCODED}@{RELAY}:{port}");
    let cases = [
        (format!("http://site:wrong@{RELAY}:{port}"), &front, "relay_credentials"),
        (format!("https://site:wrong@{RELAY}:{port}"), &front, "relay_credentials"),
        (format!("http://{RELAY}:{port}"), &front, "relay_credentials"),
        (format!("https://site:{ENCODED}@127.0.0.1:{port}"), &front, "relay_failed"),
        (format!("https://site:{ENCODED}@{RELAY}:{port}"), &stranger, "relay_failed"),
        (format!("http://{}", refusing()), &front, "relay_unreachable"),
    ];
    for (url, trusted, reason) in cases {
        let alone = first(&[&url], trusted, &second).await;
        let before = second.azure.connections();
        let series = alone.metrics().await;
        let (answer, own) = refused(alone.proxy(), GOOD_TARGET, &[]).await;
        assert_refusal(&answer, 502);
        let record = alone.only_record_of(own).await;
        record.assert_texts(&[("reason", reason), ("route", "relay"), ("verdict", "refused")]);
        assert_eq!((record.number("event_id"), record.number("status")), (119, 502), "{url}");
        assert_eq!((second.azure.connections(), alone.records_once(1).await), (before, 1), "{url}");
        assert_eq!(alone.metrics().await.series(), series.series());
        let all = format!("{answer:?}{}", alone.everything_said());
        assert_silent(&all, &secrets().each_ref().map(String::as_str));
        if reason == "relay_failed" && url == good {
            continue;
        }
        let both = first(&[&url, &good], &front, &second).await;
        let own = exchange(both.proxy(), &second.pki).await;
        both.only_record_of(own).await.assert_texts(&[("route", "relay"), ("verdict", "carried")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_tunnel_through_a_tls_relay_carries_the_other_direction_to_its_end() {
    let front = Pki::new();
    let files = front.pem_files("relay", &[RELAY]);
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n{ANYONE}",
        files.certificate.display(),
        files.key.display()
    );
    let second = RawStage::new(Config::new(&listener)).await;
    let url = format!("https://{RELAY}:{}", second.gateway.proxy().port());
    let ca = format!("ca = \"{}\"\n", front.authority_file().display());
    let first = Gateway::start(&through(&[&url], &ca).host(RELAY, &[second.gateway.proxy()])).await;
    let content = Content::new(7, MEGABYTES).all();
    for client_first in [true, false] {
        let tunnel = Tunnel::open(first.proxy(), GOOD_TARGET, &[]).await;
        let (mut near, own) = (tunnel.stream, tunnel.address);
        let mut far = second.say_hello(&mut near, &second.hellos).await;
        let (finisher, other) = if client_first { (&mut near, &mut far) } else { (&mut far, &mut near) };
        finisher.shutdown().await.expect("an orderly end");
        assert!(read_all(other).await.is_empty(), "the end is passed on");
        let writing = async {
            other.write_all(&content).await.expect("all sent");
            other.shutdown().await.expect("an orderly end");
        };
        let (received, ()) = tokio::join!(read_all(finisher), writing);
        assert!(received == content, "{} bytes came", received.len());
        first.only_record_of(own).await.assert_texts(&[("reason", "finished"), ("verdict", "carried")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r06_a_host_that_the_relay_denies_is_403_and_the_next_relay_is_not_asked() {
    let front = Pki::new();
    let second = second(&front).await;
    let never = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), second.azure.address())).await;
    let url = format!("http://site:{ENCODED}@{}", second.gateway.proxy());
    let first = first(&[&url, &format!("http://{}", never.address())], &front, &second).await;
    let mut client = RawClient::connect_from("127.0.0.9".parse().expect("an address"), first.proxy()).await;
    let own = client.address();
    client.send(&connect_request("packages.example:443", &[])).await;
    assert_refusal(&client.refusal().await.expect("an answer"), 403);
    first.only_record_of(own).await.assert_texts(&[("reason", "relay_denied"), ("fault", "policy")]);
    let far = second.gateway.wait_for_record("the relay's record", |record| record.is_access()).await;
    far.assert_texts(&[("reason", "host_denied"), ("user", "site")]);
    assert_eq!((never.connections(), second.azure.connections()), (0, 0));
    exchange(first.proxy(), &second.pki).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_the_relay_is_no_denial_and_the_next_relay_is_tried() {
    let stage = Stage::good(Config::new(&format!("{ANYONE}[limits]\ntunnels_per_client = 1\n"))).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), stage.azure.address())).await;
    let urls = [stage.gateway.proxy_url(), format!("http://{}", relay.address())];
    let alone = Gateway::start(&through(&[&urls[0]], "")).await;
    let _held = Tunnel::open(alone.proxy(), GOOD_TARGET, &[]).await;
    let (answer, own) = refused(alone.proxy(), GOOD_TARGET, &[]).await;
    assert_refusal(&answer, 502);
    alone.only_record_of(own).await.assert_texts(&[("reason", "relay_failed")]);
    let both = Gateway::start(&through(&urls.each_ref().map(String::as_str), "")).await;
    let own = exchange(both.proxy(), &stage.pki).await;
    both.only_record_of(own).await.assert_texts(&[("address", &relay.address().to_string())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_tinyproxy_is_a_relay_and_its_407_is_not_the_agents() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let address = SocketAddr::new(lonely_address().into(), 8888);
    let Some(relay) = Tinyproxy::start(address, stage.gateway.proxy(), ("site", "hunter-2")).await else {
        return;
    };
    let known = Gateway::start(&through(&[&format!("http://site:hunter%2D2@{}", relay.address())], "")).await;
    let own = exchange(known.proxy(), &stage.pki).await;
    known.only_record_of(own).await.assert_texts(&[("route", "relay"), ("reason", "finished")]);
    let nobody = Gateway::start(&through(&[&format!("http://{}", relay.address())], "")).await;
    assert_unknown(&nobody).await;
    assert_eq!(stage.azure.connections(), 1);
    exchange(known.proxy(), &stage.pki).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_tinyproxy_says_401_to_a_wrong_password_and_that_is_no_denial() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let address = SocketAddr::new(lonely_address().into(), 8888);
    let Some(relay) = Tinyproxy::start(address, stage.gateway.proxy(), ("site", "hunter-2")).await else {
        return;
    };
    let wrong = Gateway::start(&through(&[&format!("http://site:hunter-3@{}", relay.address())], "")).await;
    assert_unknown(&wrong).await;
    assert_eq!(stage.azure.connections(), 0);
}

/// Asserts that this gateway's credentials are refused by tinyproxy, and that nothing else is told.
async fn assert_unknown(gateway: &Gateway) {
    let (answer, own) = refused(gateway.proxy(), GOOD_TARGET, &[]).await;
    assert_refusal(&answer, 502);
    gateway.only_record_of(own).await.assert_texts(&[("reason", "relay_credentials")]);
    assert_silent(answer.text(), &["tinyproxy", "html", "hunter"]);
    assert_silent(&gateway.everything_said(), &["tinyproxy", "html", "hunter"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_relay_takes_over_and_the_first_is_taken_again_when_it_is_back() {
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let tunnel = Play::Tunnel(ESTABLISHED.to_vec(), azure.address());
    let preferred = SocketAddr::new(lonely_address().into(), 8080);
    let spare = ScriptedRelay::start(tunnel.clone()).await;
    let urls = [format!("http://{preferred}"), format!("http://{}", spare.address())];
    let gateway = Gateway::start(&through(&urls.each_ref().map(String::as_str), "")).await;
    let series = gateway.metrics().await;
    let spare_address = spare.address().to_string();
    for _ in 0..3 {
        let own = exchange(gateway.proxy(), &pki).await;
        gateway.only_record_of(own).await.assert_texts(&[("address", &spare_address), ("route", "relay")]);
    }
    let relay = ScriptedRelay::start_at(preferred, tunnel).await;
    patiently("the preferred relay is taken again", async {
        while relay.connections() == 0 {
            exchange(gateway.proxy(), &pki).await;
        }
    })
    .await;
    let before = spare.connections();
    let own = exchange(gateway.proxy(), &pki).await;
    gateway.only_record_of(own).await.assert_texts(&[("address", &preferred.to_string())]);
    assert_eq!((relay.connections(), spare.connections()), (2, before));
    let told = gateway.log().records();
    let of_relay = told.iter().filter(|record| record.is("relay", &preferred.to_string())).count();
    assert_eq!(of_relay, 2, "set back once, and back once");
    assert_eq!(gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_to_bypass_are_dialled_directly_and_no_others() {
    let other = "1234a123-aa1a-123a-aaa1-a1a345aa6789.oms.opinsights.azure.com";
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD, other]).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let config =
        through(&[&format!("http://{}", relay.address())], "bypass = [\"*.ods.opinsights.azure.com\"]\n");
    let gateway = Gateway::start(&config.hosts(&[GOOD], azure.address())).await;
    let own = exchange(gateway.proxy(), &pki).await;
    let record = gateway.only_record_of(own).await;
    record.assert_texts(&[("route", "direct"), ("address", &azure.address().to_string())]);
    assert_eq!(relay.connections(), 0);
    let tunnel = Tunnel::open(gateway.proxy(), &format!("{other}:443"), &[]).await;
    let own = tunnel.address;
    drop(tunnel.tls(other, pki.client_config()).await);
    gateway.only_record_of(own).await.assert_texts(&[("route", "relay")]);
    assert_eq!(relay.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r08_the_relay_gets_the_target_our_password_and_our_name_and_nothing_of_the_agent() {
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let agents = basic("agent", "of the agent");
    let headers = [
        ("Proxy-Authorization", agents.as_str()),
        ("Forwarded", "for=10.0.0.7"),
        ("X-Forwarded-For", "10.0.0.7"),
        ("Cookie", "session=1"),
        ("User-Agent", "agent/1.0"),
        ("Proxy-Connection", "keep-alive"),
        ("Via", "1.0 inner.example (squid)"),
        ("X-Anything", "at all"),
    ];
    let ours = format!("Proxy-Authorization: {}\r\n", basic("site", PASSWORD));
    let urls = [format!("http://{}", relay.address()), format!("http://site:{ENCODED}@{}", relay.address())];
    for (url, authorization) in urls.iter().zip(["", &ours]) {
        let gateway = Gateway::start(&through(&[url], "")).await;
        let tunnel = Tunnel::open(gateway.proxy(), GOOD_TARGET, &headers).await;
        drop(tunnel.tls(GOOD, pki.client_config()).await);
        let request = relay.requests().pop().expect("a request");
        let begin = format!(
            "CONNECT {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n{authorization}Via: 1.1 la-gateway-"
        );
        let rest = request.strip_prefix(&begin).unwrap_or_else(|| panic!("{request:?}"));
        let (name, end) = rest.split_at(16);
        assert!(name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{request:?}");
        assert_eq!(end, "\r\n\r\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r09_no_line_end_in_a_host_or_a_field_reaches_the_relay() {
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let gateway = Gateway::start(&through(&[&format!("http://{}", relay.address())], "")).await;
    let requests = [
        format!("CONNECT {GOOD}\r\nX: y:443 HTTP/1.1\r\n\r\n"),
        format!("CONNECT {GOOD}\rX:443 HTTP/1.1\r\nHost: {GOOD}\r\n\r\n"),
        format!("CONNECT {GOOD}\nX:443 HTTP/1.1\r\nHost: {GOOD}\r\n\r\n"),
        format!("CONNECT {GOOD}%0d%0aX%3a:443 HTTP/1.1\r\nHost: {GOOD}%0d%0aX%3a:443\r\n\r\n"),
        format!("CONNECT {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\rX: y\r\n\r\n"),
        format!("CONNECT {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\n X: y\r\n\r\n"),
        format!("CONNECT {GOOD_TARGET} HTTP/1.1\r\nHost: {GOOD_TARGET}\r\nVia: 1.1 a\rX: y\r\n\r\n"),
    ];
    for request in requests {
        let mut client = RawClient::connect(gateway.proxy()).await;
        let own = client.address();
        client.send(request.as_bytes()).await;
        assert_refusal(&client.refusal().await.expect("an answer"), 400);
        gateway.only_record_of(own).await.assert_texts(&[("verdict", "refused"), ("fault", "client")]);
        assert_eq!(relay.connections(), 0, "{request:?}");
    }
    exchange(gateway.proxy(), &pki).await;
}
