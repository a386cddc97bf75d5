//! Accepts TCP connections; leaves them to the source that follows, or ends them, when the source stops.

use std::io;
use std::net::IpAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::bind;
use super::handover::Left;
use super::handover::Place;
use super::streams::Connection;
use super::streams::Desk;
use crate::counters::Loss;
use crate::events::Event;
use crate::events::say;
use crate::parse::framing::Framer;

/// How long to wait after a connection could not be accepted (too many open files).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What the connections of one listener share.
pub(super) struct Watch {
    pub(super) place: Place,
    /// Tells them to end: only when nobody can connect any more, as who is told may do so at once.
    pub(super) closing: CancellationToken,
}

impl Source {
    /// Accepts connections until the source is stopped, then waits for them. What a source before left goes on.
    pub(super) async fn serve_tcp(
        self: &Arc<Self>,
        listener: TcpListener,
        place: Place,
        left: Left,
    ) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let watch = Arc::new(Watch { place, closing: CancellationToken::new() });
        let mut connections = JoinSet::new();
        self.resume(left, &watch, &mut connections).await;
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    self.admit(stream, peer.ip().to_canonical(), &watch, &mut connections);
                }
                Err(failed) => {
                    if !std::mem::replace(&mut failing, true) {
                        let detail = format_args!("a connection could not be accepted: {failed}");
                        say(Event::SourceTrouble, &self.context.name, detail);
                    }
                    time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        self.close(listener, &watch, &mut connections).await
    }

    /// Goes on with what a source before has left.
    async fn resume(self: &Arc<Self>, left: Left, watch: &Arc<Watch>, connections: &mut JoinSet<()>) {
        for records in left.records {
            let mut desk = self.streams.desk.lock().await;
            desk.intake.put_back(records);
            self.deliver(&mut desk, watch.place).await;
        }
        for live in left.connections {
            let permit = Arc::clone(&self.streams.permits).try_acquire_owned();
            let (source, watch) = (Arc::clone(self), Arc::clone(watch));
            connections.spawn(async move {
                let connection = Connection::new(&source, &watch, live.peer, live.framer);
                match permit {
                    Ok(_permit) => {
                        if let Ok(stream) = TcpStream::from_std(live.stream) {
                            connection.serve(stream).await;
                        }
                    }
                    // `connections` is less than it was.
                    Err(_) => connection.end(live.stream).await,
                }
            });
        }
    }

    /// Leaves everything to the source that follows at this address; without one, ends the connections.
    async fn close(
        self: &Arc<Self>,
        listener: tokio::net::TcpListener,
        watch: &Arc<Watch>,
        connections: &mut JoinSet<()>,
    ) -> io::Result<()> {
        let listener = listener.into_std()?;
        let follows = self.context.handover.is_expected(watch.place);
        if !follows {
            // Who waits to be accepted may have written. From now on nobody can connect: who is told may do so at once.
            for _ in 0..bind::BACKLOG {
                let Ok((stream, peer)) = listener.accept() else { break };
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    self.admit(stream, peer.ip().to_canonical(), watch, connections);
                }
            }
        }
        let kept = follows.then_some(listener);
        watch.closing.cancel();
        while connections.join_next().await.is_some() {}
        if let Some(listener) = kept {
            self.context.handover.leave(watch.place, |left| left.listener = Some(listener));
        }
        Ok(())
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        watch: &Arc<Watch>,
        connections: &mut JoinSet<()>,
    ) {
        // However the agent is killed, its sender learns it at once: by a reset, so that its next write fails.
        // After an ordinary end that write would succeed, and its messages be lost.
        let _ = stream.set_zero_linger();
        let lifted = stream.into_std().map(|stream| bind::local::lift(stream, bind::local::CONNECTIONS));
        let Ok(stream) = lifted.and_then(TcpStream::from_std) else { return };
        let Ok(permit) = Arc::clone(&self.streams.permits).try_acquire_owned() else {
            self.streams.tally.losses.add(Loss::Connections, 1);
            if !self.streams.crowded.swap(true, Ordering::Relaxed) {
                let detail = format_args!("{peer} was refused: raise `connections`");
                say(Event::SourceTrouble, &self.context.name, detail);
            }
            return;
        };
        self.streams.crowded.store(false, Ordering::Relaxed);
        let (source, watch) = (Arc::clone(self), Arc::clone(watch));
        connections.spawn(async move {
            let _permit = permit;
            Connection::new(&source, &watch, peer, Framer::default()).serve(stream).await;
        });
    }

    /// Waits until the queues have the records of the desk. When the source stops, only so long: then they are left to
    /// the source that follows, or given up.
    pub(super) async fn deliver(&self, desk: &mut Desk, place: Place) {
        if desk.deliver(&self.stop).await {
            return;
        }
        if self.context.handover.is_expected(place) {
            let records = desk.intake.take_out();
            self.context.handover.leave(place, |left| left.records.push(records));
        } else {
            desk.intake.give_up();
        }
    }
}
