//! A name server on loopback that answers by a script.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::rdata::AAAA;
use hickory_resolver::proto::rr::rdata::SOA;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::PATIENT;
use crate::dial::resolve::Resolver;
use crate::policy::names::DnsSettings;

pub(super) type Script = Box<dyn Fn(&Asked) -> Option<Vec<u8>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// One question to a server. A script answers it with a message, or not at all.
pub(super) struct Asked {
    id: u16,
    pub(super) query: Query,
    pub(super) transport: Transport,
    /// How many other questions of its type came before it; a repeated one keeps its turn.
    pub(super) turn: usize,
}

impl Asked {
    pub(super) fn reply(&self, fill: impl FnOnce(&mut Message)) -> Option<Vec<u8>> {
        let mut reply = Message::response(self.id, OpCode::Query);
        reply.add_query(self.query.clone());
        fill(&mut reply);
        Some(reply.to_vec().expect("a message"))
    }

    /// Answers with records in wire format, whatever they are.
    pub(super) fn by_hand(&self, count: u16, answers: impl IntoIterator<Item = u8>) -> Option<Vec<u8>> {
        let mut reply = self.reply(|_| ())?;
        reply.splice(6..8, count.to_be_bytes());
        reply.extend(answers);
        Some(reply)
    }

    pub(super) fn code(&self, code: ResponseCode) -> Option<Vec<u8>> {
        self.reply(|reply| reply.metadata.response_code = code)
    }

    pub(super) fn nothing(&self, ttl: u32) -> Option<Vec<u8>> {
        let soa = SOA::new(name("ns.example."), name("host.example."), 1, 2, 3, 4, ttl);
        self.reply(|reply| {
            reply.add_authority(record(&name("example."), ttl, RData::SOA(soa)));
        })
    }

    /// Answers with those of the addresses that are of the asked family.
    pub(super) fn addresses(&self, ttl: u32, all: &[&str]) -> Option<Vec<u8>> {
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
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Seen,
    _tasks: JoinSet<()>,
}

/// Questions by id, in order; one that is sent again over UDP or TCP counts once.
type Seen = Arc<Mutex<Vec<(u16, Query)>>>;

impl Server {
    pub(super) async fn start(script: impl Fn(&Asked) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
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

    pub(super) fn settings(&self, timeout: Duration) -> DnsSettings {
        DnsSettings { servers: vec![self.address], timeout, ..DnsSettings::default() }
    }

    /// Returns a resolver that waits for the second family, so that a busy machine changes nothing.
    pub(super) fn resolver(&self, timeout: Duration) -> Resolver {
        unhurried(&self.settings(timeout))
    }

    /// Returns the questions so far, sorted.
    pub(super) fn asked(&self) -> Vec<String> {
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

pub(super) fn unhurried(settings: &DnsSettings) -> Resolver {
    let resolver = Resolver::new(settings).expect("a resolver");
    Resolver { resolution_delay: PATIENT, ..resolver }
}

/// Returns a record in wire format: type A, class IN, TTL 0, an address in 20.0.0.0/16.
pub(super) fn answer_by_hand(owner: &[u8], [high, low]: [u8; 2]) -> Vec<u8> {
    [owner, &[0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 20, 0, high, low]].concat()
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("literal name")
}

pub(super) fn record(owner: &Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(owner.clone(), ttl, data)
}
