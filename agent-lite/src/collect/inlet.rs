//! Where a source puts its records: the queues of the workspaces it goes to.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::counters::Loss;
use crate::counters::SourceTally;
use crate::record::Frames;
use crate::record::Table;
use crate::spool::AppendError;
use crate::spool::Queue;
use crate::spool::Receipt;

/// Most batches of records that wait for a slow `agent-lite tail`; older ones are skipped.
pub const TAIL_DEPTH: usize = 16;

/// Records on their way past whoever looks on with `agent-lite tail`.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The source.
    pub source: Arc<str>,
    /// The table of all records.
    pub table: Table,
    /// The records.
    pub frames: Arc<Frames>,
}

/// Where onlookers listen. Clones are the same place.
#[derive(Clone, Debug)]
pub struct Tap(broadcast::Sender<Seen>);

impl Tap {
    /// Begins without onlookers.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(TAIL_DEPTH))
    }

    /// Returns a receiver of everything that is collected from now on.
    pub fn look(&self) -> broadcast::Receiver<Seen> {
        self.0.subscribe()
    }
}

impl Default for Tap {
    fn default() -> Self {
        Self::new()
    }
}

/// The queues of one source, and what it counts.
#[derive(Clone)]
pub struct Inlet {
    source: Arc<str>,
    queues: Vec<Queue>,
    tally: SourceTally,
    tap: Tap,
}

/// Proof that all queues have some records.
#[derive(Clone, Debug)]
pub struct Delivery(Vec<(usize, Receipt)>);

impl Inlet {
    /// Begins with the queues of a source's workspaces.
    pub fn new(queues: Vec<Queue>, tally: SourceTally) -> Self {
        Self { source: "".into(), queues, tally, tap: Tap::new() }
    }

    /// Shows what is collected under the source's name to onlookers.
    pub fn seen_by(self, tap: Tap, source: &str) -> Self {
        Self { source: source.into(), tap, ..self }
    }

    /// Returns what the source counts.
    pub fn tally(&self) -> &SourceTally {
        &self.tally
    }

    /// Writes the records of a source that cannot wait: a queue that does not take them loses them, counted.
    pub fn offer(&self, table: &Table, frames: &Frames) {
        if frames.is_empty() {
            return;
        }
        self.count(table, frames);
        for queue in &self.queues {
            if queue.append(table, frames).is_err() {
                self.tally.losses.add(Loss::Refused, frames.count().into());
            }
        }
    }

    /// Writes the records of a source that can wait: returns when every queue has them.
    pub async fn deliver(&self, table: &Table, frames: &Frames) -> Delivery {
        if frames.is_empty() {
            return Delivery(Vec::new());
        }
        self.count(table, frames);
        let mut receipts = Vec::with_capacity(self.queues.len());
        for (at, queue) in self.queues.iter().enumerate() {
            let receipt = loop {
                match queue.append(table, frames) {
                    Ok(receipt) => break Some(receipt),
                    Err(AppendError::Full | AppendError::Disk(_)) => queue.room(frames.bytes().len()).await,
                    Err(AppendError::TooLarge(_)) => {
                        self.tally.losses.add(Loss::Refused, frames.count().into());
                        break None;
                    }
                }
            };
            receipts.extend(receipt.map(|receipt| (at, receipt)));
        }
        Delivery(receipts)
    }

    /// Waits until the disks have a delivery: only then may a position move.
    pub async fn durable(&self, delivery: &Delivery) {
        for (at, receipt) in &delivery.0 {
            if let Some(queue) = self.queues.get(*at) {
                queue.durable(*receipt).await;
            }
        }
    }

    fn count(&self, table: &Table, frames: &Frames) {
        if self.tap.0.receiver_count() > 0 {
            let frames = Arc::new(frames.clone());
            // Without a receiver by now nobody misses it.
            let _ = self.tap.0.send(Seen { source: Arc::clone(&self.source), table: table.clone(), frames });
        }
        self.tally.collected.inc_by(frames.count().into());
        self.tally.losses.add(Loss::Cut, frames.cut().into());
    }
}
