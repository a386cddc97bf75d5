//! How records get to the disk: one sync at a time for all that came in before it began, then the seals.

use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::time::Duration;
use tokio::time::Instant;

use super::disk::Disk;
use super::disk::Replace;
use super::layout;
use super::queue::Inner;
use super::store::Open;
use super::store::Store;
use super::store::claim;
use crate::counters::Loss;
use crate::record::Table;

/// How long a disk that failed is left alone.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long the reserve is not made anew after the disk was full.
const RESERVE_AGAIN: Duration = Duration::from_secs(60);
/// Samples of counters gather for so many times `seal_after`: nobody waits for one, and an upload for every sampling
/// would be most of what an idle agent does.
const SAMPLES_GATHER: u32 = 6;
/// So few claimed numbers are left when more are claimed.
const FEW_NUMBERS: u64 = 512;

/// What to do next.
#[derive(Debug)]
pub(super) enum Plan {
    /// Sync this now.
    Sync(Work),
    /// Look again at this time.
    At(Instant),
    /// Nothing, until something comes in.
    Idle,
}

/// One sync.
#[derive(Debug)]
pub(super) struct Work {
    files: Vec<Unsynced>,
    sealing: Vec<u64>,
    upto: u64,
    names: bool,
    reserve: Option<u64>,
    claim: Option<u64>,
}

/// A file that the disk does not have yet.
#[derive(Debug)]
struct Unsynced {
    number: u64,
    file: Arc<File>,
    /// Its name, if it must be written anew.
    anew: Option<String>,
}

/// What became of the files of a sync.
struct Synced {
    unsynced: Vec<u64>,
    renewed: Vec<(u64, Arc<File>)>,
    outcome: io::Result<()>,
}

impl Store {
    /// Closes what is old enough and decides what is due.
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        while let Some(at) =
            self.open.iter().position(|open| self.seal_due(open).is_some_and(|due| now >= due))
        {
            self.close(at);
        }
        self.flow.wake = false;
        if self.flow.syncing {
            return Plan::Idle;
        }
        let sync = match self.flow.unsynced_since {
            _ if !self.sealing.is_empty() || self.flow.wanted > self.flow.synced => Some(now),
            Some(since) => Some(after(since, self.settings.sync)),
            None => None,
        };
        let sync = sync.map(|due| self.flow.again.map_or(due, |again| due.max(again)));
        if sync.is_some_and(|due| due <= now) {
            return Plan::Sync(self.begin(now));
        }
        let seal = self.open.iter().filter_map(|open| self.seal_due(open)).min();
        [sync, seal].into_iter().flatten().min().map_or(Plan::Idle, Plan::At)
    }

    /// Returns when an open segment is old enough. While one of its table waits to be sent, it would only wait, too: it
    /// grows instead, so that what gathers in an outage goes out in few full requests.
    fn seal_due(&self, open: &Open) -> Option<Instant> {
        let table = open.entry.table;
        if self.index.has(table) || self.sealing.iter().any(|sealing| sealing.entry.table == table) {
            return None;
        }
        let times = if *self.index.table(open.entry.table) == Table::Perf { SAMPLES_GATHER } else { 1 };
        Some(after(open.born, self.settings.seal_after.saturating_mul(times)))
    }

    fn begin(&mut self, now: Instant) -> Work {
        self.flow.syncing = true;
        self.flow.unsynced_since = None;
        let mut files = Vec::new();
        for open in self.sealing.iter_mut().chain(&mut self.open) {
            if std::mem::replace(&mut open.dirty, false) {
                let number = open.entry.number;
                let anew = open.suspect.then(|| layout::open(number, self.index.table(open.entry.table)));
                files.push(Unsynced { number, file: Arc::clone(&open.file), anew });
            }
        }
        let reserve = &mut self.reserve;
        let old = reserve.tried.is_none_or(|tried| now >= tried + RESERVE_AGAIN);
        let fill = (!reserve.held && reserve.bytes > 0 && old).then_some(reserve.bytes);
        if fill.is_some() {
            reserve.tried = Some(now);
        }
        let numbers = &mut self.numbers;
        numbers.claiming = numbers.durable < numbers.next + FEW_NUMBERS;
        Work {
            files,
            sealing: self.sealing.iter().map(|open| open.entry.number).collect(),
            upto: self.flow.appended,
            names: std::mem::replace(&mut self.flow.new_names, false),
            reserve: fill,
            claim: numbers.claiming.then_some(numbers.next),
        }
    }

    fn note_claim(&mut self, claimed: io::Result<Option<u64>>) -> io::Result<()> {
        self.numbers.claiming = false;
        if let Some(below) = claimed? {
            (self.numbers.claimed, self.numbers.durable) = (below, below);
        }
        Ok(())
    }

    fn take_renewed(&mut self, renewed: Vec<(u64, Arc<File>)>) {
        for (number, file) in renewed {
            if let Some(open) = self.sealing.iter_mut().find(|open| open.entry.number == number) {
                (open.file, open.suspect) = (file, false);
            }
        }
    }

    /// Seals, in the order of closing, what the disk has; says whether there was anything.
    fn seal_synced(&mut self, work: &Work, unsynced: &[u64]) -> io::Result<bool> {
        let mut sealed = false;
        while let Some(open) = self.sealing.front()
            && work.sealing.contains(&open.entry.number)
            && !unsynced.contains(&open.entry.number)
        {
            let entry = open.entry;
            let table = self.table(entry);
            self.disk.rename(&layout::open(entry.number, &table), &self.sealed_name(entry))?;
            self.sealing.pop_front();
            self.index.insert(entry);
            sealed = true;
        }
        Ok(sealed)
    }

    fn finish(&mut self, work: &Work, unsynced: &[u64], outcome: io::Result<()>) {
        self.flow.syncing = false;
        match outcome {
            Ok(()) => {
                self.flow.synced = self.flow.synced.max(work.upto);
                self.flow.again = None;
                self.well();
            }
            Err(error) => {
                for open in self.sealing.iter_mut().chain(&mut self.open) {
                    let failed = unsynced.contains(&open.entry.number);
                    open.dirty |= failed;
                    open.suspect |= failed;
                }
                // What is written anew must not grow meanwhile.
                while let Some(at) = self.open.iter().position(|open| open.suspect) {
                    self.close(at);
                }
                let now = Instant::now();
                self.flow.new_names = true;
                self.flow.unsynced_since.get_or_insert(now);
                self.flow.again = Some(now + AGAIN);
                self.books.tally.losses.add(Loss::Unsynced, 1);
                self.give_up_reserve();
                let folder = self.disk.folder().display().to_string();
                self.trouble(format_args!(
                    "{folder}: cannot be synced: {error}; what came last is on the disk or not"
                ));
            }
        }
    }
}

impl Inner {
    /// Does one sync; on a thread that may block.
    pub(super) fn sync(&self, work: &Work) {
        let disk = Arc::clone(&self.store().disk);
        let claimed = work.claim.map(|from| claim(&disk, from, Replace::Synced)).transpose();
        let claimed = self.store().note_claim(claimed);
        let Synced { unsynced, renewed, mut outcome } = sync_files(&disk, work);
        let is_renewed = !renewed.is_empty();
        self.store().take_renewed(renewed);
        let sealed = claimed.and_then(|()| self.store().seal_synced(work, &unsynced));
        let names = work.names || is_renewed || !matches!(sealed, Ok(false));
        outcome = outcome.and(sealed.map(|_| ()));
        if names {
            outcome = outcome.and(disk.sync_folder());
        }
        let filled = work.reserve.map(|bytes| disk.fill_reserve(bytes).is_ok());
        let mut store = self.store();
        store.finish(work, &unsynced, outcome);
        store.reserve.held |= filled == Some(true);
        drop(store);
        self.sealed.notify_waiters();
        self.synced.notify_waiters();
        self.tender.notify_one();
    }
}

/// Adds a duration that somebody configured, however long.
fn after(time: Instant, duration: Duration) -> Instant {
    time.checked_add(duration).unwrap_or(time + Duration::from_secs(86_400))
}

/// Syncs one file after the other.
fn sync_files(disk: &Disk, work: &Work) -> Synced {
    let mut synced = Synced { unsynced: Vec::new(), renewed: Vec::new(), outcome: Ok(()) };
    for one in &work.files {
        let done = match &one.anew {
            None => disk.sync(&one.file),
            Some(name) => disk.write_anew(name).map(|file| synced.renewed.push((one.number, Arc::new(file)))),
        };
        if let Err(error) = done {
            synced.unsynced.push(one.number);
            synced.outcome = Err(error);
        }
    }
    synced
}
