//! Connections to vetted addresses: Happy Eyeballs version 2 (RFC 8305), sections 4 and 5.
//!
//! Addresses are tried in turn, the families alternating, IPv6 first; within a family the order of
//! the answer stays. The next one starts when the last has had the attempt delay, or at once when
//! one fails. The first to connect wins, and the others are dropped, which closes them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dial::race::race;
use crate::policy::addresses::Vetted;
use crate::refusal::Refusal;
use crate::system;

/// How long an attempt is alone before the next begins (RFC 8305 section 5, Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Keepalive: silence before the first probe, time between probes, unanswered probes that end it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

/// A connection to the destination.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: TcpStream,
    /// The address that answered.
    pub address: SocketAddr,
}

/// Connects to the first of the vetted addresses that answers; `limit` bounds the whole.
///
/// When none does, the most telling failure is reported: a timeout before a refusal, a refusal
/// before an unreachable network. [`Refusal::Internal`] comes before all: the gateway itself has no
/// descriptor or memory left for the attempt.
pub async fn connect(addresses: &[Vetted], limit: Duration) -> Result<Connected, Refusal> {
    let addresses = addresses.iter().map(|vetted| vetted.address()).collect();
    let (stream, address) = first(addresses, dial, limit).await.map_err(Failure::refusal)?;
    Ok(Connected { stream, address })
}

/// Why no address answered; the later is the more telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    Unreachable,
    Refused,
    Timeout,
    Exhausted,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::OutOfMemory => Self::Exhausted,
            _ if error.raw_os_error().is_some_and(|code| system::EXHAUSTED.contains(&code)) => {
                Self::Exhausted
            }
            _ => Self::Unreachable,
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Unreachable => Refusal::ConnectUnreachable,
            Self::Refused => Refusal::ConnectRefused,
            Self::Timeout => Refusal::ConnectTimeout,
            Self::Exhausted => Refusal::Internal,
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    let keepalive = system::with_probes(keepalive, KEEPALIVE_PROBES);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    socket.connect(address).await
}

async fn first<S, Attempt: Future<Output = io::Result<S>>>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> Attempt,
    limit: Duration,
) -> Result<(S, SocketAddr), Failure> {
    let attempt = |address: &SocketAddr| {
        let dialled = dial(*address);
        async move { dialled.await.map_err(|error| Failure::of(&error)) }
    };
    let race = race(alternate(addresses), attempt, ATTEMPT_DELAY, Failure::Unreachable);
    timeout(limit, race).await.unwrap_or(Err(Failure::Timeout))
}

/// Alternates between the families, IPv6 first (RFC 8305 section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let turns = 0..v6.len().max(v4.len());
    turns.flat_map(|turn| [v6.get(turn), v4.get(turn)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::net::Ipv4Addr;

    use socket2::Domain;
    use socket2::Socket;
    use socket2::Type;
    use tokio::net::TcpListener;
    use tokio::time::Instant;
    use tokio::time::sleep;

    use crate::policy::addresses::Addresses;

    const V4: [&str; 3] = ["20.0.0.1:443", "20.0.0.2:443", "20.0.0.3:443"];
    const V6: [&str; 2] = ["[2603::1]:443", "[2603::2]:443"];
    const LIMIT: Duration = Duration::from_secs(10);

    /// What happens to an attempt, and after how many milliseconds.
    type Fate = (u64, Result<(), io::ErrorKind>);
    const CONNECTS: Fate = (20, Ok(()));
    const REFUSED: Fate = (20, Err(io::ErrorKind::ConnectionRefused));
    const UNREACHABLE: Fate = (0, Err(io::ErrorKind::NetworkUnreachable));
    const BLACK_HOLE: Fate = (u64::MAX, Ok(()));

    /// Runs a race in paused time; returns its outcome, when it ended, and when each attempt began.
    async fn race(course: &[(&str, Fate)]) -> (Result<SocketAddr, Failure>, u64, Vec<(String, u64)>) {
        let start = Instant::now();
        let elapsed = || u64::try_from(start.elapsed().as_millis()).expect("a short race");
        let begun = RefCell::new(Vec::new());
        let dial = |address: SocketAddr| {
            begun.borrow_mut().push((address.to_string(), elapsed()));
            let fate = course.iter().find(|(text, _)| *text == address.to_string()).map(|(_, fate)| *fate);
            async move {
                match fate.expect("an address of the course") {
                    BLACK_HOLE => std::future::pending().await,
                    (delay, outcome) => {
                        sleep(Duration::from_millis(delay)).await;
                        outcome.map_err(io::Error::from)
                    }
                }
            }
        };
        let addresses = course.iter().map(|(text, _)| text.parse().expect("literal address")).collect();
        let outcome = first(addresses, dial, LIMIT).await.map(|((), address)| address);
        (outcome, elapsed(), begun.into_inner())
    }

    fn won(text: &str) -> Result<SocketAddr, Failure> {
        Ok(text.parse().expect("literal address"))
    }

    #[tokio::test(start_paused = true)]
    async fn d11_the_second_address_is_tried_after_the_delay_when_the_first_is_a_black_hole() {
        let (outcome, ended, begun) =
            race(&[(V4[0], BLACK_HOLE), (V4[1], CONNECTS), (V4[2], CONNECTS)]).await;
        assert_eq!((outcome, ended), (won(V4[1]), 270));
        assert_eq!(begun, [(V4[0].to_string(), 0), (V4[1].to_string(), 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_at_once_when_one_fails() {
        let (outcome, ended, _) = race(&[(V4[0], REFUSED), (V4[1], UNREACHABLE), (V4[2], CONNECTS)]).await;
        assert_eq!((outcome, ended), (won(V4[2]), 40));
        let (outcome, ended, begun) = race(&[(V4[0], BLACK_HOLE), (V4[1], REFUSED), (V4[2], CONNECTS)]).await;
        assert_eq!((outcome, ended), (won(V4[2]), 290));
        assert_eq!(begun.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_while_the_second_is_slower() {
        let (outcome, ended, _) = race(&[(V4[0], (300, Ok(()))), (V4[1], (300, Ok(())))]).await;
        assert_eq!((outcome, ended), (won(V4[0]), 300));
    }

    #[tokio::test(start_paused = true)]
    async fn families_alternate_and_ipv6_begins() {
        let course = [V4[0], V4[1], V4[2], V6[0], V6[1]].map(|text| (text, BLACK_HOLE));
        let (outcome, _, begun) = race(&course).await;
        assert_eq!(outcome, Err(Failure::Timeout));
        let order = [(V6[0], 0), (V4[0], 250), (V6[1], 500), (V4[1], 750), (V4[2], 1000)];
        assert_eq!(begun, order.map(|(text, at)| (text.to_string(), at)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_telling_failure_is_reported() {
        const LATE: Fate = (20, Err(io::ErrorKind::TimedOut));
        const NO_MEMORY: Fate = (0, Err(io::ErrorKind::OutOfMemory));
        let limit = u64::try_from(LIMIT.as_millis()).expect("a short limit");
        let cases = [
            ([REFUSED, REFUSED, REFUSED], Failure::Refused, 60),
            ([UNREACHABLE, UNREACHABLE, UNREACHABLE], Failure::Unreachable, 0),
            ([UNREACHABLE, REFUSED, UNREACHABLE], Failure::Refused, 20),
            ([REFUSED, LATE, UNREACHABLE], Failure::Timeout, 40),
            ([REFUSED, BLACK_HOLE, UNREACHABLE], Failure::Timeout, limit),
            ([BLACK_HOLE, BLACK_HOLE, BLACK_HOLE], Failure::Timeout, limit),
            ([LATE, NO_MEMORY, REFUSED], Failure::Exhausted, 40),
        ];
        for (fates, failure, at) in cases {
            let course: Vec<_> = V4.into_iter().zip(fates).collect();
            let (outcome, ended, _) = race(&course).await;
            assert_eq!((outcome, ended), (Err(failure), at), "{fates:?}");
        }
        assert_eq!(race(&[]).await.0, Err(Failure::Unreachable));
    }

    #[tokio::test]
    async fn a_real_connection_goes_to_the_address_that_listens_and_is_kept_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let open = listener.local_addr().expect("bound");
        let (_taken, closed) = closed_port();
        let connected = connect(&vetted(&[closed, open]), LIMIT).await.expect("a connection");
        assert_eq!(connected.address, open);
        assert_eq!(connected.stream.peer_addr().ok(), Some(open));
        assert_eq!(connected.stream.nodelay().ok(), Some(true));
        assert_eq!(SockRef::from(&connected.stream).keepalive().ok(), Some(true));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_silent_destination_is_probed_as_it_is_written_here() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let open = listener.local_addr().expect("bound");
        let connected = connect(&vetted(&[open]), LIMIT).await.expect("a connection");
        let socket = SockRef::from(&connected.stream);
        assert_eq!(socket.tcp_keepalive_time().ok(), Some(KEEPALIVE_IDLE));
        assert_eq!(socket.tcp_keepalive_interval().ok(), Some(KEEPALIVE_INTERVAL));
        assert_eq!(socket.tcp_keepalive_retries().ok(), Some(KEEPALIVE_PROBES));
    }

    #[tokio::test]
    async fn closed_ports_refuse() {
        let ((_taken, first), (_taken_too, second)) = (closed_port(), closed_port());
        let refusal = connect(&vetted(&[first, second]), LIMIT).await.map(|connected| connected.address);
        assert_eq!(refusal, Err(Refusal::ConnectRefused));
    }

    #[test]
    fn running_out_of_descriptors_is_the_gateways_own_fault() {
        for code in system::EXHAUSTED {
            let failure = Failure::of(&io::Error::from_raw_os_error(code));
            assert_eq!(failure.refusal(), Refusal::Internal);
        }
        let no_route = Failure::of(&io::Error::from(io::ErrorKind::HostUnreachable));
        assert_eq!(no_route.refusal(), Refusal::ConnectUnreachable);
    }

    fn vetted(addresses: &[SocketAddr]) -> Vec<Vetted> {
        let policy = Addresses::new(vec!["127.0.0.0/8".parse().expect("literal range")]);
        policy.vet_all(addresses).expect("loopback is allowed")
    }

    /// A port that is taken, so that nobody else gets it, but does not listen.
    fn closed_port() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let address = socket.local_addr().expect("bound").as_socket().expect("an address");
        (socket, address)
    }
}
