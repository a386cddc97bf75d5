//! The control socket: `status`, `reload`, `drain` and the hand-over to a successor, for root and the
//! gateway's own user. On Windows it is a named pipe for LocalSystem, administrators and the gateway's own user, and there
//! is no hand-over.
//!
//! One request a connection, each with a deadline; few connections at once. What is asked becomes an
//! [`Order`], which the gateway itself obeys, one after the other. Nothing of this can be reached through a
//! proxy port or the admin listener.

pub mod client;
#[cfg(unix)]
pub mod pass;
#[cfg_attr(windows, path = "control/pipe_server.rs")]
mod server;
#[cfg_attr(windows, path = "control/pipe.rs")]
pub mod socket;
#[cfg_attr(windows, path = "control/no_successor.rs")]
pub mod successor;
pub mod wire;

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::server::Control;
pub use self::server::HandOver;
#[cfg(unix)]
pub use self::server::Offer;
use self::wire::LONGEST_REQUEST;
use self::wire::Word;

/// Most orders that wait to be obeyed.
pub const MOST_ORDERS: usize = 32;
/// Most connections at once.
const MOST_CONNECTIONS: usize = 16;
/// Longest wait for a request's line, and for the peer to take its answer.
const PEER: Duration = Duration::from_secs(5);
/// Longest wait for an order to be carried out.
const WORK: Duration = Duration::from_secs(100);
/// Longest wait for a successor to become ready.
#[cfg(unix)]
const READINESS: Duration = Duration::from_secs(60);
/// Pause after an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the answer to an order goes.
pub type Reply = oneshot::Sender<Result<Value, String>>;

/// What the gateway is told to do, by a signal, by the service manager, or through the control socket.
#[derive(Debug)]
pub enum Order {
    /// End (SIGTERM, SIGINT): the first drains, the second cuts.
    Terminate,
    /// Say how it is.
    Status(Reply),
    /// Read the configuration anew; a signal waits for no answer.
    Reload(&'static str, Option<Reply>),
    /// Drain and end.
    Drain(Reply),
    /// Go on with a hand-over.
    HandOver(HandOver),
}

async fn obey(orders: &mpsc::Sender<Order>, word: Word) -> Result<Value, String> {
    order(orders, |reply| match word {
        Word::Status | Word::HandOver => Order::Status(reply),
        Word::Reload => Order::Reload("la-gateway reload", Some(reply)),
        Word::Drain => Order::Drain(reply),
    })
    .await
}

/// Has an order carried out, and waits for the answer.
async fn order<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
) -> Result<T, String> {
    let (reply, answer) = oneshot::channel();
    let ending = || "the gateway is ending".to_owned();
    let work = async {
        orders.send(order(reply)).await.map_err(|_| ending())?;
        answer.await.unwrap_or_else(|_| Err(ending()))
    };
    timeout(WORK, work).await.unwrap_or_else(|_| Err(format!("not done within {WORK:?}; it may still be")))
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Result<Word, String> {
    match timeout(PEER, wire::read_line(stream, LONGEST_REQUEST)).await {
        Ok(Ok(line)) => Word::read(&line),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no request within {PEER:?}")),
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), answer: &Result<Value, String>) {
    let line = wire::answer(answer);
    // Who asks and does not listen has had his chance.
    let _ = timeout(PEER, stream.write_all(line.as_bytes())).await;
}
