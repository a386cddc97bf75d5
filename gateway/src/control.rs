//! The control socket: `status`, `reload`, `drain` and the hand-over to a successor, for root and the
//! gateway's own user.
//!
//! One request a connection, each with a deadline; few connections at once. What is asked becomes an
//! [`Order`], which the gateway itself obeys, one after the other. Nothing of this can be reached through a
//! proxy port or the admin listener.

pub mod client;
pub mod pass;
pub mod socket;
pub mod successor;
pub mod wire;

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::io::Interest;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;

use self::pass::HandedOver;
use self::pass::Passed;
use self::successor::READY;
use self::wire::LONGEST_REQUEST;
use self::wire::Word;
use crate::events;

/// Most orders that wait to be obeyed.
pub const MOST_ORDERS: usize = 32;
/// Most connections at once.
const MOST_CONNECTIONS: usize = 16;
/// Longest wait for a request's line, and for the peer to take its answer.
const PEER: Duration = Duration::from_secs(5);
/// Longest wait for an order to be carried out.
const WORK: Duration = Duration::from_secs(100);
/// Longest wait for a successor to become ready.
const READINESS: Duration = Duration::from_secs(60);
/// Pause after an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the answer to an order goes.
pub type Reply = oneshot::Sender<Result<Value, String>>;

/// What the gateway is told to do, by a signal or through the control socket.
#[derive(Debug)]
pub enum Order {
    /// End (SIGTERM, SIGINT): the first drains, the second cuts.
    Terminate,
    /// Start a successor (SIGUSR2).
    Upgrade,
    /// Say how it is.
    Status(Reply),
    /// Read the configuration anew; a signal waits for no answer.
    Reload(&'static str, Option<Reply>),
    /// Drain and end.
    Drain(Reply),
    /// Give copies of the listening sockets.
    Offer(oneshot::Sender<Result<Offer, String>>),
    /// The successor, a process, is ready: stop accepting.
    Yield(i32, Reply),
}

/// Copies of the listening sockets. While one lives there is no second.
#[derive(Debug)]
pub struct Offer {
    /// The sockets, and what each is.
    pub sockets: Vec<(Passed, OwnedFd)>,
    /// The right to hand over.
    pub turn: OwnedSemaphorePermit,
}

/// The control socket's server.
pub struct Control {
    /// Who is answered beside root.
    pub own: u32,
    /// Where orders go.
    pub orders: mpsc::Sender<Order>,
}

impl Control {
    /// Serves the socket until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: Arc<UnixListener>, tasks: TaskTracker) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let this = Arc::clone(&self);
            tasks.spawn(async move {
                this.converse(stream).await;
                drop(place);
            });
        }
    }

    async fn converse(&self, mut stream: UnixStream) {
        let Ok(peer) = stream.peer_cred() else { return };
        let answer = match admits(peer.uid(), self.own) {
            false => {
                // All of them are one kind for the bound on repeats, which the log keeps.
                let uid = peer.uid();
                warn!(event_id = events::CONTROL.0, uid, "control socket: this user is refused");
                Err(format!(
                    "user {} may not control this gateway; only root and user {}",
                    peer.uid(),
                    self.own
                ))
            }
            true => match request(&mut stream).await {
                Ok(Word::HandOver) => return self.hand_over(stream, peer.pid().unwrap_or_default()).await,
                Ok(word) => {
                    if word != Word::Status {
                        let (uid, pid) = (peer.uid(), peer.pid().unwrap_or_default());
                        info!(
                            event_id = events::CONTROL.0,
                            uid,
                            pid,
                            order = word.text(),
                            "control socket: asked"
                        );
                    }
                    self.obey(word).await
                }
                Err(error) => Err(error),
            },
        };
        say(&mut stream, &answer).await;
    }

    async fn obey(&self, word: Word) -> Result<Value, String> {
        self.order(|reply| match word {
            Word::Status | Word::HandOver => Order::Status(reply),
            Word::Reload => Order::Reload("la-gateway reload", Some(reply)),
            Word::Drain => Order::Drain(reply),
        })
        .await
    }

    /// Has an order carried out, and waits for the answer.
    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
    ) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let ending = || "the gateway is ending".to_owned();
        let work = async {
            self.orders.send(order(reply)).await.map_err(|_| ending())?;
            answer.await.unwrap_or_else(|_| Err(ending()))
        };
        timeout(WORK, work)
            .await
            .unwrap_or_else(|_| Err(format!("not done within {WORK:?}; it may still be")))
    }

    /// Passes the sockets to a successor, waits until it is ready, and lets it begin.
    async fn hand_over(&self, mut stream: UnixStream, pid: i32) {
        let id = events::HAND_OVER.0;
        let failed = |why: &str| {
            warn!(event_id = id, successor = pid, "hand-over failed, this gateway goes on: {why}")
        };
        let offer = match self.order(Order::Offer).await {
            Ok(offer) => offer,
            Err(why) => {
                failed(&why);
                return say(&mut stream, &Err(why)).await;
            }
        };
        info!(
            event_id = id,
            successor = pid,
            sockets = offer.sockets.len(),
            "hand-over: the sockets are passed"
        );
        if let Err(error) =
            timeout(PEER, pass(&mut stream, &offer)).await.unwrap_or_else(|late| Err(late.into()))
        {
            return failed(&format!("the sockets cannot be passed: {error}"));
        }
        let answer = match timeout(READINESS, wire::read_line(&mut stream, LONGEST_REQUEST)).await {
            Ok(Ok(line)) if line == READY.trim_ascii_end() => {
                self.order(|reply| Order::Yield(pid, reply)).await
            }
            Ok(Ok(_)) => Err("the successor does not say that it is ready".to_owned()),
            Ok(Err(error)) => Err(format!("the successor is gone ({error})")),
            Err(_) => Err(format!("the successor was not ready within {READINESS:?}")),
        };
        drop(offer);
        if let Err(why) = &answer {
            failed(why);
        }
        say(&mut stream, &answer).await;
    }
}

/// Says whether this user may control a gateway of that one.
fn admits(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

async fn request(stream: &mut UnixStream) -> Result<Word, String> {
    match timeout(PEER, wire::read_line(stream, LONGEST_REQUEST)).await {
        Ok(Ok(line)) => Word::read(&line),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no request within {PEER:?}")),
    }
}

async fn say(stream: &mut UnixStream, answer: &Result<Value, String>) {
    let line = wire::answer(answer);
    // Who asks and does not listen has had his chance.
    let _ = timeout(PEER, stream.write_all(line.as_bytes())).await;
}

async fn pass(stream: &mut UnixStream, offer: &Offer) -> io::Result<()> {
    let sockets = offer.sockets.iter().map(|(passed, _)| *passed).collect();
    let line = wire::answer(&Ok(json!(HandedOver { pid: std::process::id(), sockets })));
    let sockets: Vec<BorrowedFd<'_>> = offer.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let send = || pass::send(&*stream, line.as_bytes(), &sockets);
    let sent = stream.async_io(Interest::WRITABLE, send).await?;
    stream.write_all(line.as_bytes().get(sent..).unwrap_or_default()).await
}

#[cfg(test)]
mod tests;
