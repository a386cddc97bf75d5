//! Where a source puts its records: the queues of the workspaces it goes to.

use crate::counters::Loss;
use crate::counters::SourceTally;
use crate::record::Frames;
use crate::record::Table;
use crate::spool::AppendError;
use crate::spool::Queue;
use crate::spool::Receipt;

/// The queues of one source, and what it counts.
#[derive(Clone)]
pub struct Inlet {
    queues: Vec<Queue>,
    tally: SourceTally,
}

/// Proof that all queues have some records.
#[derive(Clone, Debug)]
pub struct Delivery(Vec<(usize, Receipt)>);

impl Inlet {
    /// Begins with the queues of a source's workspaces.
    pub fn new(queues: Vec<Queue>, tally: SourceTally) -> Self {
        Self { queues, tally }
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
        self.count(frames);
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
        self.count(frames);
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

    fn count(&self, frames: &Frames) {
        self.tally.collected.inc_by(frames.count().into());
        self.tally.losses.add(Loss::Cut, frames.cut().into());
    }
}
