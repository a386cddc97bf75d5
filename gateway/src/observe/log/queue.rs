//! The queue between those who make records and the one thread that writes them.
//!
//! Records lie one behind the other in one buffer. The writer takes all of them at once, leaves an empty buffer
//! that it has used before, and writes. Then it rests for [`REST`], and nobody wakes it: under load a record
//! costs a copy and no system call. Nobody waits for the writer; what has no room is dropped and counted.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Most records that wait to be written.
pub const LONGEST_QUEUE: usize = 65_536;
/// Most bytes of them.
pub const MOST_WAITING: usize = 32 * 1024 * 1024;
/// How long the writer lets records gather after it wrote. The first one after a pause is written at once.
const REST: Duration = Duration::from_millis(10);
/// Most bytes of lines that are written at once, where one is not longer: so many a pipe takes as a whole
/// (PIPE_BUF), and two gateways write to the same one during a hand-over.
const WRITTEN_AT_ONCE: usize = 4096;
/// A buffer that had to be larger than this is given back.
const KEPT: usize = 256 * 1024;
/// Longest wait for the last records to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the writer takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// As many whole lines as go at once.
    Lines,
    /// One record: a datagram.
    Record,
}

/// The recording end.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

/// The writer's end. What is queued is written when this is dropped.
pub(super) struct Writing(Queue);

struct Shared {
    waiting: Mutex<Waiting>,
    called: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    batch: Batch,
    asleep: bool,
    ending: bool,
    ended: bool,
}

/// Records one behind the other, and where each ends.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Queue {
    /// Starts the thread that writes.
    pub(super) fn start(out: impl Write + Send + 'static, unit: Unit) -> io::Result<(Self, Writing)> {
        let (waiting, called) = (Mutex::default(), Condvar::new());
        let queue = Self(Arc::new(Shared { waiting, called, dropped: AtomicU64::new(0) }));
        let writer = queue.clone();
        thread::Builder::new().name("records".to_owned()).spawn(move || writer.write(out, unit))?;
        Ok((queue.clone(), Writing(queue)))
    }

    /// Queues a record, or counts it as dropped.
    pub(super) fn push(&self, record: &[u8]) {
        let mut waiting = self.lock();
        let Waiting { batch, asleep, .. } = &mut *waiting;
        if batch.ends.len() >= LONGEST_QUEUE || batch.bytes.len() + record.len() > MOST_WAITING {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        batch.bytes.extend_from_slice(record);
        batch.ends.push(batch.bytes.len());
        let wake = std::mem::take(asleep);
        drop(waiting);
        if wake {
            self.0.called.notify_all();
        }
    }

    /// Returns how many records were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn write(&self, mut out: impl Write, unit: Unit) {
        let mut batch = Batch::default();
        while self.swap(&mut batch) {
            let lost = batch.write(&mut out, unit);
            self.0.dropped.fetch_add(lost, Ordering::Relaxed);
            batch.clear();
            let waiting = self.lock();
            drop(self.0.called.wait_timeout_while(waiting, REST, |waiting| !waiting.ending));
        }
        self.lock().ended = true;
        self.0.called.notify_all();
    }

    /// Waits for records and takes all there are; says whether there are any before the end.
    fn swap(&self, batch: &mut Batch) -> bool {
        let mut waiting = self.lock();
        while waiting.batch.ends.is_empty() && !waiting.ending {
            waiting.asleep = true;
            waiting = self.0.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.asleep = false;
        std::mem::swap(&mut waiting.batch, batch);
        !batch.ends.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.ending = true;
        self.0.0.called.notify_all();
        // A writer that hangs keeps nobody from ending.
        drop(self.0.0.called.wait_timeout_while(waiting, LAST_WORDS, |waiting| !waiting.ended));
    }
}

impl Batch {
    /// Writes the records; returns how many were not, or not to their end.
    fn write(&self, out: &mut impl Write, unit: Unit) -> u64 {
        let (mut begin, mut lost) = (0, 0);
        let mut ends = self.ends.as_slice();
        while let Some((first, rest)) = ends.split_first() {
            let more = match unit {
                Unit::Lines => rest.iter().take_while(|end| **end - begin <= WRITTEN_AT_ONCE).count(),
                Unit::Record => 0,
            };
            let (together, later) = ends.split_at(more + 1);
            let end = *together.last().unwrap_or(first);
            let written = begin + write_all(out, self.bytes.get(begin..end).unwrap_or_default());
            lost += together.iter().filter(|end| **end > written).count();
            (begin, ends) = (end, later);
        }
        u64::try_from(lost).unwrap_or(u64::MAX)
    }

    fn clear(&mut self) {
        if self.bytes.capacity() > KEPT {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Writes as much as can be written, and returns how much that was.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A pipe that somebody made non-blocking, and that is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(REST),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests;
