//! Conversations on the control socket, with the clock in hand.

use std::net::TcpListener;

use tokio::io::AsyncReadExt;

use super::*;
use crate::listen::inherited::Kind;

#[test]
fn root_and_the_gateways_own_user_are_admitted_and_nobody_else() {
    for (uid, own, admitted) in
        [(0, 0, true), (0, 990, true), (990, 990, true), (65_534, 990, false), (65_534, 0, false)]
    {
        assert_eq!(admits(uid, own), admitted, "{uid} at a gateway of {own}");
    }
}

/// A gateway that gives its one socket to whoever has the turn, and notes who takes over.
struct Gateway {
    near: UnixStream,
    turns: Arc<Semaphore>,
    yielded: mpsc::Receiver<i32>,
    conversation: tokio::task::JoinHandle<()>,
}

impl Gateway {
    fn spoken_to() -> Self {
        let (near, far) = UnixStream::pair().expect("a pair");
        let (orders, mut inbox) = mpsc::channel(1);
        let (took_over, yielded) = mpsc::channel(1);
        let turns = Arc::new(Semaphore::new(1));
        let free = Arc::clone(&turns);
        tokio::spawn(async move {
            while let Some(order) = inbox.recv().await {
                match order {
                    Order::HandOver(HandOver::Offer(reply)) => {
                        let turn = Arc::clone(&free).try_acquire_owned();
                        let offer = turn.map(|turn| Offer { sockets: vec![socket()], turn });
                        reply.send(offer.map_err(|_| "busy".to_owned())).expect("is waited for");
                    }
                    Order::HandOver(HandOver::Yield(pid, reply)) => {
                        took_over.send(pid).await.expect("is noted");
                        answer(reply);
                    }
                    Order::Status(reply) => answer(reply),
                    other => panic!("{other:?}"),
                }
            }
        });
        let own = rustix::process::geteuid().as_raw();
        let control = Control { own, orders };
        let conversation = tokio::spawn(async move { control.converse(far).await });
        Self { near, turns, yielded, conversation }
    }

    async fn say(&mut self, text: &[u8]) {
        self.near.write_all(text).await.expect("is heard");
    }

    /// Returns what is said until the end.
    async fn hear(mut self) -> String {
        let mut said = Vec::new();
        // What was not read of a request makes the end a reset.
        while let Ok(1..) = self.near.read_buf(&mut said).await {}
        let said = String::from_utf8(said).expect("text");
        self.conversation.await.expect("ends");
        assert_eq!(self.turns.available_permits(), 1, "the turn is given back");
        said
    }
}

fn socket() -> (Passed, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let asked = listener.local_addr().expect("an address");
    (Passed::Listener { kind: Kind::Proxy, asked }, listener.into())
}

fn answer(reply: Reply) {
    reply.send(Ok(json!({ "done": true }))).expect("is waited for");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_a_line_is_told_so_in_time() {
    for said in [&b""[..], b"{\"version\":1,"] {
        let mut gateway = Gateway::spoken_to();
        gateway.say(said).await;
        assert!(gateway.hear().await.contains("no request within"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_never_becomes_ready_or_says_something_else_changes_nothing() {
    for (said, why) in [(&b""[..], "was not ready within"), (b"{\"ready\":false}\n", "does not say")] {
        let mut gateway = Gateway::spoken_to();
        gateway.say(Word::HandOver.line().as_bytes()).await;
        gateway.say(said).await;
        assert!(gateway.yielded.try_recv().is_err());
        let heard = gateway.hear().await;
        assert!(heard.contains(why), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_is_ready_is_told_to_begin_once_the_gateway_gave_way() {
    let mut gateway = Gateway::spoken_to();
    gateway.say(Word::HandOver.line().as_bytes()).await;
    gateway.say(READY).await;
    let pid = gateway.yielded.recv().await.expect("gives way");
    assert_eq!(u32::try_from(pid).expect("a process"), std::process::id());
    let heard = gateway.hear().await;
    assert!(heard.lines().next_back().expect("a line").contains("done"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_and_one_request_ends_the_conversation() {
    let mut gateway = Gateway::spoken_to();
    gateway.say([Word::Status.line(), Word::Drain.line()].concat().as_bytes()).await;
    assert_eq!(gateway.hear().await.lines().count(), 1);
}
