//! What a queue knows: its segments, their bytes and records, and how far the disk has them.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::Read;
use std::sync::Arc;

use tokio::time::Duration;
use tokio::time::Instant;

use super::aside::Aside;
use super::books::Books;
use super::books::Flow;
use super::books::Numbers;
use super::books::Reserve;
use super::disk::Disk;
use super::disk::Replace;
use super::disk::no_space;
use super::index::Entry;
use super::index::Index;
use super::layout;
use super::layout::HEAD_BYTES;
use super::settings::QueueSettings;
use super::settings::QueueState;
use crate::counters::Loss;
use crate::counters::WorkspaceTally;
use crate::events::Event;
use crate::events::say;
use crate::record::FRAME_HEAD;
use crate::record::Table;
use crate::record::Timestamp;

/// Segment numbers that are claimed on the disk at once.
const CLAIM: u64 = 1024;
/// How long the disk must be well before new trouble is said again.
const WELL_FOR: Duration = Duration::from_secs(10);

/// A segment that is written, or waits for the disk before it is sealed.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) entry: Entry,
    pub(super) file: Arc<File>,
    pub(super) born: Instant,
    pub(super) dirty: bool,
    /// A sync of it failed: what the kernel shows of it may not come to the disk any more.
    pub(super) suspect: bool,
}

/// What may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victims {
    /// Sealed segments.
    Sealed,
    /// Open ones, too.
    All,
}

/// The state of a queue.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) settings: QueueSettings,
    pub(super) disk: Arc<Disk>,
    pub(super) damaged: Aside,
    pub(super) place: String,
    pub(super) books: Books,
    pub(super) index: Index,
    pub(super) open: Vec<Open>,
    pub(super) sealing: VecDeque<Open>,
    pub(super) progress: BTreeMap<u64, u32>,
    pub(super) numbers: Numbers,
    pub(super) reserve: Reserve,
    pub(super) flow: Flow,
    pub(super) failed_loads: u32,
    pub(super) oldest: Option<(u64, Timestamp)>,
    doomed: Vec<(String, u64)>,
    full: bool,
    troubled: Option<Instant>,
}

/// Claims some numbers from this one on, and returns the first that is not claimed.
pub(super) fn claim(disk: &Disk, from: u64, how: Replace) -> io::Result<u64> {
    let below = from.saturating_add(CLAIM);
    let text = format!("{below}\n");
    match disk.replace(layout::NEXT_NUMBER, text.as_bytes(), how) {
        // Nothing is sealed without a claim, and nothing that is not sealed ever makes room.
        Err(error) if no_space(&error) => {
            disk.overwrite(layout::NEXT_NUMBER, text.as_bytes()).map_err(|_| error)?
        }
        replaced => replaced?,
    }
    Ok(below)
}

impl Store {
    pub(super) fn new(settings: QueueSettings, disk: Disk, tally: WorkspaceTally) -> Self {
        let name = settings.folder.file_name().unwrap_or_default().to_string_lossy();
        let reserve = (settings.cap / 100).min(1024 * 1024);
        Self {
            damaged: Aside::new(settings.folder.join("damaged"), settings.cap),
            place: format!("workspace {name}"),
            settings,
            disk: Arc::new(disk),
            books: Books { tally, bytes: 0, records: 0 },
            index: Index::new(),
            open: Vec::new(),
            sealing: VecDeque::new(),
            progress: BTreeMap::new(),
            numbers: Numbers { next: 0, claimed: 0, durable: 0, claiming: false },
            reserve: Reserve { bytes: reserve, held: false, tried: None },
            flow: Flow::default(),
            failed_loads: 0,
            oldest: None,
            doomed: Vec::new(),
            full: false,
            troubled: None,
        }
    }

    /// Returns a number that no segment ever had.
    pub(super) fn number(&mut self) -> io::Result<u64> {
        if self.numbers.next >= self.numbers.claimed {
            if self.numbers.claiming {
                return Err(io::Error::other("the disk is too slow to claim numbers of segments"));
            }
            self.numbers.claimed = claim(&self.disk, self.numbers.next, Replace::Unsynced)?;
        }
        self.numbers.next += 1;
        Ok(self.numbers.next - 1)
    }

    /// Returns whether so many more bytes are within the cap.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.books.bytes.saturating_add(bytes) <= self.settings.cap
    }

    /// Returns whether there is room for an append of so many bytes, wherever segments begin and end in it.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        // Two segments in a row hold more than one may, or they would be one.
        let heads = 2 + 2 * bytes / self.settings.segment.saturating_sub(HEAD_BYTES).max(1);
        self.books.bytes == 0 || self.fits(bytes + heads * HEAD_BYTES)
    }

    /// Returns whether the disk refused something, so that waiting for a removal may be in vain.
    pub(super) fn is_refused(&self) -> bool {
        self.flow.refused || !self.doomed.is_empty()
    }

    /// Drops the oldest segment; says whether there was one. The one that is being sent is the last to go: it may
    /// arrive all the same, and would be counted as lost.
    pub(super) fn drop_oldest(&mut self, victims: Victims) -> io::Result<bool> {
        let unsealed = self.sealing.iter().chain(&self.open).map(|open| open.entry);
        let unsealed = unsealed.min_by_key(|entry| entry.number).filter(|_| victims == Victims::All);
        let (entry, name) = match (self.index.free_victim(), unsealed, self.index.victim()) {
            (Some(entry), ..) | (None, None, Some(entry)) => (entry, self.sealed_name(entry)),
            (None, Some(entry), _) => (entry, layout::open(entry.number, self.index.table(entry.table))),
            (None, None, None) => return Ok(false),
        };
        self.remove_file(&name)?;
        let delivered = self.forget(entry);
        self.books.subtract(entry.bytes.into(), (entry.records - delivered).into());
        self.books.tally.losses.add(Loss::Dropped, (entry.records - delivered).into());
        Ok(true)
    }

    /// Removes a delivered segment. One that the disk does not remove is not sent again, but counts on.
    pub(super) fn remove(&mut self, number: u64) {
        self.bury();
        let Some(entry) = self.index.find(number) else { return };
        let name = self.sealed_name(entry);
        let delivered = self.forget(entry);
        self.books.subtract(entry.bytes.into(), (entry.records - delivered).into());
        self.remove_or_doom(name, entry.bytes.into());
        self.say_when_room();
    }

    /// Removes a file that is not counted, or counts its bytes until it can be removed.
    pub(super) fn remove_or_doom(&mut self, name: String, bytes: u64) {
        if let Err(error) = self.remove_file(&name) {
            self.trouble(format_args!("{}: cannot be removed: {error}", self.disk.path(&name).display()));
            self.books.add(bytes, 0);
            self.doomed.push((name, bytes));
        }
    }

    /// Notes how many records of a segment are delivered.
    pub(super) fn mark(&mut self, number: u64, delivered: u32) {
        let Some(entry) = self.index.find(number) else { return };
        let delivered = delivered.min(entry.records);
        let before = self.progress.insert(number, delivered).unwrap_or(0);
        self.books.add(0, before.into());
        self.books.subtract(0, delivered.into());
        let (name, text) = (layout::sent(number), format!("{delivered}\n"));
        let write = |store: &Self| store.disk.replace(&name, text.as_bytes(), Replace::Unsynced);
        if let Err(error) = write(self)
            && !(no_space(&error) && self.give_up_reserve() && write(self).is_ok())
        {
            self.trouble(format_args!("{}: {error}", self.disk.path(&name).display()));
        }
    }

    /// Corrects what is known of a segment after its file was read, and returns what is delivered of it.
    pub(super) fn correct(&mut self, number: u64, bytes: u64, records: u32) -> u32 {
        let Some(known) = self.index.find(number) else { return 0 };
        let entry = Entry { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), records, ..known };
        let before = self.progress.get(&number).copied().unwrap_or(0);
        let delivered = before.min(records);
        if before != delivered {
            self.progress.insert(number, delivered);
        }
        if entry != known {
            let (from, to) = (self.sealed_name(known), self.sealed_name(entry));
            if from != to
                && let Err(error) = self.disk.rename(&from, &to)
            {
                // The next one that reads it corrects it.
                self.trouble(format_args!("{}: {error}", self.disk.path(&from).display()));
                self.index.replace(Entry { records: known.records, ..entry });
            } else {
                self.index.replace(entry);
            }
            let now = self.index.find(number).map_or(0, |entry| entry.records);
            self.books.subtract(known.bytes.into(), (known.records - before).into());
            self.books.add(entry.bytes.into(), now.saturating_sub(delivered).into());
        }
        delivered
    }

    /// Takes a segment out whose file is no longer in the folder.
    pub(super) fn lose(&mut self, number: u64) {
        let Some(entry) = self.index.find(number) else { return };
        let delivered = self.forget(entry);
        self.books.subtract(entry.bytes.into(), (entry.records - delivered).into());
    }

    /// Returns what is in the queue.
    pub(super) fn state(&mut self) -> QueueState {
        QueueState { bytes: self.books.bytes, records: self.books.records, oldest: self.oldest() }
    }

    /// Gives the reserve up; says whether there was one.
    pub(super) fn give_up_reserve(&mut self) -> bool {
        let held = std::mem::replace(&mut self.reserve.held, false);
        self.reserve.tried = Some(Instant::now());
        held && self.disk.remove(layout::RESERVE).is_ok()
    }

    /// Says that the disk makes trouble, unless it did so a moment ago.
    pub(super) fn trouble(&mut self, detail: impl std::fmt::Display) {
        if self.troubled.replace(Instant::now()).is_none() {
            say(Event::DiskTrouble, &self.place, detail);
        }
    }

    /// Notes that the disk did what it was told.
    pub(super) fn well(&mut self) {
        if self.troubled.is_some_and(|since| since.elapsed() >= WELL_FOR) {
            self.troubled = None;
        }
    }

    /// Says that the queue is full, once until half of it is free again.
    pub(super) fn say_full(&mut self, then: &str) {
        if !std::mem::replace(&mut self.full, true) {
            let (folder, cap) = (self.disk.folder().display(), self.settings.cap);
            say(
                Event::SpoolFull,
                &self.place,
                format_args!("{folder}: its cap of {cap} bytes is reached, {then}"),
            );
        }
    }

    pub(super) fn sealed_name(&self, entry: Entry) -> String {
        layout::sealed(entry.number, self.index.table(entry.table), entry.records)
    }

    /// Returns a segment's table.
    pub(super) fn table(&self, entry: Entry) -> Table {
        self.index.table(entry.table).clone()
    }

    /// Tries again to remove what could not be removed.
    pub(super) fn bury(&mut self) {
        while let Some((name, bytes)) = self.doomed.last().cloned()
            && self.disk.remove(&name).is_ok()
        {
            self.doomed.pop();
            self.books.subtract(bytes, 0);
        }
    }

    pub(super) fn say_when_room(&mut self) {
        self.full &= self.books.bytes > self.settings.cap / 2;
    }

    /// Removes a file; a full disk that needs room for that, too, gets the reserve.
    fn remove_file(&mut self, name: &str) -> io::Result<()> {
        match self.disk.remove(name) {
            Err(error) if no_space(&error) && self.give_up_reserve() => self.disk.remove(name),
            done => done,
        }
    }

    /// Takes a segment out wherever it is, and returns how much of it is delivered.
    fn forget(&mut self, entry: Entry) -> u32 {
        self.index.remove(entry.number);
        self.open.retain(|open| open.entry.number != entry.number);
        // What is open of its table may be due now.
        self.flow.wake |=
            !self.index.has(entry.table) && self.open.iter().any(|open| open.entry.table == entry.table);
        self.sealing.retain(|open| open.entry.number != entry.number);
        self.failed_loads = 0;
        let Some(delivered) = self.progress.remove(&entry.number) else { return 0 };
        let _ = self.disk.remove(&layout::sent(entry.number));
        delivered.min(entry.records)
    }

    fn oldest(&mut self) -> Option<Timestamp> {
        let unsealed = self.sealing.iter().chain(&self.open).map(|open| (open.entry, false));
        let sealed = self.index.oldest().map(|entry| (entry, true));
        let (entry, sealed) = unsealed.chain(sealed).min_by_key(|(entry, _)| entry.number)?;
        if let Some((number, time)) = self.oldest
            && number == entry.number
        {
            return Some(time);
        }
        let name = match sealed {
            true => self.sealed_name(entry),
            false => layout::open(entry.number, self.index.table(entry.table)),
        };
        let mut front = [0; HEAD_BYTES as usize + FRAME_HEAD + 8];
        File::open(self.disk.path(&name)).ok()?.read_exact(&mut front).ok()?;
        let (_, time) = front.split_last_chunk::<8>()?;
        self.oldest = Some((entry.number, Timestamp(i64::from_le_bytes(*time))));
        self.oldest.map(|(_, time)| time)
    }
}
