//! A stream that does what its script says, and writes down what it did.

use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// One thing a [`Scripted`] stream did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Gave(usize),
    Took(usize),
    NotYetFlushed,
    Flushed,
    Shut,
}

/// A stream that does what its script says. What is not ready never becomes so by itself.
#[derive(Default)]
pub(super) struct Scripted {
    /// Bytes it takes before it is full.
    pub(super) room: usize,
    /// Bytes that were read from it.
    pub(super) given: usize,
    /// Bytes that were written to it.
    pub(super) taken: usize,
    /// Everything it did, in order.
    pub(super) did: Vec<Did>,
    gives: Gives,
    when_full: WhenFull,
    slow_flushes: usize,
    shutting: Option<io::ErrorKind>,
}

#[derive(Default)]
enum Gives {
    #[default]
    Nothing,
    Endless,
    These(Vec<u8>, AtEnd),
}

#[derive(Clone, Copy)]
enum AtEnd {
    Waits,
    Ends,
    Breaks(io::ErrorKind),
}

#[derive(Default)]
enum WhenFull {
    #[default]
    Waits,
    Breaks(io::ErrorKind),
    TakesNothing,
}

impl Scripted {
    pub(super) fn sends(bytes: &[u8]) -> Self {
        Self { gives: Gives::These(bytes.to_vec(), AtEnd::Waits), ..Self::default() }
    }

    pub(super) fn endless() -> Self {
        Self { gives: Gives::Endless, ..Self::default() }
    }

    pub(super) fn with_room(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    pub(super) fn and_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    pub(super) fn then_ends(self) -> Self {
        self.then(AtEnd::Ends)
    }

    pub(super) fn then_breaks(self, kind: io::ErrorKind) -> Self {
        self.then(AtEnd::Breaks(kind))
    }

    fn then(self, at_end: AtEnd) -> Self {
        let bytes = if let Gives::These(bytes, _) = self.gives { bytes } else { Vec::new() };
        Self { gives: Gives::These(bytes, at_end), ..self }
    }

    pub(super) fn breaks_when_full(self, kind: io::ErrorKind) -> Self {
        Self { when_full: WhenFull::Breaks(kind), ..self }
    }

    pub(super) fn takes_nothing_when_full(self) -> Self {
        Self { when_full: WhenFull::TakesNothing, ..self }
    }

    pub(super) fn breaks_when_shut(self, kind: io::ErrorKind) -> Self {
        Self { shutting: Some(kind), ..self }
    }

    pub(super) fn slow_to_flush(self, times: usize) -> Self {
        Self { slow_flushes: times, ..self }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        match &this.gives {
            Gives::Nothing => return Poll::Pending,
            Gives::Endless => {
                let room = into.remaining();
                into.initialize_unfilled().fill(b'e');
                into.advance(room);
            }
            Gives::These(bytes, at_end) => match (bytes.get(this.given..).unwrap_or_default(), at_end) {
                ([], AtEnd::Waits) => return Poll::Pending,
                ([], AtEnd::Ends) => return Poll::Ready(Ok(())),
                ([], AtEnd::Breaks(kind)) => return Poll::Ready(Err((*kind).into())),
                (rest, _) => into.put_slice(&rest[..rest.len().min(into.remaining())]),
            },
        }
        let gave = into.filled().len() - before;
        this.given += gave;
        this.did.push(Did::Gave(gave));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let took = bytes.len().min(this.room - this.taken);
        if took == 0 {
            return match this.when_full {
                WhenFull::Waits => Poll::Pending,
                WhenFull::Breaks(kind) => Poll::Ready(Err(kind.into())),
                WhenFull::TakesNothing => Poll::Ready(Ok(0)),
            };
        }
        this.taken += took;
        this.did.push(Did::Took(took));
        Poll::Ready(Ok(took))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.slow_flushes > 0 {
            this.slow_flushes -= 1;
            this.did.push(Did::NotYetFlushed);
            return Poll::Pending;
        }
        this.did.push(Did::Flushed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.did.push(Did::Shut);
        Poll::Ready(this.shutting.map_or(Ok(()), |kind| Err(kind.into())))
    }
}

/// Polls a future that must not be ready this many times, and drops it.
pub(super) fn poll_times<F: Future<Output: std::fmt::Debug>>(future: F, times: usize) {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "ended: {polled:?}");
    }
}
