//! Carries a tunnel's bytes to its end: the kernel moves them where both legs are plain TCP, else they are copied.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use super::copy;
use super::idle::IdleWatch;
use super::idle::Watched;
use super::pipes::Pipes;
use super::splice;
use crate::ending::Ending;
use crate::observe::access::Traffic;
use crate::stream::Stream;

/// Longest time without progress once one direction is closed: most often that side is gone for good, and
/// its tunnel holds a place.
pub const HALF_CLOSED: Duration = Duration::from_secs(120);

/// How long and how much a tunnel may go on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest time without progress in either direction.
    pub idle: Duration,
    /// Most bytes from the client, those counted before the copy included.
    pub upload_cap: Option<u64>,
}

/// What all tunnels share.
pub struct Carrier {
    pipes: Arc<Pipes>,
    watch: Arc<IdleWatch>,
}

impl Carrier {
    /// Begins with these pipes.
    pub fn new(pipes: Arc<Pipes>) -> Self {
        Self { pipes, watch: IdleWatch::new() }
    }

    /// Looks for idle tunnels, for ever. Without it none ends as idle.
    pub async fn keep_watch(&self) -> Infallible {
        self.watch.keep().await
    }

    /// Carries bytes between a client and an origin, and says how it ended. `traffic` counts what was
    /// delivered; it is right at every await, so dropping the future loses no count. `tell` is told of progress.
    pub async fn carry(
        &self,
        client: &mut Stream,
        origin: &mut Stream,
        bounds: Bounds,
        traffic: &mut Traffic,
        tell: impl FnMut(Traffic),
    ) -> Ending {
        let watched = self.watch.watch(bounds.idle);
        match (client, origin) {
            (Stream::Plain(client), Stream::Plain(origin)) => {
                let mut both = splice::Both::new(&self.pipes, bounds.upload_cap);
                let step =
                    |cx: &mut Context<'_>, traffic: &mut Traffic| both.poll(cx, client, origin, traffic);
                to_the_end(step, watched, traffic, tell).await
            }
            (client, origin) => {
                let mut both = copy::Both::new(bounds.upload_cap);
                let step =
                    |cx: &mut Context<'_>, traffic: &mut Traffic| both.poll(cx, client, origin, traffic);
                to_the_end(step, watched, traffic, tell).await
            }
        }
    }
}

/// How a turn of a tunnel went.
pub(super) struct Turn {
    pub(super) up: Way,
    pub(super) down: Way,
}

/// How a turn of one direction went.
pub(super) struct Way {
    pub(super) polled: Poll<Result<(), Side>>,
    pub(super) state: State,
}

/// Which end of a direction broke, or that it has carried all it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sender,
    Receiver,
    Cap,
}

/// How far a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The sender has ended; the receiver is to be told.
    Closing,
    Closed,
}

/// Takes turns until the tunnel ends. No async function: that would have two places for each argument, and an idle
/// tunnel waits here.
pub(super) fn to_the_end(
    mut step: impl FnMut(&mut Context<'_>, &mut Traffic) -> Turn,
    mut watched: Watched,
    traffic: &mut Traffic,
    mut tell: impl FnMut(Traffic),
) -> impl Future<Output = Ending> {
    let mut states = [State::Open; 2];
    poll_fn(move |cx| {
        let before = *traffic;
        let turn = step(cx, traffic);
        if before != *traffic {
            tell(*traffic);
        }
        let now = [turn.up.state, turn.down.state];
        if let Some(ending) = ending(turn) {
            return Poll::Ready(ending);
        }
        if before != *traffic || states != now {
            watched.progress();
        }
        if states != now && now.contains(&State::Closed) {
            watched.at_most(HALF_CLOSED);
        }
        states = now;
        watched.poll_idle(cx).map(|()| Ending::Idle)
    })
}

fn ending(turn: Turn) -> Option<Ending> {
    match (turn.up.polled, turn.down.polled) {
        (Poll::Ready(Err(Side::Cap)), _) | (_, Poll::Ready(Err(Side::Cap))) => Some(Ending::UploadCap),
        (Poll::Ready(Err(Side::Sender)), _) | (_, Poll::Ready(Err(Side::Receiver))) => {
            Some(Ending::ClientReset)
        }
        (Poll::Ready(Err(Side::Receiver)), _) | (_, Poll::Ready(Err(Side::Sender))) => {
            Some(Ending::OriginReset)
        }
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Some(Ending::Finished),
        (Poll::Pending, _) | (_, Poll::Pending) => None,
    }
}
