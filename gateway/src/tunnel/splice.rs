//! Has the kernel move bytes between two plain sockets, once a direction has shown that there are many.
//!
//! ```text
//! little:  read -> the thread's scratch buffer -> written      (as in `copy`)
//! much:    sender -> a lent pipe -> receiver                   (two calls move up to a mebibyte)
//! ```
//!
//! A pipe is filled only when it is empty, so "would block" has one meaning: filling, the sender has nothing;
//! draining, the receiver has no room. What a receiver leaves in the pipe stays there if the loan may stay and it
//! is more than [`SCRATCH`]; else it is taken out and kept as a copy would keep it, and the pipe goes back at
//! once. So the moves of a loan that may not stay have at most that length.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::carry::Side;
use super::carry::State;
use super::carry::Turn;
use super::carry::Way;
use super::copy;
use super::copy::MOST_MOVES;
use super::copy::SCRATCH;
use super::pipes::Loan;
use super::pipes::Pipes;
use crate::observe::access::Traffic;

/// Most bytes that are read before a direction has shown that there are many.
const LITTLE: usize = 32 * 1024;
/// A move of fewer bytes is cheaper as a copy.
const WORTH_A_PIPE: usize = 16 * 1024;
/// The first length of a move through a pipe; it doubles as long as the receiver takes all at once.
const FIRST: usize = 256 * 1024;
/// Most bytes of one direction before the others have a turn.
const MOST_AT_ONCE: u64 = 4 * 1024 * 1024;

/// Both directions of a tunnel between plain sockets.
pub(super) struct Both<'a> {
    pipes: &'a Arc<Pipes>,
    up: Direction,
    down: Direction,
}

impl<'a> Both<'a> {
    pub(super) fn new(pipes: &'a Arc<Pipes>, upload_cap: Option<u64>) -> Self {
        Self { pipes, up: Direction::new(upload_cap), down: Direction::new(None) }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        origin: &mut TcpStream,
        traffic: &mut Traffic,
    ) -> Turn {
        let up = self.up.poll(cx, client, origin, self.pipes, &mut traffic.up);
        let down = self.down.poll(cx, origin, client, self.pipes, &mut traffic.down);
        Turn {
            up: Way { polled: up, state: self.up.copying.state },
            down: Way { polled: down, state: self.down.copying.state },
        }
    }
}

struct Direction {
    /// State, count, cap, and what is kept in user memory.
    copying: copy::Direction,
    /// A pipe with bytes that the receiver has not taken; on the heap, for most tunnels never have one.
    loan: Option<Box<Loan>>,
    /// The length of the next move through a pipe; 0 while there is little to move.
    length: usize,
}

impl Direction {
    fn new(most: Option<u64>) -> Self {
        Self { copying: copy::Direction::new(most), loan: None, length: 0 }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        pipes: &Arc<Pipes>,
        count: &mut u64,
    ) -> Poll<Result<(), Side>> {
        let before = *count;
        for _ in 0..MOST_MOVES {
            ready!(self.poll_rest(cx, to, count)).map_err(|_| Side::Receiver)?;
            match self.copying.state {
                State::Open if *count - before >= MOST_AT_ONCE => break,
                State::Open => ready!(self.poll_move(cx, from, to, pipes, count))?,
                State::Closing => ready!(self.copying.poll_close(cx, to)).map_err(|_| Side::Receiver)?,
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Delivers what came before; is ready when nothing is left of it.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut TcpStream,
        count: &mut u64,
    ) -> Poll<io::Result<()>> {
        if let Some(mut loan) = self.loan.take()
            && poll_drain(cx, to, &mut loan, count)?.is_pending()
        {
            self.set_aside(*loan)?;
            return Poll::Pending;
        }
        self.copying.poll_kept(cx, to, count)
    }

    /// Moves what there is, once. Pending means that the sender has nothing now, or that the receiver has no room.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        pipes: &Arc<Pipes>,
        count: &mut u64,
    ) -> Poll<Result<(), Side>> {
        // One byte beyond the cap is read, not moved into a pipe.
        let left = self.copying.left(*count);
        if self.length == 0 || left == 0 {
            let came = ready!(self.copying.poll_move(cx, from, to, count, LITTLE)?);
            if came >= WORTH_A_PIPE {
                self.length = FIRST;
            }
            return Poll::Ready(Ok(()));
        }
        // Nobody is lent a pipe for nothing.
        ready!(from.poll_read_ready(cx)).map_err(|_| Side::Sender)?;
        let Some(mut loan) = pipes.lend() else {
            return self.copying.poll_move(cx, from, to, count, SCRATCH)?.map(|_| Ok(()));
        };
        let room = if loan.may_stay() { self.length.min(loan.size()) } else { SCRATCH };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(room);
        let came = match ready!(poll_fill(cx, from, &mut loan, most)) {
            Ok(Some(0)) => {
                self.copying.state = State::Closing;
                return Poll::Ready(Ok(()));
            }
            Ok(Some(came)) => came,
            // The kernel does not move them, for now or here at all; a copy does.
            Ok(None) => {
                self.length = 0;
                return Poll::Ready(Ok(()));
            }
            Err(error) if is_refused(&error) => {
                self.length = 0;
                return Poll::Ready(Ok(()));
            }
            Err(_) => return Poll::Ready(Err(Side::Sender)),
        };
        if poll_drain(cx, to, &mut loan, count).map_err(|_| Side::Receiver)?.is_pending() {
            // What is under way while a receiver is slow should be little.
            self.length = (self.length / 2).max(FIRST);
            self.set_aside(loan).map_err(|_| Side::Receiver)?;
            return Poll::Pending;
        }
        if came < WORTH_A_PIPE {
            self.length = 0;
        } else if came == self.length {
            self.length = (self.length * 2).min(loan.size());
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps what a receiver has no room for: in the pipe if it may stay there, else as a copy would.
    fn set_aside(&mut self, mut loan: Loan) -> io::Result<()> {
        if loan.may_stay() && loan.inside() > SCRATCH {
            self.loan = Some(Box::new(loan));
        } else {
            self.copying.keep(loan.take_out()?);
        }
        Ok(())
    }
}

/// Moves from a socket into an empty pipe, once; zero is the end of the stream, `None` that there are bytes which
/// only a read gets.
fn poll_fill(
    cx: &mut Context<'_>,
    from: &TcpStream,
    loan: &mut Loan,
    most: usize,
) -> Poll<io::Result<Option<usize>>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        match from.try_io(Interest::READABLE, || fill(from, loan, most)) {
            Err(error) if is_again(&error) => {}
            filled => return Poll::Ready(filled),
        }
    }
}

/// The kernel moves nothing from an urgent mark on, and says at it that there is nothing, or the end. So what
/// it says then is no last word.
fn fill(from: &TcpStream, loan: &mut Loan, most: usize) -> io::Result<Option<usize>> {
    match loan.fill(from, most) {
        Ok(0) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        filled => return filled.map(Some),
    }
    match SockRef::from(from).peek(&mut [MaybeUninit::uninit()])? {
        0 => Ok(Some(0)),
        _ => Ok(None),
    }
}

/// What says nothing about the sender: no memory for it, or a kernel or a filter that does not have it.
fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::InvalidInput;
    use io::ErrorKind::OutOfMemory;
    use io::ErrorKind::PermissionDenied;
    use io::ErrorKind::Unsupported;
    matches!(error.kind(), InvalidInput | OutOfMemory | PermissionDenied | Unsupported)
}

/// Moves from a pipe to a socket until nothing is left in it.
fn poll_drain(
    cx: &mut Context<'_>,
    to: &TcpStream,
    loan: &mut Loan,
    count: &mut u64,
) -> Poll<io::Result<()>> {
    while loan.inside() > 0 {
        ready!(to.poll_write_ready(cx))?;
        // A receiver that is gone is an error and no signal: Rust's programs ignore SIGPIPE.
        match to.try_io(Interest::WRITABLE, || loan.drain(to)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(taken) => *count += taken as u64,
            Err(error) if is_again(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// Not ready, which the socket remembers; or interrupted.
fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
