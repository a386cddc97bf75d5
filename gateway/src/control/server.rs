//! The server of the control socket, and the giving side of a hand-over.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::process::geteuid;
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

use super::MOST_CONNECTIONS;
use super::Order;
use super::PAUSE;
use super::PEER;
use super::READINESS;
use super::Reply;
use super::obey;
use super::order;
use super::pass;
use super::pass::HandedOver;
use super::pass::Passed;
use super::request;
use super::say;
use super::successor::READY;
use super::wire;
use super::wire::LONGEST_REQUEST;
use super::wire::Word;
use crate::events;

/// A step of a hand-over to a successor.
#[derive(Debug)]
pub enum HandOver {
    /// Start a successor (SIGUSR2).
    Start,
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
    /// Begins for this process's user.
    pub fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { own: geteuid().as_raw(), orders }
    }

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
                    obey(&self.orders, word).await
                }
                Err(error) => Err(error),
            },
        };
        say(&mut stream, &answer).await;
    }

    /// Passes the sockets to a successor, waits until it is ready, and lets it begin.
    async fn hand_over(&self, mut stream: UnixStream, pid: i32) {
        let id = events::HAND_OVER.0;
        let failed = |why: &str| {
            warn!(event_id = id, successor = pid, "hand-over failed, this gateway goes on: {why}")
        };
        let offer = match order(&self.orders, |reply| Order::HandOver(HandOver::Offer(reply))).await {
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
            timeout(PEER, pass_on(&mut stream, &offer)).await.unwrap_or_else(|late| Err(late.into()))
        {
            return failed(&format!("the sockets cannot be passed: {error}"));
        }
        let answer = match timeout(READINESS, wire::read_line(&mut stream, LONGEST_REQUEST)).await {
            Ok(Ok(line)) if line == READY.trim_ascii_end() => {
                order(&self.orders, |reply| Order::HandOver(HandOver::Yield(pid, reply))).await
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

async fn pass_on(stream: &mut UnixStream, offer: &Offer) -> io::Result<()> {
    let sockets = offer.sockets.iter().map(|(passed, _)| *passed).collect();
    let line = wire::answer(&Ok(json!(HandedOver { pid: std::process::id(), sockets })));
    let sockets: Vec<BorrowedFd<'_>> = offer.sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let send = || pass::send(&*stream, line.as_bytes(), &sockets);
    let sent = stream.async_io(Interest::WRITABLE, send).await?;
    stream.write_all(line.as_bytes().get(sent..).unwrap_or_default()).await
}

#[cfg(test)]
mod tests;
