//! The same random traffic through the kernel and through copies: the same bytes, counts and endings.

use proptest::prelude::*;
use socket2::SockRef;
use tokio::net::tcp::ReadHalf;
use tokio::net::tcp::WriteHalf;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::super::super::copy;
use super::*;

#[derive(Clone, Debug)]
struct Side {
    /// The lengths that are sent, one after the other.
    sends: Vec<usize>,
    /// Hears nothing before the other side has sent all it can.
    stalls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// Each side closes its half when it has sent all.
    Close,
    /// This side does; the other one sends only after it has heard all of it, and the end.
    CloseFirst(Who),
    /// All is heard; then this side resets.
    Reset(Who),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Client,
    Origin,
}

#[derive(Clone, Debug)]
struct Case {
    client: Side,
    origin: Side,
    ends: Ends,
    /// Bytes in the sending buffers of the tunnel, and in the receiving ones behind it.
    buffers: (usize, usize),
}

#[derive(Debug, PartialEq)]
struct Found {
    ending: Ending,
    traffic: Traffic,
    at_client: Vec<u8>,
    at_origin: Vec<u8>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_and_a_copy_carry_the_same_bytes_to_the_same_end(case in case()) {
        let copied = run(&case, None);
        let sent = |side: &Side| side.sends.iter().sum::<usize>() as u64;
        prop_assert_eq!(copied.traffic, Traffic { up: sent(&case.client), down: sent(&case.origin) });
        for budget in [PLENTY, Budget { size: LEAST_PIPE, ..PLENTY }, Budget { stay: 0, ..PLENTY }] {
            let spliced = run(&case, Some(budget));
            prop_assert_eq!((spliced.ending, spliced.traffic), (copied.ending, copied.traffic));
            prop_assert!(spliced == copied, "other bytes with {:?}", budget);
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let length = prop_oneof![
        4 => 1..2000_usize,
        2 => WORTH_A_PIPE - 2..WORTH_A_PIPE + 2,
        2 => LITTLE - 2..LITTLE + 2,
        2 => SCRATCH - 2..SCRATCH + 2,
        2 => 100_000..400_000_usize,
        1 => FIRST - 2..FIRST + 2,
        1 => 1_000_000..2_000_000_usize,
    ];
    let side = (prop::collection::vec(length, 0..7), any::<bool>());
    let side = side.prop_map(|(sends, stalls)| Side { sends, stalls });
    let who = prop_oneof![Just(Who::Client), Just(Who::Origin)];
    let ends =
        prop_oneof![Just(Ends::Close), who.clone().prop_map(Ends::CloseFirst), who.prop_map(Ends::Reset),];
    let buffer = prop_oneof![Just(40_000_usize), Just(200_000)];
    (side.clone(), side, ends, (buffer.clone(), buffer)).prop_map(|(client, origin, ends, buffers)| Case {
        client,
        origin,
        ends,
        buffers,
    })
}

/// Runs a case through the kernel with these pipes, or through copies.
#[tokio::main(flavor = "current_thread")]
async fn run(case: &Case, budget: Option<Budget>) -> Found {
    let ((mut client_far, client), (origin, mut origin_far)) = (socket_pair().await, socket_pair().await);
    for (near, far) in [(&client, &client_far), (&origin, &origin_far)] {
        SockRef::from(near).set_send_buffer_size(case.buffers.0).unwrap();
        SockRef::from(far).set_recv_buffer_size(case.buffers.1).unwrap();
    }
    let pipes = budget.map(pool);
    let tunnel = match &pipes {
        Some(pipes) => carry(pipes, client, origin, BOUNDS),
        None => copied(client, origin),
    };
    let (up, down) = (Mouth::new(1, &case.client), Mouth::new(2, &case.origin));
    let (at_client, at_origin) = tokio::join!(
        take_part(&mut client_far, &up, &down, case, Who::Client),
        take_part(&mut origin_far, &down, &up, case, Who::Origin),
    );
    if let Ends::Reset(who) = case.ends {
        let resets = if who == Who::Client { client_far } else { origin_far };
        SockRef::from(&resets).set_linger(Some(Duration::ZERO)).unwrap();
        // The other side is open until the tunnel has ended, so that only the reset can end it.
        drop(resets);
        let (ending, traffic) = tunnel.await.unwrap();
        return Found { ending, traffic, at_client, at_origin };
    }
    let (ending, traffic) = tunnel.await.unwrap();
    if let Some(pipes) = pipes {
        assert_eq!(pipes.count().0, pipes.count().1, "a pipe was not given back");
    }
    Found { ending, traffic, at_client, at_origin }
}

/// What a side has to say, and when it cannot go on or is done.
struct Mouth {
    message: Vec<u8>,
    sends: Vec<usize>,
    stalls: bool,
    rests: Notify,
}

impl Mouth {
    fn new(seed: u64, side: &Side) -> Self {
        let message = content(seed, side.sends.iter().sum());
        Self { message, sends: side.sends.clone(), stalls: side.stalls, rests: Notify::new() }
    }

    async fn says(&self, to: &mut WriteHalf<'_>) {
        let mut rest = &self.message[..];
        for length in &self.sends {
            let (mut now, later) = rest.split_at(*length);
            while !now.is_empty() {
                match to.try_write(now) {
                    Ok(taken) => now = &now[taken..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.rests.notify_one();
                        to.writable().await.unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            rest = later;
            yield_now().await;
        }
        self.rests.notify_one();
    }

    async fn is_heard(&self, from: &mut ReadHalf<'_>, stalls: bool, ends: Ends) -> Vec<u8> {
        if stalls {
            self.rests.notified().await;
        }
        let mut heard = Vec::new();
        if let Ends::Reset(_) = ends {
            heard.resize(self.message.len(), 0);
            from.read_exact(&mut heard).await.unwrap();
        } else {
            from.read_to_end(&mut heard).await.unwrap();
        }
        assert!(heard == self.message, "{} bytes heard of {}", heard.len(), self.message.len());
        heard
    }
}

/// Says and hears what a side does; returns what it heard.
async fn take_part(socket: &mut TcpStream, own: &Mouth, other: &Mouth, case: &Case, who: Who) -> Vec<u8> {
    let (mut reading, mut writing) = socket.split();
    let waits = matches!(case.ends, Ends::CloseFirst(first) if first != who);
    if waits {
        let heard = other.is_heard(&mut reading, own.stalls, case.ends).await;
        own.says(&mut writing).await;
        writing.shutdown().await.unwrap();
        return heard;
    }
    let saying = async {
        own.says(&mut writing).await;
        if !matches!(case.ends, Ends::Reset(_)) {
            writing.shutdown().await.unwrap();
        }
    };
    tokio::join!(other.is_heard(&mut reading, own.stalls, case.ends), saying).0
}

fn copied(mut client: TcpStream, mut origin: TcpStream) -> JoinHandle<(Ending, Traffic)> {
    tokio::spawn(async move {
        let mut both = copy::Both::new(None);
        let step =
            |cx: &mut Context<'_>, traffic: &mut Traffic| both.poll(cx, &mut client, &mut origin, traffic);
        watched(step, BOUNDS).await
    })
}
