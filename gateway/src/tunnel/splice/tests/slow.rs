//! Receivers that are slower than their senders, or gone.

use socket2::SockRef;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_a_slow_receiver_leaves_stays_in_the_pipe_and_arrives() {
    let pipes = pool(PLENTY);
    let stuck = Stuck::new(&pipes).await;
    lent(&pipes, 1).await;
    stuck.goes_on().await;
    assert_eq!(pipes.count(), (1, 1));
}

#[tokio::test]
async fn without_leave_to_stay_a_stuck_tunnel_has_no_pipe_and_nothing_is_lost() {
    let pipes = pool(Budget { stay: 0, ..PLENTY });
    let stuck = Stuck::new(&pipes).await;
    assert_eq!(pipes.count(), (1, 1), "it went back, empty");
    stuck.goes_on().await;
    assert_eq!(pipes.count(), (1, 1));
}

#[tokio::test]
async fn stuck_receivers_take_the_pipes_that_may_stay_and_leave_the_others_to_those_who_move() {
    let pipes = pool(Budget { most: 3, stay: 2, ..PLENTY });
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(Stuck::new(&pipes).await);
    }
    lent(&pipes, 2).await;
    let (client_far, origin_far, tunnel) = tunnel(&pipes, BOUNDS).await;
    let (up, down) = (content(5, MUCH), content(6, MUCH));
    let talks = [tokio::spawn(talk(client_far, up.clone())), tokio::spawn(talk(origin_far, down.clone()))];
    let [at_client, at_origin] = talks;
    assert!(at_origin.await.unwrap() == up && at_client.await.unwrap() == down);
    assert_eq!(tunnel.await.unwrap().0, Ending::Finished);
    assert_eq!(pipes.count(), (3, 1), "one pipe for all that moves, two in the hands of the stuck");
}

#[tokio::test]
async fn a_tunnel_that_breaks_with_bytes_in_its_pipe_takes_the_pipe_along() {
    let pipes = pool(PLENTY);
    let stuck = Stuck::new(&pipes).await;
    lent(&pipes, 1).await;
    SockRef::from(&stuck.origin_far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stuck.origin_far);
    assert_eq!(stuck.tunnel.await.unwrap().0, Ending::OriginReset);
    assert_eq!(pipes.count(), (0, 0), "closed, and not pooled");

    let stuck = Stuck::new(&pipes).await;
    lent(&pipes, 1).await;
    stuck.tunnel.abort();
    assert!(stuck.tunnel.await.unwrap_err().is_cancelled());
    assert_eq!(pipes.count(), (0, 0), "closed, and not pooled");
}

#[tokio::test]
async fn s06_a_receiver_that_never_reads_ends_as_idle_and_its_pipe_goes_with_it() {
    let pipes = pool(PLENTY);
    let mut stuck = Stuck::new(&pipes).await;
    lent(&pipes, 1).await;
    tokio::time::pause();
    let (ending, traffic) = stuck.tunnel.await.unwrap();
    let mut found = Vec::new();
    stuck.origin_far.read_to_end(&mut found).await.unwrap();
    assert_eq!((ending, traffic), (Ending::Idle, Traffic { up: found.len() as u64, down: 0 }));
    assert_eq!(pipes.count(), (0, 0));
}

/// A tunnel whose client has sent until it could not any more, and whose origin has not read a byte.
struct Stuck {
    client_far: TcpStream,
    origin_far: TcpStream,
    tunnel: JoinHandle<(Ending, Traffic)>,
    sent: usize,
}

impl Stuck {
    async fn new(pipes: &Arc<Pipes>) -> Self {
        let ((client_far, client), (origin, origin_far)) = (socket_pair().await, socket_pair().await);
        // Little room at the end and much before it, so that the pipe holds more than the scratch would.
        SockRef::from(&origin).set_send_buffer_size(16 * 1024).unwrap();
        SockRef::from(&origin_far).set_recv_buffer_size(32 * 1024).unwrap();
        SockRef::from(&client).set_recv_buffer_size(1024 * 1024).unwrap();
        client_far.writable().await.unwrap();
        let mut sent = 0;
        // All of it lies there before the tunnel begins, so that its first moves are large.
        send(&client_far, &mut sent);
        assert!(sent > LITTLE + FIRST, "{sent}");
        let tunnel = carry(pipes, client, origin, BOUNDS);
        loop {
            let before = sent;
            for _ in 0..100 {
                yield_now().await;
            }
            send(&client_far, &mut sent);
            if sent == before {
                return Self { client_far, origin_far, tunnel, sent };
            }
        }
    }

    /// Has the origin read; all that was sent must arrive.
    async fn goes_on(mut self) {
        self.client_far.shutdown().await.unwrap();
        SockRef::from(&self.origin_far).set_recv_buffer_size(1024 * 1024).unwrap();
        let mut found = Vec::new();
        self.origin_far.read_to_end(&mut found).await.unwrap();
        self.origin_far.shutdown().await.unwrap();
        let expected = Traffic { up: self.sent as u64, down: 0 };
        assert_eq!(self.tunnel.await.unwrap(), (Ending::Finished, expected));
        assert!(found.len() == self.sent && found.iter().enumerate().all(|(at, byte)| *byte == pattern(at)));
    }
}

/// Sends until there is no room now.
fn send(to: &TcpStream, sent: &mut usize) {
    loop {
        let piece: Vec<u8> = (*sent..*sent + 50_000).map(pattern).collect();
        match to.try_write(&piece) {
            Ok(taken) => *sent += taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

/// Waits until so many pipes are lent.
async fn lent(pipes: &Pipes, number: usize) {
    let reached = async {
        while pipes.count().0 - pipes.count().1 != number {
            yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{:?} and not {number} lent", pipes.count()));
}
