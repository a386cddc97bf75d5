//! Relays against scripted ones on loopback. Row numbers are those of the relay's attack table.

mod scripted;
mod secure;

use std::net::Ipv4Addr;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::time::advance;
use tokio::time::pause;
use tokio::time::resume;

use self::scripted::CLOSES;
use self::scripted::Lines;
use self::scripted::Script;
use self::scripted::ScriptedRelay;
use self::scripted::WELL;
use super::*;
use crate::dial::relay::health::SHORTEST;
use crate::policy::names::DnsSettings;
use crate::policy::names::FixedAddress;

const TARGET: &str = "a.ods.opinsights.azure.com:443";
const NAME: &str = "relay.example";
/// Long enough for a busy machine. No test waits for it: where it must pass, the clock is put on.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn r01_bytes_that_come_with_the_200_are_early_and_the_rest_is_in_the_stream() {
    let relay = ScriptedRelay::start(Script::Answer("HTTP/1.1 200 OK\r\n\r\nearly")).await;
    let mut relayed = through(&relays(&[&relay])).await.expect("a tunnel");
    assert_eq!(relayed.address, relay.address);
    relayed.stream.write_all(b" late").await.expect("written");
    assert_eq!(first_bytes(relayed, 10).await, b"early late");
}

#[tokio::test]
async fn r02_r03_every_success_that_the_handshake_knows_gives_a_tunnel() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nA: b\r\n\r\nHTTP/1.0 200 \r\n\r\n",
        "HTTP/1.1 200\n\n",
    ] {
        let relay = ScriptedRelay::start(Script::Answer(answer)).await;
        assert_eq!(
            through(&relays(&[&relay])).await.map(|relayed| relayed.early),
            Ok(Bytes::new()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn r08_r09_d10_a_relay_reads_the_target_our_login_and_our_via_and_not_a_byte_more() {
    let relay = ScriptedRelay::start(WELL).await;
    let relays = relays_at(&[format!("http://site%2D7:p%40s%3As%25@{}", relay.address)]);
    let passed = Passed::read(&[b"1.1 evil (\r), 1.1 la-gateway-0000000000000001, 1.0 squid"]).expect("few");
    relays.connect(&target(), &passed, &resolver(), &Addresses::default(), LIMIT).await.expect("a tunnel");
    through(&relays).await.expect("a tunnel");
    let head = |via: &str| {
        format!(
            "CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\nProxy-Authorization: Basic c2l0ZS03OnBAczpzJQ==\r\n\
             Via: {via}1.1 la-gateway-000000000000002a\r\n\r\n"
        )
    };
    assert_eq!(relay.asked(), [head("1.1 la-gateway-0000000000000001, "), head("")]);
}

#[tokio::test]
async fn r04_r05_r06_r07_what_a_relay_does_decides_the_refusal_and_whether_the_next_is_tried() {
    use Refusal::{RelayCredentials, RelayDenied, RelayFailed};
    use Script::{Answer, AnswerAndClose};
    let cases = [
        (Answer("HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"), RelayCredentials),
        (Answer("HTTP/1.1 401 Unauthorized\r\n\r\n"), RelayCredentials),
        (Answer("HTTP/1.1 403 Forbidden 200\r\nContent-Length: 3\r\n\r\n200"), RelayDenied),
        (Answer("HTTP/1.1 400 x\r\n\r\n"), RelayDenied),
        (Answer("HTTP/1.1 429 x\r\n\r\n"), RelayFailed),
        (Answer("HTTP/1.1 451 x\r\n\r\n"), RelayDenied),
        (Answer("HTTP/1.1 500 x\r\n\r\n"), RelayFailed),
        (AnswerAndClose("HTTP/1.1 503 x\r\nContent-Type: text/html\r\n\r\n<p>200</p>"), RelayFailed),
        (Answer("HTTP/1.1 504 x\r\n\r\n"), RelayFailed),
        (Answer("HTTP/1.1 302 x\r\nLocation: http://evil.example/\r\n\r\n"), RelayFailed),
        (Answer("HTTP/1.1 101 x\r\n\r\n"), RelayFailed),
        (Answer("HTTP/1.1 2000 OK\r\n\r\n"), RelayFailed),
        (Answer("HTTP/1.1 20 OK\r\n\r\n"), RelayFailed),
        (Answer("SSH-2.0-x\r\n"), RelayFailed),
        (AnswerAndClose("HTTP/1.1 200 OK\r\n"), RelayFailed),
        (CLOSES, RelayFailed),
    ];
    for (turn, (script, refusal)) in cases.into_iter().enumerate() {
        let (first, second) = (ScriptedRelay::start(script).await, ScriptedRelay::start(WELL).await);
        assert_eq!(outcome(&relays(&[&first])).await, Err(refusal.clone()), "case {turn}, alone");
        assert_ne!(refusal.row().status, 407, "a relay's 407 is never passed on");
        let (expected, asked) = match refusal {
            RelayDenied => (Err(refusal), 0),
            _ => (Ok(second.address), 1),
        };
        assert_eq!(outcome(&relays(&[&first, &second])).await, expected, "case {turn}, with another");
        assert_eq!(second.asked().len(), asked, "case {turn}");
    }
}

#[tokio::test]
async fn r04_an_endless_answer_is_cut_off_and_the_next_relay_is_tried() {
    let endless: &'static str = Box::leak("HTTP/1.1 200 OK\r\nA: ".chars().chain(['a'; 1 << 15]).collect());
    let (first, second) =
        (ScriptedRelay::start(Script::Answer(endless)).await, ScriptedRelay::start(WELL).await);
    assert_eq!(outcome(&relays(&[&first])).await, Err(Refusal::RelayFailed));
    assert_eq!(outcome(&relays(&[&first, &second])).await, Ok(second.address));
}

#[tokio::test]
async fn r07_a_silent_relay_has_its_share_of_the_time_and_then_the_next_is_tried() {
    let (silent, well) = (ScriptedRelay::start(Script::Silence).await, ScriptedRelay::start(WELL).await);
    let (both, begun) = (relays(&[&silent, &well]), Instant::now());
    let time = async {
        silent.until_asked(1).await;
        pass(LIMIT / 4).await;
        let early = well.connections();
        pass(LIMIT / 4).await;
        early
    };
    let (relayed, early) = tokio::join!(outcome(&both), time);
    assert_eq!((relayed, early), (Ok(well.address), 0));
    assert!(begun.elapsed() < LIMIT * 3 / 4, "its share was half: {:?}", begun.elapsed());
    let alone = relays(&[&silent]);
    let time = async {
        silent.until_asked(2).await;
        pass(LIMIT).await;
    };
    assert_eq!(tokio::join!(outcome(&alone), time).0, Err(Refusal::RelayTimeout));
}

#[tokio::test]
async fn r07_silent_relays_together_take_no_longer_than_the_limit() {
    let [first, second] =
        [ScriptedRelay::start(Script::Silence).await, ScriptedRelay::start(Script::Silence).await];
    let (both, begun) = (relays(&[&first, &second]), Instant::now());
    let time = async {
        first.until_asked(1).await;
        pass(LIMIT / 2).await;
        second.until_asked(1).await;
        pass(LIMIT / 2).await;
    };
    assert_eq!(tokio::join!(outcome(&both), time).0, Err(Refusal::RelayTimeout));
    assert!(begun.elapsed() < LIMIT * 5 / 4, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_relay_that_fails_is_passed_over_until_its_time_is_over_and_then_used_again() {
    let (first, second) = (ScriptedRelay::start(CLOSES).await, ScriptedRelay::start(WELL).await);
    let both = relays(&[&first, &second]);
    let asked = || (first.asked().len(), second.asked().len());
    assert_eq!((outcome(&both).await, asked()), (Ok(second.address), (1, 1)));
    assert_eq!((outcome(&both).await, asked()), (Ok(second.address), (1, 2)));
    pass(SHORTEST).await;
    assert_eq!((outcome(&both).await, asked()), (Ok(second.address), (2, 3)));
    assert_eq!((outcome(&both).await, asked()), (Ok(second.address), (2, 4)));
    first.does(WELL);
    pass(SHORTEST).await;
    assert_eq!((outcome(&both).await, asked()), (Ok(second.address), (2, 5)), "the second time is longer");
    pass(SHORTEST).await;
    assert_eq!((outcome(&both).await, asked()), (Ok(first.address), (3, 5)));
    assert_eq!((outcome(&both).await, asked()), (Ok(first.address), (4, 5)));
}

#[tokio::test]
async fn when_all_are_down_all_are_tried_in_order_and_the_most_telling_failure_is_reported() {
    let (_taken, closed) = closed_port();
    let wrong = ScriptedRelay::start(Script::Answer("HTTP/1.1 407 x\r\n\r\n")).await;
    let broken = ScriptedRelay::start(CLOSES).await;
    let own = ScriptedRelay::start(WELL).await;
    let at =
        |addresses: &[SocketAddr]| relays_at(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    let all = at(&[closed, wrong.address, broken.address]);
    for turn in 1..=3 {
        assert_eq!(outcome(&all).await, Err(Refusal::RelayCredentials));
        assert_eq!((wrong.asked().len(), broken.asked().len()), (turn, turn));
    }
    broken.does(WELL);
    assert_eq!(outcome(&all).await, Ok(broken.address));
    assert_eq!(outcome(&all).await, Ok(broken.address));
    assert_eq!(wrong.asked().len(), 4, "the one that is well comes first");
    broken.does(CLOSES);
    assert_eq!(outcome(&at(&[closed, broken.address])).await, Err(Refusal::RelayFailed));
    assert_eq!(outcome(&at(&[closed])).await, Err(Refusal::RelayUnreachable));
    let us = Addresses::default().with_own(vec![own.address]);
    let round = at(&[wrong.address, own.address]);
    let refused = round.connect(&target(), &Passed::default(), &resolver(), &us, LIMIT).await.map(drop);
    assert_eq!(refused, Err(Refusal::SelfConnection { address: own.address.ip() }));
    assert_eq!(own.connections(), 0, "d09: our own listener is never dialled");
}

#[tokio::test]
async fn a_relay_is_found_by_name_wherever_it_is_and_a_name_that_fails_is_a_relay_out_of_reach() {
    let relay = ScriptedRelay::start(WELL).await;
    let port = relay.address.port();
    assert_eq!(outcome(&relays_at(&[format!("{NAME}:{port}")])).await, Ok(relay.address));
    assert_eq!(outcome(&relays_at(&[format!("none.example:{port}")])).await, Err(Refusal::RelayUnreachable));
    let second = relays_at(&[format!("none.example:{port}"), format!("{NAME}:{port}")]);
    assert_eq!(outcome(&second).await, Ok(relay.address));
}

#[tokio::test]
async fn r05_the_operator_is_told_once_what_is_wrong_and_once_that_it_is_over_and_never_the_password() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    // With one subscriber alone, tracing lets the first thread that logs decide for all: two are kept.
    let _two = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);
    let relay = ScriptedRelay::start(Script::Answer("HTTP/1.1 407 hunter2\r\n\r\n")).await;
    let place = relay.address;
    let relays = relays_at(&[format!("user:hunter2@{place}")]);
    for _ in 0..3 {
        assert_eq!(outcome(&relays).await, Err(Refusal::RelayCredentials));
    }
    relay.does(WELL);
    for _ in 0..3 {
        assert_eq!(outcome(&relays).await, Ok(place));
    }
    let text = lines.text();
    let told: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let [bad, good] = told.as_slice() else { panic!("two records: {text}") };
    assert_eq!((&bad["level"], &good["level"]), (&"WARN".into(), &"INFO".into()));
    for record in [bad, good] {
        assert_eq!(record["fields"]["event_id"], events::RELAY.0);
        assert_eq!(record["fields"]["relay"], place.to_string());
    }
    assert!(bad["fields"]["cause"].as_str().is_some_and(|cause| cause.contains("407")), "{bad}");
    for shown in [text, format!("{relays:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("dXNlcjpodW50ZXIy"), "{shown}");
    }
}

// Wine ends a socket in order that is to be reset.
#[cfg(unix)]
#[tokio::test]
async fn a_reset_reaches_the_relay_as_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    for cut in [true, false] {
        let stream = tokio::net::TcpStream::connect(listener.local_addr().expect("bound")).await;
        let upstream = Stream::Plain(stream.expect("connected"));
        let (mut peer, _) = listener.accept().await.expect("accepted");
        if cut {
            upstream.reset();
        }
        drop(upstream);
        let ending = peer.read(&mut [0]).await.map_err(|error| error.kind());
        assert_eq!(ending, if cut { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(0) });
    }
}

#[test]
fn an_empty_list_of_relays_is_refused() {
    assert!(matches!(Relays::new(&RelaySettings::default(), Via::new(0)), Err(RelayError::None)));
}

fn target() -> HostPort {
    TARGET.parse().expect("a target")
}

fn relays(relays: &[&ScriptedRelay]) -> Relays {
    relays_at(&relays.iter().map(|relay| relay.address.to_string()).collect::<Vec<_>>())
}

fn relays_at(values: &[String]) -> Relays {
    let proxies = values.iter().map(|value| value.parse().expect("a proxy value")).collect();
    let settings = RelaySettings { proxies, ..RelaySettings::default() };
    Relays::new(&settings, Via::new(42)).expect("relays")
}

async fn through(relays: &Relays) -> Result<Relayed, Refusal> {
    relays.connect(&target(), &Passed::default(), &resolver(), &Addresses::default(), LIMIT).await
}

/// The first bytes that come out of a tunnel.
async fn first_bytes(mut relayed: Relayed, count: usize) -> Vec<u8> {
    let mut rest = vec![0; count - relayed.early.len()];
    let reading = timeout(LIMIT, relayed.stream.read_exact(&mut rest)).await;
    reading.expect("in time").expect("so many bytes");
    [relayed.early.as_ref(), &rest].concat()
}

/// The relay's address, once its tunnel was seen to carry bytes.
async fn outcome(relays: &Relays) -> Result<SocketAddr, Refusal> {
    let mut relayed = through(relays).await?;
    let mut echo = [0; 4];
    relayed.stream.write_all(b"ping").await.expect("written");
    relayed.stream.flush().await.expect("flushed");
    relayed.stream.read_exact(&mut echo).await.expect("the echo");
    assert_eq!((&echo, relayed.early), (b"ping", Bytes::new()));
    Ok(relayed.address)
}

/// Knows [`NAME`], and that `none.example` has no address; asks nobody.
fn resolver() -> Resolver {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut settings = DnsSettings { servers: vec![nobody], ..DnsSettings::default() };
    let here = FixedAddress { ip: Ipv4Addr::LOCALHOST.into(), port: None };
    settings.hosts.insert(NAME.parse().expect("a name"), vec![here]);
    settings.hosts.insert("none.example".parse().expect("a name"), vec![]);
    Resolver::new(&settings).expect("a resolver")
}

/// Lets time pass at once. Only while no socket is waited for: the clock would run away.
async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// A port that is taken, so that nobody else gets it, but does not listen.
fn closed_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    (socket, address)
}
