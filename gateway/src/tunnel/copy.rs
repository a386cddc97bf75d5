//! Copies bytes both ways until both sides have closed or one breaks. What may do so anywhere: TLS legs, and
//! plain ones as long as there is no pipe or little to move.
//!
//! ```text
//! read -> one scratch buffer a thread -> written at once; what the receiver does not take is kept
//!         until it does, and nothing more is read from the sender meanwhile
//! ```
//!
//! So a tunnel owns a buffer only while its receiver is slower than its sender, and an idle tunnel owns
//! none. Each direction closes by itself: an end of stream is passed on when all before it is delivered.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use super::carry::Side;
use super::carry::State;
use super::carry::Turn;
use super::carry::Way;
use crate::observe::access::Traffic;

/// Bytes moved at once, and the most that is kept for a slow receiver in one direction.
pub const SCRATCH: usize = 64 * 1024;
/// Most moves of one direction before the others have a turn.
pub(super) const MOST_MOVES: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Both directions of a tunnel that is copied.
pub(super) struct Both {
    up: Direction,
    down: Direction,
}

impl Both {
    pub(super) fn new(upload_cap: Option<u64>) -> Self {
        Self { up: Direction::new(upload_cap), down: Direction::new(None) }
    }

    pub(super) fn poll<C, O>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        origin: &mut O,
        traffic: &mut Traffic,
    ) -> Turn
    where
        C: AsyncRead + AsyncWrite + Unpin,
        O: AsyncRead + AsyncWrite + Unpin,
    {
        let up = self.up.poll(cx, client, origin, &mut traffic.up);
        let down = self.down.poll(cx, origin, client, &mut traffic.down);
        Turn {
            up: Way { polled: up, state: self.up.state },
            down: Way { polled: down, state: self.down.state },
        }
    }
}

/// One direction of a tunnel.
pub(super) struct Direction {
    pub(super) state: State,
    most: u64,
    unflushed: bool,
    kept: Vec<u8>,
    written: usize,
}

impl Direction {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self {
            state: State::Open,
            most: most.unwrap_or(u64::MAX),
            unflushed: false,
            kept: Vec::new(),
            written: 0,
        }
    }

    fn poll<S, R>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
        to: &mut R,
        count: &mut u64,
    ) -> Poll<Result<(), Side>>
    where
        S: AsyncRead + Unpin,
        R: AsyncWrite + Unpin,
    {
        for _ in 0..MOST_MOVES {
            ready!(self.poll_kept(cx, to, count)).map_err(|_| Side::Receiver)?;
            match self.state {
                State::Open => match self.poll_move(cx, from, to, count, SCRATCH)? {
                    Poll::Ready(_) => {}
                    Poll::Pending => return self.poll_flush(cx, to).map_err(|_| Side::Receiver),
                },
                State::Closing => ready!(self.poll_close(cx, to)).map_err(|_| Side::Receiver)?,
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes the end of the stream on.
    pub(super) fn poll_close<R: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut R,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(to).poll_shutdown(cx)).or_else(ignore_gone)?;
        self.state = State::Closed;
        Poll::Ready(Ok(()))
    }

    /// Returns how many bytes this direction may still carry.
    pub(super) fn left(&self, count: u64) -> u64 {
        self.most.saturating_sub(count)
    }

    /// Keeps bytes for the receiver. There must be none that are kept already.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.kept.is_empty(), "bytes would be lost");
        self.kept = bytes;
        self.written = 0;
    }

    /// Moves what there is, once and at most so much, and returns how much came. Pending means that the sender
    /// has nothing now.
    pub(super) fn poll_move<S, R>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
        to: &mut R,
        count: &mut u64,
        at_most: usize,
    ) -> Result<Poll<usize>, Side>
    where
        S: AsyncRead + Unpin,
        R: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let left = self.left(*count);
            // All that fits the cap is delivered; one byte tells whether there is more than that.
            let room = usize::try_from(left.max(1)).unwrap_or(usize::MAX).min(buffer.len()).min(at_most);
            let mut read = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
            match Pin::new(from).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Side::Sender),
                Poll::Ready(Ok(())) => {}
            }
            let mut rest = read.filled();
            let came = rest.len();
            if rest.is_empty() {
                self.state = State::Closing;
                return Ok(Poll::Ready(came));
            }
            if rest.len() as u64 > left {
                return Err(Side::Cap);
            }
            while !rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Err(Side::Receiver),
                    Poll::Ready(Ok(taken)) => {
                        self.unflushed = true;
                        *count += taken as u64;
                        rest = rest.get(taken..).unwrap_or_default();
                    }
                    Poll::Pending => {
                        self.keep(rest.to_vec());
                        break;
                    }
                }
            }
            Ok(Poll::Ready(came))
        })
    }

    /// Writes what is kept.
    pub(super) fn poll_kept<R: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut R,
        count: &mut u64,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.kept.get(self.written..).filter(|rest| !rest.is_empty()) {
            let taken = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.written += taken;
            *count += taken as u64;
        }
        self.kept = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Pushes on what a TLS leg may have buffered, now that there is nothing to add. Never ready.
    fn poll_flush<R: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut R,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

/// A receiver that is gone needs no end of stream.
fn ignore_gone(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
