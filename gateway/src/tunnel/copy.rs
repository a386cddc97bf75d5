//! Carries bytes both ways until both sides have closed, one breaks, or nothing moves any more.
//!
//! ```text
//! read -> one scratch buffer a thread -> written at once; what the receiver does not take is kept
//!         until it does, and nothing more is read from the sender meanwhile
//! ```
//!
//! So a tunnel owns a buffer only while its receiver is slower than its sender, and an idle tunnel owns
//! none. Each direction closes by itself: an end of stream is passed on when all before it is delivered.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::ending::Ending;
use crate::observe::access::Traffic;

/// Bytes moved at once, and the most that is kept for a slow receiver in one direction.
pub const SCRATCH: usize = 64 * 1024;
/// Longest time without progress once one direction is closed: most often that side is gone for good, and
/// its tunnel holds a place.
pub const HALF_CLOSED: Duration = Duration::from_secs(120);
/// Most moves of one direction before the others have a turn.
const MOST_MOVES: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// How long and how much a tunnel may go on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest time without progress in either direction.
    pub idle: Duration,
    /// Most bytes from the client, those counted before the copy included.
    pub upload_cap: Option<u64>,
}

/// Carries bytes between a client and an origin, and says how it ended. `traffic` counts what was
/// delivered; it is right at every await, so dropping the future loses no count. `tell` is told of progress.
pub async fn copy<C, O>(
    client: &mut C,
    origin: &mut O,
    bounds: Bounds,
    traffic: &mut Traffic,
    mut tell: impl FnMut(Traffic),
) -> Ending
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(bounds.upload_cap);
    let mut down = Direction::new(None);
    let mut last_progress = Instant::now();
    let mut alarm = pin!(sleep(bounds.idle));
    poll_fn(|cx| {
        let before = *traffic;
        let states = (up.state, down.state);
        let upward = up.poll(cx, client, origin, &mut traffic.up);
        let downward = down.poll(cx, origin, client, &mut traffic.down);
        if before != *traffic {
            tell(*traffic);
        }
        match (upward, downward) {
            (Poll::Ready(Err(Side::Cap)), _) | (_, Poll::Ready(Err(Side::Cap))) => {
                return Poll::Ready(Ending::UploadCap);
            }
            (Poll::Ready(Err(Side::Sender)), _) | (_, Poll::Ready(Err(Side::Receiver))) => {
                return Poll::Ready(Ending::ClientReset);
            }
            (Poll::Ready(Err(Side::Receiver)), _) | (_, Poll::Ready(Err(Side::Sender))) => {
                return Poll::Ready(Ending::OriginReset);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ending::Finished),
            (Poll::Pending, _) | (_, Poll::Pending) => {}
        }
        let half_closed = up.state == State::Closed || down.state == State::Closed;
        let idle = if half_closed { bounds.idle.min(HALF_CLOSED) } else { bounds.idle };
        if before != *traffic || states != (up.state, down.state) {
            last_progress = Instant::now();
        }
        if states != (up.state, down.state) {
            alarm.as_mut().reset(last_progress + idle);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            let due = last_progress + idle;
            if due <= Instant::now() {
                return Poll::Ready(Ending::Idle);
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await
}

/// Which end of a direction broke, or that it has carried all it may.
enum Side {
    Sender,
    Receiver,
    Cap,
}

struct Direction {
    state: State,
    most: u64,
    unflushed: bool,
    kept: Vec<u8>,
    written: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

impl Direction {
    fn new(most: Option<u64>) -> Self {
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
                State::Open => match self.poll_move(cx, from, to, count)? {
                    Poll::Ready(()) => {}
                    Poll::Pending => return self.poll_flush(cx, to).map_err(|_| Side::Receiver),
                },
                State::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))
                        .or_else(ignore_gone)
                        .map_err(|_| Side::Receiver)?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what there is, once. Pending means that the sender has nothing now.
    fn poll_move<S, R>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
        to: &mut R,
        count: &mut u64,
    ) -> Result<Poll<()>, Side>
    where
        S: AsyncRead + Unpin,
        R: AsyncWrite + Unpin,
    {
        BUFFER.with_borrow_mut(|buffer| {
            let left = self.most.saturating_sub(*count);
            // All that fits the cap is delivered; one byte tells whether there is more than that.
            let room = usize::try_from(left.max(1)).unwrap_or(usize::MAX).min(buffer.len());
            let mut read = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
            match Pin::new(from).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Side::Sender),
                Poll::Ready(Ok(())) => {}
            }
            let mut rest = read.filled();
            if rest.is_empty() {
                self.state = State::Closing;
                return Ok(Poll::Ready(()));
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
                        self.kept = rest.to_vec();
                        self.written = 0;
                        break;
                    }
                }
            }
            Ok(Poll::Ready(()))
        })
    }

    fn poll_kept<R: AsyncWrite + Unpin>(
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
