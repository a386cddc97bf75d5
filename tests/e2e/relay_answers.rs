//! Rows R01 to R07: what relays answer, and what an agent sees of it.

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::gateway::Gateway;
use end_to_end::hello::hellos;
use end_to_end::origin::RawOrigin;
use end_to_end::pki::Pki;
use end_to_end::scripted::Play;
use end_to_end::scripted::ScriptedRelay;
use tokio::io::AsyncWriteExt;

use crate::relays::ESTABLISHED;
use crate::relays::assert_silent;
use crate::relays::exchange;
use crate::relays::through;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::assert_refusal;
use crate::stage::read_all;
use crate::stage::read_exactly;

/// What stands in relays' answers, and nowhere else.
const SECRET: &str = "words-of-the-relay";

/// A gateway whose relay does what the test tells it to.
struct Scripted {
    pki: Pki,
    azure: FakeAzure,
    relay: ScriptedRelay,
    gateway: Gateway,
}

impl Scripted {
    async fn new(rest: &str) -> Self {
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, &[GOOD]).await;
        let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
        let url = format!("http://site:hunter-2@{}", relay.address());
        let gateway = Gateway::start(&through(&[&url], rest)).await;
        Self { pki, azure, relay, gateway }
    }

    async fn serve_a_good_client(&self) {
        self.relay.plays(Play::Tunnel(ESTABLISHED.to_vec(), self.azure.address()));
        let own = exchange(self.gateway.proxy(), &self.pki).await;
        self.gateway.only_record_of(own).await.assert_texts(&[("verdict", "carried"), ("route", "relay")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_bytes_in_one_segment_with_the_200_are_not_lost() {
    let relay = RawOrigin::bind().await;
    let gateway = Gateway::start(&through(&[&format!("http://{}", relay.address())], "")).await;
    let hellos = hellos(&Pki::new(), GOOD);
    for early in [1, hellos.server.len() / 2, hellos.server.len()] {
        let mut client = RawClient::connect(gateway.proxy()).await;
        client.send(&connect_request(GOOD_TARGET, &[])).await;
        let mut far = relay.accept().await;
        while read_exactly(&mut far, 1).await != b"\n" || read_exactly(&mut far, 1).await != b"\r" {}
        let (first, rest) = hellos.server.split_at(early);
        far.write_all(&[ESTABLISHED, first].concat()).await.expect("an answer sent");
        let mut tunnel = client.tunnel().await;
        assert!(tunnel.head.leftover.is_empty(), "the origin speaks before the client");
        assert_eq!(read_exactly(&mut far, 1).await, b"\n");
        tunnel.stream.write_all(&hellos.client).await.expect("a hello sent");
        assert_eq!(read_exactly(&mut far, hellos.client.len()).await, hellos.client);
        far.write_all(&[rest, b"and more"].concat()).await.expect("a hello sent");
        far.shutdown().await.expect("an orderly end");
        let received = read_all(&mut tunnel.stream).await;
        assert_eq!(received, [hellos.server.as_slice(), b"and more"].concat(), "{early} bytes early");
        drop((tunnel.stream, far));
        let record = gateway.only_record_of(tunnel.address).await;
        record.assert_texts(&[("verdict", "carried"), ("route", "relay"), ("reason", "finished")]);
        assert_eq!(record.number("bytes_down"), received.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_r03_odd_answers_that_mean_200_open_the_tunnel() {
    let scripted = Scripted::new("").await;
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\nVia: 1.1 x\n\n",
        "HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic realm=\"x\"\r\nSet-Cookie: a=b\r\n\r\n",
    ];
    for answer in answers {
        let (answer, to) = (answer.as_bytes().to_vec(), scripted.azure.address());
        let whole = Play::Tunnel(answer.clone(), to);
        for play in [whole, Play::TunnelByteByByte(answer, to)] {
            scripted.relay.plays(play.clone());
            println!("{:?}", play.shown());
            let own = exchange(scripted.gateway.proxy(), &scripted.pki).await;
            scripted.gateway.only_record_of(own).await.assert_texts(&[("reason", "finished")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r02_no_field_of_the_relay_reaches_the_agent() {
    let scripted = Scripted::new("").await;
    let said = format!("HTTP/1.1 200 {SECRET}\r\nX-Inside: {SECRET}\r\nSet-Cookie: {SECRET}\r\n\r\n");
    scripted.relay.plays(Play::Tunnel(said.into_bytes(), scripted.azure.address()));
    let mut client = RawClient::connect(scripted.gateway.proxy()).await;
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    let head = client.tunnel().await.head;
    assert_silent(&format!("{head:?}"), &[SECRET, "X-Inside", "Cookie"]);
    scripted.serve_a_good_client().await;
}

/// Refuses a CONNECT with this relay, and looks at everything that is said of it.
async fn assert_refused(scripted: &Scripted, play: Play, status: u16, reason: &str) {
    scripted.relay.plays(play.clone());
    let before = (scripted.relay.connections(), scripted.azure.connections());
    let records = scripted.gateway.access_records().len();
    let (answer, own) = refused(scripted.gateway.proxy(), GOOD_TARGET, &[]).await;
    println!("{:?}", play.shown());
    assert_refusal(&answer, status);
    let proxy_status = answer.head.header("proxy-status").expect("is there");
    assert!(proxy_status.contains(&format!("details=\"{reason}\"")), "{proxy_status}");
    assert!(answer.text().contains(reason) && answer.text().len() < 256, "{}", answer.text());
    let record = scripted.gateway.only_record_of(own).await;
    record.assert_texts(&[("reason", reason), ("verdict", "refused"), ("route", "relay"), ("host", GOOD)]);
    assert_eq!((record.number("event_id"), record.number("status")), (119, u64::from(status)));
    assert_eq!(scripted.gateway.records_once(records + 1).await, records + 1);
    assert_eq!((scripted.relay.connections(), scripted.azure.connections()), (before.0 + 1, before.1));
    let token = "c2l0ZTpodW50ZXItMg==";
    let all = format!("{answer:?}{}", scripted.gateway.everything_said());
    assert_silent(&all, &[SECRET, "hunter", token]);
    scripted.serve_a_good_client().await;
}

/// Returns an answer with this status line, a body, and everything a careless proxy would pass on.
fn says(status_line: &str) -> Vec<u8> {
    let body = format!("<html>{SECRET} Basic c2l0ZTpodW50ZXItMg==</html>");
    let fields = format!(
        "Proxy-Authenticate: Basic realm=\"{SECRET}\"\r\nContent-Type: text/html\r\nSet-Cookie: {SECRET}"
    );
    format!("{status_line}\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_r05_r06_an_answer_that_is_no_200_is_refused_in_our_own_words() {
    let scripted = Scripted::new("[log]\nformat = \"json\"\nlevel = \"debug\"\n").await;
    let series = scripted.gateway.metrics().await;
    let cases = [
        ("HTTP/1.1 407 Proxy Authentication Required", 502, "relay_credentials"),
        ("HTTP/1.0 407 Proxy Authentication Required", 502, "relay_credentials"),
        ("HTTP/1.1 400 Bad Request", 403, "relay_denied"),
        ("HTTP/1.1 403 200 OK", 403, "relay_denied"),
        ("HTTP/1.1 404 Not Found", 403, "relay_denied"),
        ("HTTP/1.1 101 Switching Protocols", 502, "relay_failed"),
        ("HTTP/1.1 302 Found\r\nLocation: http://200.example/", 502, "relay_failed"),
        ("HTTP/1.1 500 Internal Server Error", 502, "relay_failed"),
        ("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7", 502, "relay_failed"),
        ("HTTP/1.1 508 Loop Detected", 502, "relay_failed"),
        ("HTTP/1.1 2000 OK", 502, "relay_failed"),
        ("HTTP/1.1 20 OK", 502, "relay_failed"),
        ("HTTP/1.1 +20 OK", 502, "relay_failed"),
        ("HTTP/2.0 200 OK", 502, "relay_failed"),
        ("HTTP/1.1 999 Beyond", 502, "relay_failed"),
        ("ICY 200 OK", 502, "relay_failed"),
        (" HTTP/1.1 200 OK", 502, "relay_failed"),
        ("HTTP/1.1 200 OK\r\nX Y: z", 502, "relay_failed"),
        ("HTTP/1.1 200 OK\r\nX: a\0b", 502, "relay_failed"),
        ("HTTP/1.1 200 OK\r\n: nameless", 502, "relay_failed"),
        ("SSH-2.0-OpenSSH_9.2", 502, "relay_failed"),
    ];
    for (line, status, reason) in cases {
        assert_refused(&scripted, Play::Close(says(line)), status, reason).await;
    }
    assert_eq!(scripted.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_a_relay_that_says_401_to_wrong_credentials_as_tinyproxy_does_means_407() {
    let scripted = Scripted::new("").await;
    let said = says("HTTP/1.1 401 Unauthorized");
    assert_refused(&scripted, Play::Close(said), 502, "relay_credentials").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_endless_answers_are_given_up_at_a_bound() {
    let scripted = Scripted::new("").await;
    let field = format!("X: {SECRET}\r\n");
    let endless = [
        format!("HTTP/1.1 200 OK\r\n{}", field.repeat(100_000)).into_bytes(),
        format!("HTTP/1.1 200 OK\r\nX: {}", SECRET.repeat(100_000)).into_bytes(),
        format!("HTTP/1.1 200 {}", SECRET.repeat(100_000)).into_bytes(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(65)).into_bytes(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000),
        b"\r\n".repeat(100_000),
        vec![0; 1_000_000],
    ];
    for said in endless {
        let play = Play::Hold(said);
        println!("{:?}", play.shown());
        scripted.relay.plays(play);
        let (answer, own) = refused(scripted.gateway.proxy(), GOOD_TARGET, &[]).await;
        assert_refusal(&answer, 502);
        scripted.gateway.only_record_of(own).await.assert_texts(&[("reason", "relay_failed")]);
        assert_silent(&scripted.gateway.everything_said(), &[SECRET]);
        scripted.serve_a_good_client().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r07_a_silent_relay_is_504_and_one_that_closes_is_502() {
    let scripted = Scripted::new("[tunnel]\nconnect = \"2s\"\n").await;
    let silent = [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"];
    for said in silent {
        assert_refused(&scripted, Play::Hold(said.to_vec()), 504, "relay_timeout").await;
        assert_refused(&scripted, Play::Close(said.to_vec()), 502, "relay_failed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r05_r06_r07_after_every_failure_but_a_denial_the_next_relay_is_tried() {
    let pki = Pki::new();
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let good = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), azure.address())).await;
    let plays = [
        Play::Close(says("HTTP/1.1 407 Proxy Authentication Required")),
        Play::Close(says("HTTP/1.1 503 Service Unavailable")),
        Play::Close(says("HTTP/1.1 2000 OK")),
        Play::Close(Vec::new()),
        Play::Hold(Vec::new()),
    ];
    for play in plays {
        println!("{:?}", play.shown());
        let bad = ScriptedRelay::start(play).await;
        let urls = [format!("http://{}", bad.address()), format!("http://{}", good.address())];
        let config =
            through(&urls.each_ref().map(String::as_str), "[tunnel]\nconnect = \"4s\"\nidle = \"60s\"\n");
        let gateway = Gateway::start(&config).await;
        for _ in 0..2 {
            let own = exchange(gateway.proxy(), &pki).await;
            let record = gateway.only_record_of(own).await;
            record.assert_texts(&[("verdict", "carried"), ("address", &good.address().to_string())]);
        }
        assert_eq!(bad.connections(), 1, "it is set back");
    }
}
