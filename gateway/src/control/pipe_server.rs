//! The server of the control pipe. The pipe itself lets nobody in but LocalSystem, administrators and the gateway's user.

use std::sync::Arc;

use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;

use super::MOST_CONNECTIONS;
use super::Order;
use super::PAUSE;
use super::obey;
use super::request;
use super::say;
use super::socket::Listener;
use super::wire::Word;
use crate::events;

/// A step of a hand-over; there is none on Windows.
#[derive(Debug)]
pub enum HandOver {}

/// The control pipe's server.
pub struct Control {
    orders: mpsc::Sender<Order>,
}

impl Control {
    /// Begins; orders go there.
    pub fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { orders }
    }

    /// Serves the pipe until the task is dropped.
    pub async fn serve(self: Arc<Self>, listener: Arc<Listener>, tasks: TaskTracker) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut said = false;
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        warn!(event_id = events::CONTROL.0, "control pipe: {error}; it is tried again");
                    }
                    sleep(PAUSE).await;
                    continue;
                }
            };
            said = false;
            let this = Arc::clone(&self);
            tasks.spawn(async move {
                this.converse(stream).await;
                drop(place);
            });
        }
    }

    async fn converse(&self, mut stream: NamedPipeServer) {
        let answer = match request(&mut stream).await {
            Ok(Word::HandOver) => Err("Windows has no hand-over".to_owned()),
            Ok(word) => {
                if word != Word::Status {
                    info!(event_id = events::CONTROL.0, order = word.text(), "control pipe: asked");
                }
                obey(&self.orders, word).await
            }
            Err(error) => Err(error),
        };
        say(&mut stream, &answer).await;
    }
}
