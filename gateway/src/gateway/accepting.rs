//! The proxy's open door: one accepting task a listener, and how they end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Bound;
use super::Gateway;
use super::places::Places;
use crate::connect::Stations;
use crate::connection;
use crate::listen::socket;

/// Most connections that are taken out of one listener's queue before it is closed.
const LAST_CALL: u32 = socket::BACKLOG;

/// What becomes of connections that wait in the kernel's queues when the door closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// They are served: closing the socket would reset them.
    Served,
    /// They are left, to a successor that has the same sockets or to their fate.
    Left,
}

/// The accepting tasks of a gateway.
pub(super) struct Door {
    tasks: Vec<JoinHandle<()>>,
    rooms: Vec<Room>,
}

/// One listener and what its connections need.
#[derive(Clone)]
struct Room {
    bound: Arc<Bound>,
    stations: Arc<Stations>,
    places: Arc<Places>,
    clients: TaskTracker,
}

impl Door {
    /// Accepts from now on.
    pub(super) fn open(gateway: &Gateway, clients: &TaskTracker) -> Self {
        let rooms = gateway.listeners.iter().map(|bound| Room {
            bound: Arc::clone(bound),
            stations: Arc::clone(&gateway.stations),
            places: Arc::clone(&gateway.places),
            clients: clients.clone(),
        });
        let rooms: Vec<Room> = rooms.collect();
        let tasks = rooms.iter().map(|room| tokio::spawn(room.clone().accept())).collect();
        Self { tasks, rooms }
    }

    /// Accepts no more. What was accepted goes on.
    pub(super) async fn close(self, waiting: Waiting) {
        for task in self.tasks {
            task.abort();
            // An aborted task is what was asked for; it lets go of its listener before this returns.
            let _ = task.await;
        }
        for room in self.rooms.iter().filter(|_| waiting == Waiting::Served) {
            room.last_call().await;
        }
    }
}

impl Room {
    async fn accept(self) {
        loop {
            let Some(place) = self.places.take().await else { return };
            let (socket, peer) = socket::accept(&self.bound.listener).await;
            self.serve(socket, peer, place);
        }
    }

    /// Serves those who came before the door closed.
    async fn last_call(&self) {
        for _ in 0..LAST_CALL {
            let Some(place) = self.places.take_now() else { return };
            let waiting = poll_fn(|cx| match self.bound.listener.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
                Poll::Pending => Poll::Ready(None),
            });
            let Some((socket, peer)) = waiting.await else { return };
            self.serve(socket, peer, place);
        }
    }

    fn serve(&self, socket: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let (stations, speaks) = (Arc::clone(&self.stations), self.bound.speaks.load_full());
        let head = stations.live.load().head_timeout;
        // On the heap, and put there outside of the task, so that what a connection needs until its tunnel is open is no
        // part of the tunnel.
        let served = Box::pin(connection::serve(stations, speaks, socket, peer, head));
        self.clients.spawn(async move {
            if let Some(tunnel) = served.await {
                tunnel.carry().await;
            }
            drop(place);
        });
    }
}
