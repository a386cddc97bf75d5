//! Relays behind TLS.

use std::path::Path;

use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::version::TLS13;

use super::scripted::Authority;
use super::*;

#[tokio::test]
async fn an_https_relay_is_asked_inside_tls_that_proves_its_name_or_address() {
    let authority = Authority::new();
    for (name, version) in [(NAME, &TLS13), (NAME, &TLS12), ("127.0.0.1", &TLS13)] {
        let acceptor = authority.acceptor(name, version);
        let relay = ScriptedRelay::secure(Script::Answer("HTTP/1.1 200 OK\r\n\r\n"), acceptor).await;
        let relays = trusting(&authority.file(), &[format!("https://u:p@{name}:{}", relay.address.port())]);
        assert_eq!(outcome(&relays).await, Ok(relay.address), "{name}, {version:?}");
        let head = relay.asked().concat();
        assert!(head.starts_with(&format!("CONNECT {TARGET} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"), "{head}");
        let Ok(Relayed { stream: Stream::Tls(stream), .. }) = through(&relays).await else {
            panic!("TLS to {name}");
        };
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
}

#[tokio::test]
async fn r01_early_bytes_inside_tls_are_not_lost_either() {
    let authority = Authority::new();
    let answer = Script::Answer("HTTP/1.1 200 OK\r\n\r\nearly");
    let relay = ScriptedRelay::secure(answer, authority.acceptor(NAME, &TLS13)).await;
    let relays = trusting(&authority.file(), &[format!("https://{NAME}:{}", relay.address.port())]);
    assert_eq!(first_bytes(through(&relays).await.expect("a tunnel"), 5).await, b"early");
}

#[tokio::test]
async fn r07_a_relay_that_does_not_prove_its_name_is_told_nothing_and_the_next_is_tried() {
    let (ours, other) = (Authority::new(), Authority::new());
    let well = ScriptedRelay::start(WELL).await;
    let bad = [
        ScriptedRelay::secure(WELL, ours.acceptor("other.example", &TLS13)).await,
        ScriptedRelay::secure(WELL, other.acceptor(NAME, &TLS13)).await,
        // Speaks no TLS: it waits for the end of a request head, and we for its hello.
        ScriptedRelay::start(WELL).await,
    ];
    let [wrong_name, wrong_authority, plain] = &bad;
    for relay in [wrong_name, wrong_authority] {
        let value = format!("https://u:p@{NAME}:{}", relay.address.port());
        let alone = trusting(&ours.file(), std::slice::from_ref(&value));
        assert_eq!(outcome(&alone).await, Err(Refusal::RelayFailed));
        let both = trusting(&ours.file(), &[value, well.address.to_string()]);
        assert_eq!(outcome(&both).await, Ok(well.address));
        assert_eq!((relay.asked().len(), relay.connections()), (0, 2));
    }
    let value = format!("https://u:p@{NAME}:{}", plain.address.port());
    let both = trusting(&ours.file(), &[value, well.address.to_string()]);
    let time = async {
        while plain.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        pass(LIMIT / 2).await;
    };
    assert_eq!(tokio::join!(outcome(&both), time).0, Ok(well.address));
    assert_eq!(plain.asked(), [""; 0]);
}

#[tokio::test]
async fn a_relay_whose_tls_ends_without_a_good_bye_or_in_our_reset_is_broken_off() {
    let authority = Authority::new();
    let relay = ScriptedRelay::secure(WELL, authority.acceptor(NAME, &TLS13)).await;
    let relays = trusting(&authority.file(), &[format!("https://{NAME}:{}", relay.address.port())]);
    let mut relayed = through(&relays).await.expect("a tunnel");
    drop(relay);
    let ending = relayed.stream.read(&mut [0]).await.map_err(|error| error.kind());
    assert!(ending.is_err(), "{ending:?}: the rest may have been cut off");
    relayed.stream.reset();
    assert_eq!(socket2::SockRef::from(relayed.stream.socket()).linger().ok(), Some(Some(Duration::ZERO)));
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_refused_with_its_name() {
    let missing = Path::new("missing.pem");
    let error = tls::connector(Some(missing)).map(drop).expect_err("refused").to_string();
    assert!(error.starts_with("missing.pem"), "{error}");
}

fn trusting(ca: &Path, values: &[String]) -> Relays {
    let proxies = values.iter().map(|value| value.parse().expect("a proxy value")).collect();
    let settings = RelaySettings { proxies, ca: Some(ca.to_owned()), bypass: Vec::new() };
    Relays::new(&settings, Via::new(42)).expect("relays")
}
