//! The resolver against scripted name servers on loopback.

mod scripted;

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::rdata::NS;

use self::scripted::Asked;
use self::scripted::Script;
use self::scripted::Server;
use self::scripted::Transport;
use self::scripted::answer_by_hand;
use self::scripted::name;
use self::scripted::record;
use self::scripted::unhurried;
use super::*;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::Mode;
use crate::policy::destinations::Pins;

const PATIENT: Duration = Duration::from_secs(30);
const HOST: &str = "a.example:443";

#[tokio::test]
async fn d01_each_decision_asks_once_for_each_family_and_gets_that_answer() {
    let server = Server::start(|asked| match (asked.query.query_type(), asked.turn) {
        (RecordType::A, 0) => asked.addresses(0, &["20.0.0.1"]),
        (RecordType::A, _) => asked.addresses(0, &["127.0.0.1"]),
        _ => asked.code(ResponseCode::NoError),
    })
    .await;
    let resolver = server.resolver(PATIENT);
    assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    assert_eq!(server.asked(), ["a.example. A", "a.example. AAAA"]);
    assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["127.0.0.1:443"])));
    assert_eq!(server.asked(), ["a.example. A", "a.example. A", "a.example. AAAA", "a.example. AAAA"]);
}

#[tokio::test]
async fn an_answer_with_a_ttl_is_asked_for_once() {
    let server = Server::start(|asked| match asked.query.query_type() {
        RecordType::A => asked.addresses(60, &["20.0.0.1"]),
        _ => asked.nothing(60),
    })
    .await;
    let resolver = server.resolver(PATIENT);
    for _ in 0..3 {
        assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    }
    assert_eq!(server.asked(), ["a.example. A", "a.example. AAAA"]);
}

#[tokio::test]
async fn d06_sixty_four_kilobytes_of_addresses_come_by_tcp_and_are_cut_to_the_bound() {
    const COUNT: u16 = 4090;
    let server = Server::start(|asked| match (asked.query.query_type(), asked.transport) {
        (RecordType::AAAA, _) => asked.addresses(0, &["2603::1"]),
        (_, Transport::Udp) => asked.reply(|reply| reply.metadata.truncation = true),
        (_, Transport::Tcp) => {
            let question = vec![0xc0, 12];
            let all = (0..COUNT).flat_map(|index| answer_by_hand(&question, index.to_be_bytes()));
            asked.by_hand(COUNT, all)
        }
    })
    .await;
    let found = server.resolver(PATIENT).resolve(&target(HOST)).await.expect("addresses");
    assert_eq!(found.len(), MOST_ADDRESSES);
    assert!(found.starts_with(&sockets(&["[2603::1]:443", "20.0.0.0:443", "20.0.0.1:443"])), "{found:?}");
}

#[tokio::test]
async fn d06_a_reply_that_does_not_parse_is_a_failure_and_not_a_crash() {
    // "a.example." in a question ends at byte 27: there the answer begins.
    let cases = [
        ("a pointer to itself", vec![0xc0, 27]),
        ("two pointers in a circle", vec![0xc0, 29, 0xc0, 27]),
        ("a label of 65 bytes", [vec![65], vec![b'a'; 65], vec![0]].concat()),
        ("a label of 90 bytes", [vec![90], vec![b'a'; 90], vec![0]].concat()),
        ("a label beyond the end", vec![63, b'a']),
    ];
    for (case, owner) in cases {
        let server = Server::start(move |asked| asked.by_hand(1, answer_by_hand(&owner, [0, 1]))).await;
        assert_eq!(server.resolver(PATIENT).resolve(&target(HOST)).await, Err(Refusal::NameFailed), "{case}");
    }
    let owner = vec![0xc0, 12];
    let server = Server::start(move |asked| asked.by_hand(1, answer_by_hand(&owner, [0, 1]))).await;
    let found = server.resolver(PATIENT).resolve(&target(HOST)).await;
    assert_eq!(found, Ok(sockets(&["20.0.0.1:443"])), "the others differ in the owner only");
}

#[tokio::test]
async fn d07_aliases_are_followed_in_the_reply_and_never_by_another_query() {
    let server = Server::start(|asked| {
        asked.reply(|reply| {
            let elsewhere = name("elsewhere.example.");
            reply.add_answer(record(&asked.query.name, 0, RData::CNAME(CNAME(elsewhere.clone()))));
            if asked.query.query_type() == RecordType::A {
                reply.add_answer(record(&elsewhere, 0, RData::A(A::new(20, 0, 0, 1))));
            }
        })
    })
    .await;
    assert_eq!(server.resolver(PATIENT).resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    assert_eq!(server.asked(), ["a.example. A", "a.example. AAAA"]);
}

#[tokio::test]
async fn d07_a_loop_of_aliases_fails_after_one_query_a_family() {
    let server = Server::start(|asked| {
        asked.reply(|reply| {
            let other = name("b.example.");
            reply.add_answer(record(&asked.query.name, 0, RData::CNAME(CNAME(other.clone()))));
            reply.add_answer(record(&other, 0, RData::CNAME(CNAME(asked.query.name.clone()))));
        })
    })
    .await;
    assert_eq!(server.resolver(PATIENT).resolve(&target(HOST)).await, Err(Refusal::NameFailed));
    assert_eq!(server.asked(), ["a.example. A", "a.example. AAAA"]);
}

#[tokio::test]
async fn d08_every_failure_has_its_own_reason_and_both_families_are_judged_together() {
    use ResponseCode::*;
    let (found, failed) = (Ok(sockets(&["20.0.0.1:443"])), Err(Refusal::NameFailed));
    let missing = Err(Refusal::NameNotFound);
    let address: Script = Box::new(|asked| asked.addresses(0, &["20.0.0.1"]));
    let code = |code| -> Script { Box::new(move |asked| asked.code(code)) };
    let empty_zone: Script = Box::new(|asked| asked.nothing(60));
    let referral: Script = Box::new(|asked| {
        asked.reply(|reply| {
            let servers = NS(name("ns.example."));
            reply.add_authority(record(&name("example."), 60, RData::NS(servers)));
        })
    });
    let cases: [(&str, Script, Script, _); 11] = [
        ("no such name", code(NXDomain), code(NXDomain), missing.clone()),
        ("no data", code(NoError), code(NoError), missing.clone()),
        ("no data in a zone", empty_zone, code(NXDomain), missing),
        ("server failure", code(ServFail), code(ServFail), failed.clone()),
        ("refused", code(Refused), code(Refused), failed.clone()),
        ("an unassigned code", code(Unknown(12)), code(Unknown(12)), failed.clone()),
        ("a server that does not recurse", referral, code(NoError), failed.clone()),
        ("A fails, AAAA is empty", code(ServFail), code(NoError), failed.clone()),
        ("A is empty, AAAA fails", code(NoError), code(ServFail), failed),
        ("AAAA fails", address, code(ServFail), found.clone()),
        ("AAAA has no such name", Box::new(|asked| asked.addresses(0, &["20.0.0.1"])), code(NXDomain), found),
    ];
    for (case, v4, v6, expected) in cases {
        let server = Server::start(move |asked| match asked.query.query_type() {
            RecordType::A => v4(asked),
            _ => v6(asked),
        })
        .await;
        assert_eq!(server.resolver(PATIENT).resolve(&target(HOST)).await, expected, "{case}");
        assert_eq!(server.asked(), ["a.example. A", "a.example. AAAA"], "{case}");
    }
}

#[tokio::test]
async fn d08_silence_is_a_timeout_even_when_one_family_answers_emptily() {
    let cases = [
        |_: &Asked| None,
        |asked: &Asked| match asked.query.query_type() {
            RecordType::A => None,
            _ => asked.code(ResponseCode::NoError),
        },
    ];
    for script in cases {
        let server = Server::start(script).await;
        let resolver = server.resolver(Duration::from_millis(200));
        assert_eq!(resolver.resolve(&target(HOST)).await, Err(Refusal::NameTimeout));
    }
}

#[tokio::test]
async fn a_silent_second_family_does_not_hold_up_the_first() {
    for silent in [RecordType::A, RecordType::AAAA] {
        let server = Server::start(move |asked| match asked.query.query_type() {
            family if family == silent => None,
            RecordType::A => asked.addresses(0, &["20.0.0.1"]),
            _ => asked.addresses(0, &["2603::1"]),
        })
        .await;
        let resolver = Resolver::new(&server.settings(Duration::from_secs(600))).expect("a resolver");
        let target = target(HOST);
        let found = timeout(PATIENT, resolver.resolve(&target)).await.expect("not the whole timeout");
        assert_eq!(found.map(|found| found.len()), Ok(1), "{silent} is silent");
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_family_is_waited_for_when_it_comes_within_the_resolution_delay() {
    async fn after(milliseconds: u64, outcome: Outcome) -> Outcome {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        outcome
    }
    let v6 = || Ok(vec![IpAddr::from(Ipv6Addr::LOCALHOST)]);
    let v4 = || Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]);
    assert_eq!(both(after(49, v6()), after(0, v4()), RESOLUTION_DELAY).await, (v6(), v4()));
    assert_eq!(both(after(0, v6()), after(49, v4()), RESOLUTION_DELAY).await, (v6(), v4()));
    assert_eq!(both(after(51, v6()), after(0, v4()), RESOLUTION_DELAY).await, (Err(Trouble::Timeout), v4()));
    assert_eq!(both(after(0, v6()), after(51, v4()), RESOLUTION_DELAY).await, (v6(), Err(Trouble::Timeout)));
    let empty = || Ok(vec![]);
    assert_eq!(both(after(0, empty()), after(4000, v4()), RESOLUTION_DELAY).await, (empty(), v4()));
    let failed = || Err(Trouble::Failed);
    assert_eq!(both(after(4000, v6()), after(0, failed()), RESOLUTION_DELAY).await, (v6(), failed()));
}

#[tokio::test]
async fn d12_names_are_asked_for_as_they_are_and_search_lists_never_apply() {
    let server = Server::start(|asked| asked.code(ResponseCode::NXDomain)).await;
    let resolver = server.resolver(PATIENT);
    assert_eq!(resolver.resolve(&target("foo:443")).await, Err(Refusal::NameNotFound));
    assert_eq!(resolver.resolve(&target("localhost:443")).await, Err(Refusal::NameNotFound));
    assert_eq!(server.asked(), ["foo. A", "foo. AAAA", "localhost. A", "localhost. AAAA"]);
}

#[cfg(unix)]
#[test]
fn d12_only_the_name_servers_of_the_system_are_taken_over() {
    let text =
        "search evil.example\ndomain evil.example\noptions ndots:5\nnameserver 10.0.0.53\nnameserver ::1\n";
    let (system, _) = hickory_resolver::system_conf::parse_resolv_conf(text).expect("a good resolv.conf");
    assert_eq!(system_servers(&system), sockets(&["10.0.0.53:53", "[::1]:53"]));
}

#[tokio::test]
async fn a_fixed_name_is_answered_from_the_settings_only_with_its_own_port() {
    let server = Server::start(|asked| asked.addresses(60, &["20.0.0.9"])).await;
    let fixed = |ip: &str, port| FixedAddress { ip: ip.parse().expect("literal address"), port };
    let mut settings = server.settings(PATIENT);
    let some = vec![fixed("20.0.0.1", None), fixed("127.0.0.1", Some(8443)), fixed("::1", None)];
    settings.hosts.insert(target(HOST).name().clone(), some);
    settings.hosts.insert(target("none.example:443").name().clone(), vec![]);
    let many = vec![fixed("20.0.0.1", None); MOST_ADDRESSES + 1];
    settings.hosts.insert(target("many.example:443").name().clone(), many);
    let resolver = Resolver::new(&settings).expect("a resolver");
    let expected = sockets(&["20.0.0.1:443", "127.0.0.1:8443", "[::1]:443"]);
    assert_eq!(resolver.resolve(&target("A.Example:443")).await, Ok(expected));
    assert_eq!(resolver.resolve(&target("none.example:443")).await, Err(Refusal::NameNotFound));
    let many = resolver.resolve(&target("many.example:443")).await.expect("addresses");
    assert_eq!(many.len(), MOST_ADDRESSES);
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_fails_is_passed_over_and_the_last_that_answered_is_asked_first() {
    let failing = Server::start(|asked| asked.code(ResponseCode::ServFail)).await;
    let answering = Server::start(|asked| asked.addresses(0, &["20.0.0.1", "2603::1"])).await;
    let mut settings = failing.settings(PATIENT);
    settings.servers.push(answering.address);
    let resolver = unhurried(&settings);
    for _ in 0..3 {
        let found = resolver.resolve(&target(HOST)).await;
        assert_eq!(found, Ok(sockets(&["[2603::1]:443", "20.0.0.1:443"])));
    }
    assert_eq!(failing.asked(), ["a.example. A", "a.example. AAAA"]);
    assert_eq!(answering.asked().len(), 6);
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_while_another_answers() {
    let silent = Server::start(|_| None).await;
    let answering = Server::start(|asked| asked.addresses(60, &["20.0.0.1", "2603::1"])).await;
    let mut settings = silent.settings(PATIENT);
    settings.servers.push(answering.address);
    let found = unhurried(&settings).resolve(&target(HOST)).await;
    assert_eq!(found, Ok(sockets(&["[2603::1]:443", "20.0.0.1:443"])));
    assert!(!silent.asked().is_empty(), "the first server was asked, too");
}

#[tokio::test]
async fn an_outage_of_the_name_servers_is_bridged_with_the_last_good_answer_if_it_may_be() {
    let script = |asked: &Asked| match (asked.query.query_type(), asked.turn) {
        (RecordType::A, 0) => asked.addresses(0, &["20.0.0.1"]),
        (RecordType::AAAA, 0) => asked.nothing(0),
        _ => asked.code(ResponseCode::ServFail),
    };
    for (stale_for, bridged) in [(Duration::from_secs(60), true), (Duration::ZERO, false)] {
        let server = Server::start(script).await;
        let mut settings = server.settings(PATIENT);
        settings.stale_for = stale_for;
        let resolver = unhurried(&settings);
        assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
        let second = resolver.resolve(&target(HOST)).await;
        let expected = if bridged { Ok(sockets(&["20.0.0.1:443"])) } else { Err(Refusal::NameFailed) };
        assert_eq!(second, expected, "stale for {stale_for:?}");
    }
}

#[tokio::test]
async fn a_used_answer_is_asked_for_again_before_it_expires() {
    let server = Server::start(|asked| match (asked.query.query_type(), asked.turn) {
        (RecordType::A, 0) => asked.addresses(60, &["20.0.0.1"]),
        (RecordType::A, _) => asked.addresses(60, &["20.0.0.2"]),
        _ => asked.nothing(60),
    })
    .await;
    let resolver = server.resolver(PATIENT);
    assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    resolver.refresh_at(Instant::now() + Duration::from_secs(58)).await;
    assert_eq!(resolver.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.2:443"])));
    assert_eq!(server.asked(), ["a.example. A", "a.example. A", "a.example. AAAA"]);
}

#[tokio::test]
async fn in_report_mode_inside_addresses_and_other_ports_are_for_the_operators_own_word_only() {
    let server = Server::start(|asked| asked.addresses(60, &["20.0.0.9"])).await;
    let mut settings = server.settings(PATIENT);
    let fixed = FixedAddress { ip: IpAddr::from([10, 1, 2, 3]), port: Some(8443) };
    settings.hosts.insert(target(HOST).name().clone(), vec![fixed]);
    let resolver = Resolver::new(&settings).expect("a resolver");
    let addresses = Addresses::new(vec!["10.1.0.0/16".parse().expect("a range")]);
    let reporting = Destinations::new([], Pins::default()).in_mode(Mode::Report);
    for (host, found, dialled) in [
        (HOST, "10.1.2.3:8443", true),
        (HOST, "10.1.2.3:443", false),
        (HOST, "10.1.2.4:443", false),
        ("evil.example:443", "10.1.2.3:8443", false),
        ("evil.example:443", "10.1.2.3:443", false),
        ("evil.example:443", "20.0.0.9:443", true),
    ] {
        let permit = reporting.authorize(&target(host)).expect("is let through");
        let found = found.parse().expect("an address");
        assert_eq!(resolver.vet(&permit, found, &addresses).is_ok(), dialled, "{host} at {found}");
    }
}

fn target(text: &str) -> HostPort {
    text.parse().expect("literal target")
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("literal address")).collect()
}

#[tokio::test]
async fn a_resolver_for_other_settings_knows_the_answers_of_the_same_servers_and_of_no_others() {
    let answering = |address: &'static str| {
        Server::start(move |asked| match asked.query.query_type() {
            RecordType::A => asked.addresses(60, &[address]),
            _ => asked.nothing(60),
        })
    };
    let (server, other) = (answering("20.0.0.1").await, answering("20.0.0.2").await);
    let first = Arc::new(server.resolver(PATIENT));
    assert_eq!(first.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    let mut settings = server.settings(PATIENT);
    assert!(Arc::ptr_eq(&first, &first.renewed(&settings).expect("a resolver")), "nothing changed");
    let fixed = FixedAddress { ip: IpAddr::from([20, 0, 0, 9]), port: None };
    settings.hosts.insert("fixed.example".parse().expect("a name"), vec![fixed]);
    let second = first.renewed(&settings).expect("a resolver");
    assert_eq!(second.resolve(&target("fixed.example:443")).await, Ok(sockets(&["20.0.0.9:443"])));
    assert_eq!(second.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.1:443"])));
    assert_eq!(server.asked().len(), 2, "it was known");
    let third = second.renewed(&other.settings(PATIENT)).expect("a resolver");
    assert_eq!(third.resolve(&target(HOST)).await, Ok(sockets(&["20.0.0.2:443"])));
}
