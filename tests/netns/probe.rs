//! Ways out that a machine might try, and the traps that tell when one of them was gone.

use std::io::Read;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tokio::task::JoinSet;

use end_to_end::network::Network;

/// How long an answer may take that must not come; one that does come takes no time between neighbours.
const NEVER: Duration = Duration::from_secs(1);
/// How long an answer may take that must come.
const SURELY: Duration = Duration::from_secs(20);

/// One way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A connection.
    Tcp(&'static str),
    /// A datagram that would come back.
    Udp(&'static str),
    /// A question for a name, by UDP.
    Dns(&'static str),
    /// An echo request, IPv4.
    Ping(&'static str),
}

impl Probe {
    /// Tries it, and says whether anything came back.
    fn reaches(self, patience: Duration) -> bool {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        match self {
            Self::Tcp(to) => TcpStream::connect_timeout(&address(to), patience).is_ok(),
            Self::Udp(to) => comes_back(address(to), b"anybody there?", patience),
            Self::Dns(to) => comes_back(address(to), &question(), patience),
            Self::Ping(to) => ping(to.parse().expect("an address"), patience),
        }
    }
}

/// Tries all at once from a host, and returns those that reached something.
pub(crate) fn reached(network: &Network, host: &str, probes: &[Probe], must: bool) -> Vec<Probe> {
    let patience = if must { SURELY } else { NEVER };
    let all = || {
        std::thread::scope(|scope| {
            let tried: Vec<_> =
                probes.iter().map(|probe| (*probe, scope.spawn(|| probe.reaches(patience)))).collect();
            let reached = tried.into_iter().filter_map(|(probe, task)| task.join().ok()?.then_some(probe));
            reached.collect()
        })
    };
    network.enter(host, all)
}

fn comes_back(to: SocketAddr, bytes: &[u8], patience: Duration) -> bool {
    let own = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own).expect("a socket");
    socket.set_read_timeout(Some(patience)).expect("a socket option");
    // What a packet filter forbids at home is an error here.
    socket.send_to(bytes, to).is_ok() && socket.recv_from(&mut [0; 512]).is_ok()
}

/// A question for `example.com`, type A.
fn question() -> Vec<u8> {
    let head: [u8; 12] = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&head[..], b"\x07example\x03com\x00", &[0, 1, 0, 1]].concat()
}

fn ping(to: Ipv4Addr, patience: Duration) -> bool {
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("root's right");
    socket.set_read_timeout(Some(patience)).expect("a socket option");
    // Type 8, no code, the checksum, identifier 7, number 1.
    let request = [8, 0, 0xf7, 0xf7, 0, 7, 0, 1];
    if socket.send_to(&request, &SocketAddr::from((to, 0)).into()).is_err() {
        return false;
    }
    let mut answer = [0; 256];
    while let Ok(length) = socket.read(&mut answer) {
        // Behind the IPv4 header of 20 bytes.
        if answer[..length].get(20) == Some(&0) {
            return true;
        }
    }
    false
}

/// Listeners where nobody may come.
pub(crate) struct Traps {
    caught: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Traps {
    /// Sets them at addresses of a host: TCP, and UDP that answers with what came.
    pub(crate) fn set(network: &Network, host: &'static str, tcp: &[&str], udp: &[&str]) -> Self {
        let (caught, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        for address in tcp {
            let (listener, caught) = (network.listen(host, address), Arc::clone(&caught));
            let address = (*address).to_owned();
            tasks.spawn(async move {
                while let Ok((_, from)) = listener.accept().await {
                    caught.lock().expect("no panic").push(format!("{from} came to tcp {address}"));
                }
            });
        }
        for address in udp {
            let (socket, caught) = (network.datagrams(host, address), Arc::clone(&caught));
            let address = (*address).to_owned();
            tasks.spawn(async move {
                let mut bytes = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                    caught.lock().expect("no panic").push(format!("{from} came to udp {address}"));
                    let _ = socket.send_to(&bytes[..length], from).await;
                }
            });
        }
        Self { caught, _tasks: tasks }
    }

    /// Returns who came since the last call.
    pub(crate) fn caught(&self) -> Vec<String> {
        std::mem::take(&mut *self.caught.lock().expect("no panic"))
    }
}

/// Counts at a host every packet that comes from these networks, and every one for these addresses.
pub(crate) fn count_strays(network: &Network, host: &str, from: &[&str], to: &[&str]) {
    let family = |text: &str| match text.split('/').next().expect("a text").parse().expect("an address") {
        IpAddr::V4(_) => "ip",
        IpAddr::V6(_) => "ip6",
    };
    let mut rules = "table inet trap\ndelete table inet trap\ntable inet trap {\ncounter air_gapped { }\ncounter forbidden { }\n\
                     chain come {\ntype filter hook prerouting priority filter;\n"
        .to_owned();
    for (nets, direction, name) in [(from, "saddr", "air_gapped"), (to, "daddr", "forbidden")] {
        for net in nets {
            rules.push_str(&format!("{} {direction} {net} counter name {name}\n", family(net)));
        }
    }
    network.load(host, &format!("{rules}}}\n}}\n"));
}

/// Asserts that none of them came.
pub(crate) fn assert_no_strays(network: &Network, host: &str, when: &str) {
    for counter in ["air_gapped", "forbidden"] {
        assert_eq!(network.counted(host, "trap", counter), 0, "{when}: packets: {counter}");
    }
}
