use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::record::Timestamp;

/// How one queue behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The queue's own folder.
    pub folder: PathBuf,
    /// Most bytes of segments on the disk, open ones included.
    pub cap: u64,
    /// What happens at the cap.
    pub when_full: WhenFull,
    /// How old unsynced data may become.
    pub sync: Duration,
    /// How old an open segment may become; one of counters' samples six times as old.
    pub seal_after: Duration,
    /// How large a segment may become, in bytes; at most 16 MiB and a quarter of the cap.
    pub segment: u64,
}

/// What happens when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// More bytes at once than the queue may ever hold: waiting is in vain.
    #[error("{0} bytes at once are more than the whole queue may hold")]
    TooLarge(u64),
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
    /// Bytes of segments on the disk.
    pub bytes: u64,
    /// Records that are not delivered yet.
    pub records: u64,
    /// The time of the first record of the oldest segment.
    pub oldest: Option<Timestamp>,
}
