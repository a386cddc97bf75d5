//! The resolver against scripted name servers on loopback.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::rdata::AAAA;
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

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
async fn d06_a_thousand_addresses_come_by_tcp_and_are_cut_to_the_bound() {
    let server = Server::start(|asked| match (asked.query.query_type(), asked.transport) {
        (RecordType::AAAA, _) => asked.addresses(0, &["2603::1"]),
        (_, Transport::Udp) => asked.reply(|reply| reply.metadata.truncation = true),
        (_, Transport::Tcp) => asked.reply(|reply| {
            let all = (0..1000_u32).map(|index| Ipv4Addr::from(0x1400_0000 + index));
            reply.answers = all.map(|ip| record(&asked.query.name, 0, RData::A(A(ip)))).collect();
        }),
    })
    .await;
    let found = server.resolver(PATIENT).resolve(&target(HOST)).await.expect("addresses");
    assert_eq!(found.len(), MOST_ADDRESSES);
    assert!(found.starts_with(&sockets(&["[2603::1]:443", "20.0.0.0:443", "20.0.0.1:443"])), "{found:?}");
}

#[tokio::test]
async fn d06_a_reply_that_does_not_parse_is_a_failure_and_not_a_crash() {
    let pointer_to_itself = |at: u8| vec![0xc0, at];
    let pointer_ahead = |at: u8| vec![0xc0, at + 2, 0xc0, at];
    let cases: [(&str, Box<dyn Fn(u8) -> Vec<u8> + Send + Sync>); 5] = [
        ("pointer to itself", Box::new(pointer_to_itself)),
        ("pointers in a circle", Box::new(pointer_ahead)),
        ("label of 65 bytes", Box::new(|_| [vec![65], vec![b'a'; 65], vec![0]].concat())),
        ("label of 90 bytes", Box::new(|_| [vec![90], vec![b'a'; 90], vec![0]].concat())),
        ("cut short", Box::new(|_| vec![3, b'a'])),
    ];
    for (case, owner) in cases {
        let server = Server::start(move |asked| {
            let mut reply = asked.reply(|_| ()).expect("a reply");
            // One answer: its owner, then type A, class IN, TTL 0, four bytes.
            let at = u8::try_from(reply.len()).expect("a short reply");
            reply.splice(6..8, [0, 1]);
            reply.extend(owner(at));
            reply.extend([0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 20, 0, 0, 1]);
            Some(reply)
        })
        .await;
        assert_eq!(server.resolver(PATIENT).resolve(&target(HOST)).await, Err(Refusal::NameFailed), "{case}");
    }
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
            let servers = hickory_resolver::proto::rr::rdata::NS(name("ns.example."));
            reply.add_authority(record(&name("example."), 60, RData::NS(servers)));
        })
    });
    let cases: [(&str, Script, Script, _); 10] = [
        ("no such name", code(NXDomain), code(NXDomain), missing.clone()),
        ("no data", code(NoError), code(NoError), missing.clone()),
        ("no data in a zone", empty_zone, code(NXDomain), missing),
        ("server failure", code(ServFail), code(ServFail), failed.clone()),
        ("refused", code(Refused), code(Refused), failed.clone()),
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

#[test]
fn d12_only_the_name_servers_of_the_system_are_taken_over() {
    let text =
        "search evil.example\ndomain evil.example\noptions ndots:5\nnameserver 10.0.0.53\nnameserver ::1\n";
    let (system, _) = parse_resolv_conf(text).expect("a good resolv.conf");
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

type Script = Box<dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// One question to a server. A script answers it with a message, or not at all.
struct Asked {
    id: u16,
    query: Query,
    transport: Transport,
    /// How many other questions of its type came before it; a repeated one keeps its turn.
    turn: usize,
}

impl Asked {
    fn reply(&self, fill: impl FnOnce(&mut Message)) -> Option<Vec<u8>> {
        let mut reply = Message::response(self.id, OpCode::Query);
        reply.add_query(self.query.clone());
        fill(&mut reply);
        Some(reply.to_vec().expect("a message"))
    }

    fn code(&self, code: ResponseCode) -> Option<Vec<u8>> {
        self.reply(|reply| reply.metadata.response_code = code)
    }

    fn nothing(&self, ttl: u32) -> Option<Vec<u8>> {
        let soa = SOA::new(name("ns.example."), name("host.example."), 1, 2, 3, 4, ttl);
        self.reply(|reply| {
            reply.add_authority(record(&name("example."), ttl, RData::SOA(soa)));
        })
    }

    /// Answers with those of the addresses that are of the asked family.
    fn addresses(&self, ttl: u32, all: &[&str]) -> Option<Vec<u8>> {
        self.reply(|reply| {
            for ip in all {
                let data = match ip.parse().expect("literal address") {
                    IpAddr::V4(ip) => RData::A(A(ip)),
                    IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
                };
                if data.record_type() == self.query.query_type() {
                    reply.add_answer(record(&self.query.name, ttl, data));
                }
            }
        })
    }
}

/// A name server on loopback, over UDP and TCP on one port; it stops when dropped.
struct Server {
    address: SocketAddr,
    seen: Seen,
    _tasks: JoinSet<()>,
}

/// Questions by id, in order; one that is sent again over UDP or TCP counts once.
type Seen = Arc<Mutex<Vec<(u16, Query)>>>;

impl Server {
    async fn start(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            let address = udp.local_addr().expect("bound");
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("bound");
        let seen = Seen::default();
        let script = Arc::new(Recorded { script, seen: seen.clone() });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, script.clone()));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                connections.spawn(serve_tcp(stream, script.clone()));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    fn settings(&self, timeout: Duration) -> DnsSettings {
        DnsSettings { servers: vec![self.address], timeout, ..DnsSettings::default() }
    }

    /// Returns a resolver that waits for the second family, so that a busy machine changes nothing.
    fn resolver(&self, timeout: Duration) -> Resolver {
        unhurried(&self.settings(timeout))
    }

    /// Returns the questions so far, sorted.
    fn asked(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("not poisoned");
        let mut all: Vec<_> =
            seen.iter().map(|(_, query)| format!("{} {}", query.name, query.query_type)).collect();
        all.sort();
        all
    }
}

struct Recorded<F> {
    script: F,
    seen: Seen,
}

impl<F: Fn(&Asked) -> Option<Vec<u8>>> Recorded<F> {
    fn answer(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let message = Message::from_vec(message).expect("a question");
        let [query] = message.queries.as_slice() else { panic!("one question a message") };
        let mut seen = self.seen.lock().expect("not poisoned");
        let same = |(id, other): &(u16, Query)| *id == message.id && other == query;
        let place = seen.iter().position(same).unwrap_or(seen.len());
        if place == seen.len() {
            seen.push((message.id, query.clone()));
        }
        let before = seen.iter().take(place);
        let turn = before.filter(|(_, other)| other.query_type == query.query_type).count();
        (self.script)(&Asked { id: message.id, query: query.clone(), transport, turn })
    }
}

async fn serve_udp<F: Fn(&Asked) -> Option<Vec<u8>>>(socket: UdpSocket, script: Arc<Recorded<F>>) {
    let mut message = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut message).await {
        if let Some(reply) = script.answer(message.get(..length).expect("in the buffer"), Transport::Udp) {
            socket.send_to(&reply, from).await.expect("a reply sent");
        }
    }
}

async fn serve_tcp<F: Fn(&Asked) -> Option<Vec<u8>>>(mut stream: TcpStream, script: Arc<Recorded<F>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.expect("a whole question");
        if let Some(reply) = script.answer(&message, Transport::Tcp) {
            let length = u16::try_from(reply.len()).expect("a short reply");
            stream.write_u16(length).await.expect("a reply sent");
            stream.write_all(&reply).await.expect("a reply sent");
        }
    }
}

fn unhurried(settings: &DnsSettings) -> Resolver {
    let resolver = Resolver::new(settings).expect("a resolver");
    Resolver { resolution_delay: PATIENT, ..resolver }
}

fn target(text: &str) -> HostPort {
    text.parse().expect("literal target")
}

fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("literal address")).collect()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("literal name")
}

fn record(owner: &Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(owner.clone(), ttl, data)
}
