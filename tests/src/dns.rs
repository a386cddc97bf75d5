//! FakeDns: a name server over UDP and TCP that says what a test tells it, and remembers what it was asked.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use hickory_proto::op::Message;
use hickory_proto::op::Metadata;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use hickory_proto::rr::RData;
use hickory_proto::rr::Record;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::CNAME;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

const LARGEST_UDP_ANSWER: usize = 1232;
const LONGEST_CHAIN: usize = 32;

/// One answer of the script.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These addresses; a query of the other type gets an empty answer.
    Addresses(Vec<IpAddr>),
    /// An alias for another name, whose own answer follows in the same message, as recursive servers do.
    Alias(String),
    /// An error.
    Failure(ResponseCode),
    /// No answer at all.
    Silence,
    /// One record whose name is these bytes, which no resolver may follow to its end.
    Malformed(Vec<u8>),
}

impl Reply {
    /// Returns an answer with one address.
    pub fn address(address: &str) -> Self {
        Self::Addresses(vec![address.parse().expect("a literal address")])
    }
}

/// A name server on loopback that stops when it is dropped.
pub struct FakeDns {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    script: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    queries: Mutex<Vec<(String, RecordType)>>,
    time_to_live: AtomicU32,
}

impl FakeDns {
    /// Starts with an empty script: every name does not exist.
    pub async fn start() -> Self {
        let (udp, tcp) = bind_both().await;
        Self::start_on(udp, tcp)
    }

    /// Starts with an empty script on sockets that are bound to one address.
    pub fn start_on(udp: UdpSocket, tcp: TcpListener) -> Self {
        let address = udp.local_addr().expect("a bound address");
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(udp, tcp, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Returns where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the answers for a name, one a lookup of its IPv4 address; the last one stays.
    pub fn script(&self, name: &str, replies: impl Into<VecDeque<Reply>>) {
        let replies = replies.into();
        assert!(!replies.is_empty(), "a script needs an answer");
        self.state.script.lock().expect("no panic under the lock").insert(name.to_owned(), replies);
    }

    /// Sets how many seconds answers may be kept from now on; none at first.
    pub fn keep_for(&self, seconds: u32) {
        self.state.time_to_live.store(seconds, Ordering::Relaxed);
    }

    /// Returns every question so far, in lower case and without the root's dot.
    pub fn queries(&self) -> Vec<(String, RecordType)> {
        self.state.queries.lock().expect("no panic under the lock").clone()
    }

    /// Returns how often the IPv4 address of this name was asked for.
    pub fn lookups(&self, name: &str) -> usize {
        let of_name = |(asked, kind): &&(String, RecordType)| asked == name && *kind == RecordType::A;
        self.queries().iter().filter(of_name).count()
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Notes the question and returns the bytes to send back, if any.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?.clone();
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let kind = question.query_type();
        self.queries.lock().expect("no panic under the lock").push((name.clone(), kind));
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata = Metadata::response_from_request(&query.metadata);
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        let mut owner = question.name().clone();
        let mut reply = self.reply(&name, kind);
        while let (Some(Reply::Alias(target)), true) = (&reply, response.answers.len() < LONGEST_CHAIN) {
            let next = Name::from_str(&format!("{target}.")).expect("a name");
            response.add_answer(self.record(&owner, RData::CNAME(CNAME(next.clone()))));
            owner = next;
            reply = self.reply(target, kind);
        }
        match reply {
            None => response.metadata.response_code = ResponseCode::NXDomain,
            Some(Reply::Failure(code)) => response.metadata.response_code = code,
            Some(Reply::Silence) => return None,
            Some(Reply::Malformed(owner)) => return Some(malformed(&response, &owner)),
            Some(Reply::Alias(_)) => {}
            Some(Reply::Addresses(addresses)) => {
                let of_kind = addresses.into_iter().filter(|address| record_type(*address) == kind);
                response.add_answers(of_kind.map(|address| self.record(&owner, RData::from(address))));
            }
        }
        Some(response.to_vec().expect("an encodable answer"))
    }

    /// Takes the next answer; questions for other types than A look at it without taking it.
    fn reply(&self, name: &str, kind: RecordType) -> Option<Reply> {
        let mut script = self.script.lock().expect("no panic under the lock");
        let replies = script.get_mut(name)?;
        if kind == RecordType::A && replies.len() > 1 {
            replies.pop_front()
        } else {
            replies.front().cloned()
        }
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.time_to_live.load(Ordering::Relaxed), data)
    }
}

async fn bind_both() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = tcp.local_addr().expect("a bound address");
        match UdpSocket::bind(address).await {
            Ok(udp) => return (udp, tcp),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn serve(udp: UdpSocket, tcp: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    let mut query = vec![0; 4096];
    loop {
        tokio::select! {
            received = udp.recv_from(&mut query) => {
                let Ok((length, peer)) = received else { continue };
                let Some(answer) = state.answer(&query[..length]) else { continue };
                let answer = if answer.len() > LARGEST_UDP_ANSWER { truncated(&answer) } else { answer };
                let _ = udp.send_to(&answer, peer).await;
            }
            accepted = tcp.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(serve_stream(stream, Arc::clone(&state)));
            }
        }
    }
}

async fn serve_stream(mut stream: TcpStream, state: Arc<State>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = state.answer(&query) else { continue };
        let length = u16::try_from(answer.len()).expect("an answer of at most 64 KiB");
        let framed = [length.to_be_bytes().as_slice(), &answer].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

fn truncated(answer: &[u8]) -> Vec<u8> {
    let message = Message::from_vec(answer).expect("an answer of our own");
    message.truncate().to_vec().expect("an encodable answer")
}

/// Appends one A record by hand, so that its owner name may be anything.
fn malformed(response: &Message, owner: &[u8]) -> Vec<u8> {
    let mut bytes = response.to_vec().expect("an encodable answer");
    bytes[7] = 1;
    bytes.extend_from_slice(owner);
    bytes.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    bytes
}

fn record_type(address: IpAddr) -> RecordType {
    match address {
        IpAddr::V4(_) => RecordType::A,
        IpAddr::V6(_) => RecordType::AAAA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patience::patiently;
    use hickory_proto::op::Query;

    const NAME: &str = "name.example";

    async fn ask(server: &FakeDns, kind: RecordType) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        socket.send_to(&question(kind), server.address()).await.expect("a question sent");
        let mut answer = vec![0; 4096];
        let (length, _) = patiently("an answer", socket.recv_from(&mut answer)).await.expect("an answer");
        Message::from_vec(&answer[..length]).expect("a message")
    }

    fn question(kind: RecordType) -> Vec<u8> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_str("NAME.example.").expect("a name"), kind));
        query.to_vec().expect("a question")
    }

    fn addresses(answer: &Message) -> Vec<String> {
        answer.answers.iter().filter_map(|record| record.data.ip_addr()).map(|ip| ip.to_string()).collect()
    }

    #[tokio::test]
    async fn answers_follow_the_script_and_the_last_one_stays() {
        let server = FakeDns::start().await;
        assert_eq!(ask(&server, RecordType::A).await.metadata.response_code, ResponseCode::NXDomain);
        server.script(NAME, [Reply::address("192.0.2.1"), Reply::address("192.0.2.2")]);
        assert!(addresses(&ask(&server, RecordType::AAAA).await).is_empty());
        for expected in ["192.0.2.1", "192.0.2.2", "192.0.2.2"] {
            assert_eq!(addresses(&ask(&server, RecordType::A).await), [expected]);
        }
        assert_eq!(server.lookups(NAME), 4);
    }

    #[tokio::test]
    async fn aliases_come_with_the_answer_of_their_target_and_loops_end() {
        let server = FakeDns::start().await;
        server.script(NAME, [Reply::Alias("target.example".to_owned())]);
        server.script("target.example", [Reply::address("192.0.2.7")]);
        let answer = ask(&server, RecordType::A).await;
        assert_eq!((answer.answers.len(), addresses(&answer)), (2, vec!["192.0.2.7".to_owned()]));
        server.script("target.example", [Reply::Alias(NAME.to_owned())]);
        assert_eq!(ask(&server, RecordType::A).await.answers.len(), LONGEST_CHAIN);
    }

    #[tokio::test]
    async fn a_large_answer_is_truncated_over_udp_and_whole_over_tcp() {
        let server = FakeDns::start().await;
        let many = (0..1000).map(|i| IpAddr::V4(Ipv4Addr::from(0xc000_0200 + i))).collect();
        server.script(NAME, [Reply::Addresses(many)]);
        let short = ask(&server, RecordType::A).await;
        assert!(short.metadata.truncation && short.answers.is_empty());
        let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
        let question = question(RecordType::A);
        stream.write_u16(question.len() as u16).await.expect("a length sent");
        stream.write_all(&question).await.expect("a question sent");
        let mut answer = vec![0; stream.read_u16().await.expect("a length").into()];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(addresses(&Message::from_vec(&answer).expect("a message")).len(), 1000);
    }

    #[tokio::test]
    async fn a_malformed_answer_is_one_no_parser_takes() {
        let state = State::default();
        let pointer_to_itself = vec![0xc0, 12 + NAME.len() as u8 + 2 + 4];
        for owner in [pointer_to_itself, vec![65, b'a'], vec![90, b'a']] {
            state.script.lock().expect("no panic").insert(NAME.into(), [Reply::Malformed(owner)].into());
            let answer = state.answer(&question(RecordType::A)).expect("bytes");
            assert!(Message::from_vec(&answer).is_err());
        }
    }
}
