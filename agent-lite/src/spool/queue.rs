use std::fs::File;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;
use tokio::task;
use tokio::time;
use tokio::time::Instant;

use super::aside::Aside;
use super::recover::recover;
use super::segment::Segment;
use super::settings::AppendError;
use super::settings::QueueSettings;
use super::settings::QueueState;
use super::settings::Receipt;
use super::settings::SpoolError;
use super::settings::WhenFull;
use super::store::Store;
use super::sync::AGAIN;
use super::sync::Plan;
use crate::counters::WorkspaceTally;
use crate::record::Frames;
use crate::record::Table;

/// A queue. Clones are the same queue; when the last one and the last [`Segment`] are gone, the folder is free.
#[derive(Clone)]
pub struct Queue(pub(super) Arc<Inner>);

/// The state, and who waits for what.
pub(super) struct Inner {
    store: Mutex<Store>,
    rejected: Aside,
    /// Told when a segment may be sent.
    pub(super) sealed: Notify,
    /// Told when the disk has more.
    pub(super) synced: Notify,
    /// Told when there is more room.
    pub(super) freed: Notify,
    /// Told when something is due earlier than whoever tends the queue knows.
    pub(super) tender: Notify,
    _lock: File,
}

impl Inner {
    /// Returns the state; a panic elsewhere does not stop the queue.
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Opens the queue and mends what a crash left behind; what is lost is counted in the tally and said.
    pub fn open(settings: QueueSettings, tally: WorkspaceTally) -> Result<Self, SpoolError> {
        let rejected = Aside::new(settings.folder.join("rejected"), settings.cap);
        let (store, lock) = recover(settings, tally)?;
        Ok(Self(Arc::new(Inner {
            store: Mutex::new(store),
            rejected,
            sealed: Notify::new(),
            synced: Notify::new(),
            freed: Notify::new(),
            tender: Notify::new(),
            _lock: lock,
        })))
    }

    /// Takes another cap and another way when it is full. Records that are too many then go, or wait, with the
    /// next append; what is set aside keeps the bound of the beginning.
    pub fn limit(&self, cap: u64, when_full: WhenFull) {
        let mut store = self.0.store();
        (store.settings.cap, store.settings.when_full) = (cap, when_full);
        store.settings.segment = store.settings.segment.min(cap / 4);
        drop(store);
        self.0.freed.notify_waiters();
    }

    /// Writes records. When this returns the kernel has them: a crash of the agent loses nothing any more.
    pub fn append(&self, table: &Table, frames: &Frames) -> Result<Receipt, AppendError> {
        let mut store = self.0.store();
        let appended = store.append(table, frames);
        self.wake(store);
        appended
    }

    /// Waits until the disk has what was appended up to here. While the disk fails to confirm it, this waits:
    /// the failure is said and counted, and the sync is tried again every second.
    pub async fn durable(&self, receipt: Receipt) {
        loop {
            let synced = self.0.synced.notified();
            {
                let mut store = self.0.store();
                if store.flow.synced >= receipt.0 {
                    return;
                }
                if store.flow.wanted < receipt.0 {
                    store.flow.wanted = receipt.0;
                    store.flow.wake = true;
                }
                self.wake(store);
            }
            synced.await;
        }
    }

    /// Waits until an append of so many bytes may succeed; after an error of the disk for a second at most.
    pub async fn room(&self, bytes: usize) {
        loop {
            let freed = self.0.freed.notified();
            let (refused, has_room) = {
                let store = self.0.store();
                (store.is_refused(), store.has_room(bytes))
            };
            if refused {
                let _ = time::timeout(AGAIN, freed).await;
                return;
            }
            if has_room {
                return;
            }
            freed.await;
        }
    }

    /// Syncs and seals by age, for ever. Somebody must run it. It sleeps while nothing is open and unsynced.
    pub async fn tend(&self) {
        loop {
            let told = self.0.tender.notified();
            let plan = self.0.store().plan(Instant::now());
            match plan {
                Plan::Idle => told.await,
                Plan::At(time) => drop(time::timeout_at(time, told).await),
                Plan::Sync(work) => {
                    // It ends by itself and tells the tender, also when nobody waits for it any more.
                    let inner = Arc::clone(&self.0);
                    let _ = task::spawn_blocking(move || inner.sync(&work)).await;
                }
            }
        }
    }

    /// Seals what is open, so that it is sent now.
    pub fn seal(&self) {
        let mut store = self.0.store();
        while !store.open.is_empty() {
            store.close(0);
        }
        self.wake(store);
    }

    /// Seals what is open now and waits until it is on the disk and may be sent. Somebody must tend the queue meanwhile.
    pub async fn flush(&self) {
        self.seal();
        let (receipt, sealing) = {
            let store = self.0.store();
            let sealing: Vec<_> = store.sealing.iter().map(|open| open.entry.number).collect();
            (Receipt(store.flow.appended), sealing)
        };
        self.durable(receipt).await;
        loop {
            let synced = self.0.synced.notified();
            if !self.0.store().sealing.iter().any(|open| sealing.contains(&open.entry.number)) {
                return;
            }
            synced.await;
        }
    }

    /// Waits for the next segment to send and returns it, the same one until it is removed or set aside.
    /// Heartbeat and Operation go first, then the oldest.
    pub async fn next(&self) -> Segment {
        self.next_except(&[]).await
    }

    /// Like [`Self::next`], but of no table that has to wait.
    pub async fn next_except(&self, held: &[Table]) -> Segment {
        loop {
            let sealed = self.0.sealed.notified();
            if let Some(segment) = self.find(held) {
                return segment;
            }
            sealed.await;
        }
    }

    /// Returns what [`Self::next`] would, if it need not wait.
    pub fn peek(&self) -> Option<Segment> {
        self.find(&[])
    }

    fn find(&self, held: &[Table]) -> Option<Segment> {
        let mut store = self.0.store();
        let entry = store.index.next(held)?;
        Some(Segment { queue: Arc::clone(&self.0), table: store.table(entry), number: entry.number })
    }

    /// Notes that so many records at the front of the segment are delivered.
    pub fn mark(&self, segment: &Segment, delivered: u32) {
        self.0.store().mark(segment.number, delivered);
    }

    /// Removes a segment that is delivered wholly.
    pub fn remove(&self, segment: &Segment) {
        let mut store = self.0.store();
        store.remove(segment.number);
        self.wake(store);
        self.0.freed.notify_waiters();
    }

    /// Keeps frames that the service refused in the folder `rejected`, within a bound; counts nothing.
    pub fn set_aside(&self, table: &Table, frames: &[u8]) {
        if let Err(error) = self.0.rejected.append(table, frames) {
            let folder = self.0.rejected.folder().display();
            self.0.store().trouble(format_args!("{folder}: refused records are not kept: {error}"));
        }
    }

    /// Returns what is in it.
    pub fn state(&self) -> QueueState {
        self.0.store().state()
    }

    fn wake(&self, mut store: MutexGuard<'_, Store>) {
        let wake = std::mem::take(&mut store.flow.wake);
        drop(store);
        if wake {
            self.0.tender.notify_one();
        }
    }
}
