//! Bootstrap: the interface with a queue in memory, until the real one takes its place.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::counters::WorkspaceTally;
use crate::record::Frames;
use crate::record::Table;
use crate::record::Timestamp;

/// How one queue behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The queue's own folder.
    pub folder: PathBuf,
    /// Most bytes on the disk, open segments included.
    pub cap: u64,
    /// What happens at the cap.
    pub when_full: WhenFull,
    /// How old unsynced data may become.
    pub sync: Duration,
    /// How old an open segment may become.
    pub seal_after: Duration,
    /// How large a segment may become, in bytes.
    pub segment: u64,
}

/// What happens when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest records make room.
    DropOldest,
    /// New records are refused until there is room.
    Block,
}

/// The queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk says no.
    #[error("{path}: {source}")]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{0}: another agent-lite uses this queue")]
    InUse(PathBuf),
}

/// Records were not taken; none of them.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The queue is full and does not drop.
    #[error("the queue is full")]
    Full,
    /// The disk says no.
    #[error("the queue cannot be written: {0}")]
    Disk(io::Error),
}

/// Proof of an append, to wait for the disk with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt(pub(super) u64);

/// What is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueState {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// When the oldest segment was begun.
    pub oldest: Option<Timestamp>,
}

/// A sealed segment: records of one table, in the order in which they were appended.
#[derive(Clone, Debug)]
pub struct Segment {
    table: Table,
    number: u64,
    bytes: Arc<Vec<u8>>,
}

impl Segment {
    /// Returns the table of all its records.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Returns its number: larger than any before it, over restarts, too.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads its frames into memory that is used again, and returns how many records at the front are delivered
    /// already. The frames are for [`crate::record::frame_at`]; a damaged one ends the segment.
    pub async fn load(&self, into: &mut Vec<u8>) -> io::Result<u32> {
        into.clear();
        into.extend_from_slice(&self.bytes);
        Ok(0)
    }
}

/// A queue. Clones are the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    segments: Mutex<(u64, VecDeque<Segment>)>,
    changed: Notify,
}

impl Queue {
    /// Opens the queue and mends what a crash left behind; what is lost is counted in the tally and said.
    pub fn open(_settings: QueueSettings, _tally: WorkspaceTally) -> Result<Self, SpoolError> {
        Ok(Self(Arc::new(Inner { segments: Mutex::default(), changed: Notify::new() })))
    }

    /// Writes records. When this returns the kernel has them: a crash of the agent loses nothing any more.
    pub fn append(&self, table: &Table, frames: &Frames) -> Result<Receipt, AppendError> {
        let mut segments = self.0.segments.lock().expect("no panic under the lock");
        segments.0 += 1;
        let number = segments.0;
        let bytes = Arc::new(frames.bytes().to_vec());
        segments.1.push_back(Segment { table: table.clone(), number, bytes });
        self.0.changed.notify_waiters();
        Ok(Receipt(number))
    }

    /// Waits until the disk has what was appended up to here.
    pub async fn durable(&self, _receipt: Receipt) {}

    /// Waits until an append of so many bytes may succeed.
    pub async fn room(&self, _bytes: usize) {}

    /// Syncs and seals by age, for ever. Somebody must run it.
    pub async fn tend(&self) {
        std::future::pending::<()>().await;
    }

    /// Seals what is open, so that it is sent now.
    pub fn seal(&self) {}

    /// Waits for the next segment to send and returns it, the same one until it is removed or set aside.
    /// Heartbeat and Operation go first, then the oldest.
    pub async fn next(&self) -> Segment {
        loop {
            let changed = self.0.changed.notified();
            if let Some(segment) = self.0.segments.lock().expect("no panic under the lock").1.front() {
                return segment.clone();
            }
            changed.await;
        }
    }

    /// Notes that so many records at the front of the segment are delivered.
    pub fn mark(&self, _segment: &Segment, _delivered: u32) {}

    /// Removes a segment that is delivered wholly.
    pub fn remove(&self, segment: &Segment) {
        let mut segments = self.0.segments.lock().expect("no panic under the lock");
        segments.1.retain(|known| known.number != segment.number);
    }

    /// Keeps frames that the service refused in the folder `rejected`, within a bound; counts nothing.
    pub fn set_aside(&self, _table: &Table, _frames: &[u8]) {}

    /// Returns what is in it.
    pub fn state(&self) -> QueueState {
        QueueState::default()
    }
}
