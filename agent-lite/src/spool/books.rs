//! The plain parts of a queue's state: counts, times and flags.

use std::fmt;

use tokio::time::Instant;

use crate::counters::WorkspaceTally;

/// The numbers of segments: below `claimed` none is given out twice, whatever happens.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) next: u64,
    pub(super) claimed: u64,
    /// What of that the disk has; a segment is not sealed before the disk has its number.
    pub(super) durable: u64,
    /// Whether a sync is claiming more.
    pub(super) claiming: bool,
}

/// How far the disk is behind.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes that were ever appended.
    pub(super) appended: u64,
    /// Bytes of these that the disk has.
    pub(super) synced: u64,
    /// Bytes that somebody waits for.
    pub(super) wanted: u64,
    /// When the first byte was appended that the disk does not have.
    pub(super) unsynced_since: Option<Instant>,
    /// Whether there are names that the disk does not have.
    pub(super) new_names: bool,
    /// Whether a sync runs.
    pub(super) syncing: bool,
    /// Not before this time is a failed sync tried again.
    pub(super) again: Option<Instant>,
    /// Whether the last append failed because of the disk.
    pub(super) refused: bool,
    /// Whether whoever tends the queue must look at it anew.
    pub(super) wake: bool,
}

/// The file that is given up when the disk is full.
#[derive(Debug)]
pub(super) struct Reserve {
    pub(super) bytes: u64,
    pub(super) held: bool,
    pub(super) tried: Option<Instant>,
}

/// Bytes and records, and the gauges that show them.
pub(super) struct Books {
    pub(super) tally: WorkspaceTally,
    pub(super) bytes: u64,
    pub(super) records: u64,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("bytes", &self.bytes).field("records", &self.records).finish()
    }
}

impl Books {
    pub(super) fn add(&mut self, bytes: u64, records: u64) {
        self.bytes += bytes;
        self.records += records;
        self.show();
    }

    pub(super) fn subtract(&mut self, bytes: u64, records: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records = self.records.saturating_sub(records);
        self.show();
    }

    fn show(&self) {
        self.tally.queue_bytes.set(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        self.tally.queue_records.set(i64::try_from(self.records).unwrap_or(i64::MAX));
    }
}
