//! Pipes for the kernel to move bytes through: few, large, and lent only while bytes move.
//!
//! A user's pipes have a bound in the kernel, and who exceeds it gets pipes of a page or two. So the pool takes
//! a part of that bound only, and what does not get a pipe copies. Most loans end within one turn of a tunnel.
//! One that [may stay](Loan::may_stay) keeps what a slow receiver leaves in the pipe; their number is such that
//! a pipe is left for each worker, whatever receivers do. A pipe that is not empty never comes back.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use rustix::pipe::fcntl_getpipe_size;
use rustix::pipe::fcntl_setpipe_size;
use rustix::pipe::pipe_with;
use rustix::pipe::splice;

use crate::observe::metrics::PipeMetrics;

/// Size of a pipe, where the limits allow.
pub const LARGEST_PIPE: usize = 1024 * 1024;
/// Size that the kernel gives a pipe by itself. A smaller one is a sign that the user's bound is reached.
pub const LEAST_PIPE: usize = 64 * 1024;
/// Most pipes, whatever the limits allow; each has two descriptors, of those that are left for everything else.
pub const MOST_PIPES: usize = 32;
/// The part of the user's bound that one gateway takes: two run during a hand-over, and others may be the same user.
const PART: usize = 4;
/// What the kernel's bound counts in; larger pages only make the pool smaller than it might be.
const PAGE: usize = 4096;
/// The kernel's own default of that bound, where it cannot be read.
const USUAL_PAGES: usize = 16 * 1024;
/// How long no pipe is asked for after the system gave none.
const PAUSE: Duration = Duration::from_secs(1);

/// What the kernel allows this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLimits {
    /// Pages in all pipes of the user; 0 is no bound.
    pub user_pages: usize,
    /// Bytes in one pipe.
    pub largest: usize,
}

impl KernelLimits {
    /// Reads them. The sandbox closes these files.
    pub fn read() -> Self {
        let number = |file: &str, usual| {
            fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usual)
        };
        Self {
            user_pages: number("/proc/sys/fs/pipe-user-pages-soft", USUAL_PAGES),
            largest: number("/proc/sys/fs/pipe-max-size", LARGEST_PIPE),
        }
    }
}

/// How many pipes there may be, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of each pipe.
    pub size: usize,
    /// Most pipes at once.
    pub most: usize,
    /// How many of them may stay with tunnels whose receivers are slow.
    pub stay: usize,
}

impl Budget {
    /// Divides what the kernel allows for a number of worker threads: each moves through one pipe at a time.
    pub fn new(limits: KernelLimits, workers: usize) -> Self {
        let pages = if limits.user_pages == 0 { usize::MAX } else { limits.user_pages };
        let bytes = (pages / PART).saturating_mul(PAGE);
        let wanted = workers.saturating_mul(2).min(MOST_PIPES);
        let mut size = LARGEST_PIPE.min(limits.largest).max(LEAST_PIPE);
        while size > LEAST_PIPE && bytes / size < wanted {
            size /= 2;
        }
        let most = (bytes / size).min(MOST_PIPES);
        Self { size, most, stay: most.saturating_sub(workers) }
    }
}

/// The pool of pipes, one for the whole gateway.
pub struct Pipes {
    budget: Budget,
    inner: Mutex<Inner>,
    metrics: PipeMetrics,
}

#[derive(Default)]
struct Inner {
    /// Empty ones; the last that came back is the first to go, for its memory is the warmest.
    empty: Vec<Pipe>,
    open: usize,
    staying: usize,
    none_before: Option<Instant>,
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
}

impl Pipe {
    fn new(size: usize) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Where the kernel does not let it grow, it is as large as it is.
        let _ = fcntl_setpipe_size(&write, size);
        let size = fcntl_getpipe_size(&write)?;
        match size < LEAST_PIPE {
            true => Err(io::ErrorKind::QuotaExceeded.into()),
            false => Ok(Self { read, write, size }),
        }
    }
}

impl Pipes {
    /// Begins an empty pool.
    pub fn new(budget: Budget, metrics: PipeMetrics) -> Arc<Self> {
        Arc::new(Self { budget, inner: Mutex::default(), metrics })
    }

    /// Lends an empty pipe, if there is one.
    pub fn lend(self: &Arc<Self>) -> Option<Loan> {
        let mut inner = self.lock();
        let ready = inner.empty.pop();
        if ready.is_none() {
            let paused = inner.none_before.is_some_and(|until| Instant::now() < until);
            if inner.open >= self.budget.most || paused {
                drop(inner);
                self.metrics.none();
                return None;
            }
            inner.open += 1;
        }
        let stays = inner.staying < self.budget.stay;
        inner.staying += usize::from(stays);
        drop(inner);
        // From here on the loan's end gives everything back.
        self.metrics.lent();
        let mut loan = Loan { pipes: Arc::clone(self), pipe: ready, inside: 0, stays };
        if loan.pipe.is_none() {
            loan.pipe = Pipe::new(self.budget.size).ok();
            match loan.pipe {
                Some(_) => self.metrics.opened(),
                None => {
                    self.lock().none_before = Some(Instant::now() + PAUSE);
                    self.metrics.none();
                    return None;
                }
            }
        }
        Some(loan)
    }

    /// Returns how many are open, and how many of them are in the pool.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.open, inner.empty.len())
    }

    /// Puts something into the pool that the kernel takes for no pipe, and moves nothing into.
    #[cfg(test)]
    pub(super) fn put_no_pipe(&self) {
        let (read, write) = std::os::unix::net::UnixStream::pair().expect("two sockets");
        let mut inner = self.lock();
        inner.open += 1;
        inner.empty.push(Pipe { read: read.into(), write: write.into(), size: self.budget.size });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pipe that is lent. It comes back to the pool if it is empty when this is dropped, and is closed if not.
pub struct Loan {
    pipes: Arc<Pipes>,
    /// None only while it is made, and once it is spoilt: after an error nobody knows what is in it.
    pipe: Option<Pipe>,
    inside: usize,
    stays: bool,
}

impl Loan {
    /// Says whether it may be kept from one turn of a tunnel to the next.
    pub fn may_stay(&self) -> bool {
        self.stays
    }

    /// Returns how many bytes are in the pipe.
    pub fn inside(&self) -> usize {
        self.inside
    }

    /// Returns the most bytes that it may hold.
    pub fn size(&self) -> usize {
        self.pipe.as_ref().map_or(0, |pipe| pipe.size)
    }

    /// Moves bytes from a socket into the pipe, which must be empty: only then "would block" is the socket's
    /// word. Zero is the end of the stream.
    pub fn fill(&mut self, from: impl AsFd, most: usize) -> io::Result<usize> {
        debug_assert_eq!(self.inside, 0, "the pipe must be empty");
        let moved = self.attempt(|pipe| splice(from, None, &pipe.write, None, most, how()))?;
        self.inside += moved;
        Ok(moved)
    }

    /// Moves bytes from the pipe to a socket. Not to be called when the pipe is empty.
    pub fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let inside = self.inside;
        let moved = self.attempt(|pipe| splice(&pipe.read, None, to, None, inside, how()))?;
        self.inside = self.inside.saturating_sub(moved);
        Ok(moved)
    }

    /// Takes out what is in the pipe.
    pub fn take_out(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.inside];
        while self.inside > 0 {
            let start = bytes.len() - self.inside;
            let read = self
                .attempt(|pipe| rustix::io::read(&pipe.read, bytes.get_mut(start..).unwrap_or_default()))?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.inside = self.inside.saturating_sub(read);
        }
        Ok(bytes)
    }

    fn attempt(&mut self, act: impl FnOnce(&Pipe) -> rustix::io::Result<usize>) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Err(io::ErrorKind::BrokenPipe.into()) };
        act(pipe).map_err(|errno| {
            let error = io::Error::from(errno);
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                self.pipe = None;
                self.pipes.metrics.closed();
            }
            error
        })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let pipe = self.pipe.take();
        let is_empty = self.inside == 0;
        if pipe.is_some() && !is_empty {
            self.pipes.metrics.closed();
        }
        self.pipes.metrics.returned();
        let mut inner = self.pipes.lock();
        inner.staying -= usize::from(self.stays);
        match pipe.filter(|_| is_empty) {
            Some(pipe) => inner.empty.push(pipe),
            None => inner.open -= 1,
        }
    }
}

/// Nothing waits, and nothing is held back for more to come: a message's last bytes go at once.
fn how() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

#[cfg(test)]
mod tests;
