//! How a queue begins: the lock, what the last process left behind, and the numbers that are free.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::time::SystemTime;

use super::books::Numbers;
use super::disk::Disk;
use super::disk::Replace;
use super::index::Entry;
use super::layout;
use super::layout::HEAD_BYTES;
use super::layout::Name;
use super::scan::End;
use super::scan::Scan;
use super::scan::scan;
use super::settings::QueueSettings;
use super::settings::SpoolError;
use super::settings::WhenFull;
use super::store::Store;
use super::store::Victims;
use super::store::claim;
use crate::counters::Loss;
use crate::counters::WorkspaceTally;
use crate::durable;
use crate::events::Event;
use crate::events::say;
use crate::record::Table;
use crate::system;

/// The largest file that is taken for a segment; ours have 16 MiB at most.
pub(super) const LARGEST_FILE: u64 = 64 * 1024 * 1024;
const SMALLEST_SEGMENT: u64 = 64;
const LARGEST_SEGMENT: u64 = 16 * 1024 * 1024;

/// Opens a folder; the file is its lock.
pub(super) fn recover(
    mut settings: QueueSettings,
    tally: WorkspaceTally,
) -> Result<(Store, File), SpoolError> {
    let folder = settings.folder.clone();
    let failed = |source| SpoolError::Disk { path: folder.clone(), source };
    // A full queue loses a segment at a time, so that is never more than a quarter of it.
    settings.segment = settings.segment.min(settings.cap / 4).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT);
    let disk = Disk::new(&folder).map_err(failed)?;
    let lock = lock(&disk.path(layout::LOCK))?;
    let mut store = Store::new(settings, disk, tally);
    let (highest, mended) = store.take_stock().map_err(failed)?;
    store.fit();
    store.begin_numbers(highest, mended);
    store.find_reserve();
    Ok((store, lock))
}

pub(super) fn lock(path: &Path) -> Result<File, SpoolError> {
    let failed = |source| SpoolError::Disk { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let options = system::private(options.write(true).create(true).truncate(false));
    let file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(path.parent().unwrap_or(path).to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Reads a file that has a number in it. One without an end of line may lack digits, too: nobody waited for the disk.
pub(super) fn read_number(path: &Path) -> Option<u64> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(32).read_to_string(&mut text)).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

impl Store {
    /// Reads the folder and mends segments that were open; returns the highest number, and whether there were any.
    fn take_stock(&mut self) -> io::Result<(Option<u64>, bool)> {
        let (mut unsealed, mut sent, mut numbers) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut highest = None;
        for file in fs::read_dir(self.disk.folder())? {
            let file = file?;
            let Some(name) = file.file_name().to_str().and_then(Name::read) else { continue };
            // It may vanish meanwhile, and folders and links are not ours.
            let Some(metadata) = file.metadata().ok().filter(fs::Metadata::is_file) else { continue };
            match name {
                Name::Leftover => drop(durable::remove(&file.path())),
                Name::Sent { number } => sent.push(number),
                Name::Open { number, ref table } => unsealed.push((number, table.clone(), metadata.len())),
                Name::Sealed { number, ref table, records } if numbers.insert(number) => {
                    self.found(&name, number, table, records, metadata.len());
                }
                Name::Sealed { number, ref table, .. } => self.set_file_aside(&name, number, table),
            }
            if let Name::Open { number, .. } | Name::Sealed { number, .. } | Name::Sent { number } = name {
                highest = highest.max(Some(number));
            }
        }
        unsealed.sort_by_key(|(number, ..)| *number);
        let mended = !unsealed.is_empty();
        for (number, table, length) in unsealed {
            let name = Name::Open { number, table: table.clone() };
            match numbers.insert(number) {
                true => self.mend(&name, number, &table, length),
                false => self.set_file_aside(&name, number, &table),
            }
        }
        if mended && let Err(error) = self.disk.sync_folder() {
            let folder = self.disk.folder().display().to_string();
            self.trouble(format_args!("{folder}: cannot be synced: {error}"));
        }
        self.index.sort();
        for number in sent {
            self.find_progress(number);
        }
        Ok((highest, mended))
    }

    fn found(&mut self, name: &Name, number: u64, table: &Table, records: u32, length: u64) {
        let (Some(place), 0..=LARGEST_FILE) = (self.index.place(table), length) else {
            return self.set_file_aside(name, number, table);
        };
        self.index.push(Entry { number, bytes: length as u32, records, table: place });
        self.books.add(length, records.into());
    }

    /// Cuts the torn end off a segment that was open, sets damage aside, and seals it.
    fn mend(&mut self, name: &Name, number: u64, table: &Table, length: u64) {
        let text = name.written();
        let path = self.disk.path(&text);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) if length <= LARGEST_FILE => file,
            _ => return self.set_file_aside(name, number, table),
        };
        let Ok(scan) = scan(&file, length) else {
            // Reading it fails; whoever loads it later deals with that.
            return self.seal_found(&text, number, table, 0, length);
        };
        if scan.end == End::Foreign {
            return self.set_file_aside(name, number, table);
        }
        if scan.end != End::Whole {
            self.cut(&path, &file, number, table, &scan);
        }
        if scan.good <= HEAD_BYTES {
            let _ = self.disk.remove(&text);
            return;
        }
        if let Err(error) = self.disk.sync(&file) {
            self.trouble(format_args!("{}: cannot be synced: {error}", path.display()));
        }
        self.seal_found(&text, number, table, scan.records, scan.good);
    }

    fn cut(&mut self, path: &Path, mut file: &File, number: u64, table: &Table, scan: &Scan) {
        let rest = file.metadata().map_or(0, |metadata| metadata.len()).saturating_sub(scan.good);
        let path = path.display();
        if scan.end == End::Damaged {
            let name = layout::damaged(number, table, scan.good);
            let kept =
                file.seek(SeekFrom::Start(scan.good)).and_then(|_| self.damaged.keep(&name, file, rest));
            let kept =
                kept.map_or_else(|error| format!("lost: {error}"), |()| format!("kept as damaged/{name}"));
            self.books.tally.losses.add(Loss::Corrupt, 1);
            let detail = format_args!(
                "{path}: damaged from byte {} on, the rest of {rest} bytes is {kept}",
                scan.good
            );
            say(Event::SpoolDamaged, &self.place, detail);
        } else {
            self.books.tally.losses.add(Loss::Torn, 1);
            let detail = format_args!("{path}: cut at byte {}, {rest} bytes were no whole record", scan.good);
            say(Event::SpoolTorn, &self.place, detail);
        }
        if let Err(error) = self.disk.truncate(file, scan.good) {
            self.trouble(format_args!("{path}: cannot be cut: {error}"));
        }
    }

    fn seal_found(&mut self, from: &str, number: u64, table: &Table, records: u32, length: u64) {
        let name = Name::Sealed { number, table: table.clone(), records };
        if let Err(error) = self.disk.rename(from, &name.written()) {
            // It stays as it is for the next start; nothing of it is sent twice.
            self.trouble(format_args!("{}: {error}", self.disk.path(from).display()));
            return;
        }
        self.found(&name, number, table, records, length);
    }

    /// Sets a whole file aside that is no segment of this version.
    fn set_file_aside(&mut self, name: &Name, number: u64, table: &Table) {
        let path = self.disk.path(&name.written());
        let kept = self.damaged.take(&path, &layout::damaged(number, table, 0));
        let kept =
            kept.map_or_else(|error| format!("is left there: {error}"), |()| "is now in damaged/".to_owned());
        self.books.tally.losses.add(Loss::Corrupt, 1);
        let detail = format_args!("{}: no segment that this version knows, {kept}", path.display());
        say(Event::SpoolDamaged, &self.place, detail);
    }

    fn find_progress(&mut self, number: u64) {
        let path = self.disk.path(&layout::sent(number));
        let delivered = read_number(&path).and_then(|number| u32::try_from(number).ok());
        match (self.index.find(number), delivered) {
            (Some(entry), Some(delivered)) => {
                self.progress.insert(number, delivered.min(entry.records));
                self.books.subtract(0, delivered.min(entry.records).into());
            }
            _ => drop(durable::remove(&path)),
        }
    }

    /// Drops what is more than the cap, which may have become smaller.
    fn fit(&mut self) {
        while self.settings.when_full == WhenFull::DropOldest && !self.fits(0) {
            self.say_full("the oldest records are dropped");
            if !self.drop_oldest(Victims::All).unwrap_or(false) {
                break;
            }
        }
    }

    /// Begins beyond every number that may have been used. When nothing says which, the time does: in
    /// seconds, it outruns a queue that makes less than a segment a second on average.
    fn begin_numbers(&mut self, highest: Option<u64>, mended: bool) {
        let clock =
            || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let claimed = read_number(&self.disk.path(layout::NEXT_NUMBER));
        let claimed = claimed.filter(|claimed| *claimed <= u64::MAX / 2);
        let next: u64 = claimed.unwrap_or_else(clock).max(highest.map_or(1, |highest| highest + 1));
        self.numbers = Numbers { next, claimed: next, durable: next, claiming: false };
        // What was mended may be sent before the first sync.
        let how = if mended { Replace::Synced } else { Replace::Unsynced };
        if let Ok(claimed) = claim(&self.disk, next, how) {
            self.numbers.claimed = claimed;
            self.numbers.durable = if mended { claimed } else { next };
        }
    }

    fn find_reserve(&mut self) {
        let found =
            fs::symlink_metadata(self.disk.path(layout::RESERVE)).map_or(0, |metadata| metadata.len());
        self.reserve.held = found == self.reserve.bytes && found > 0;
        if !self.reserve.held {
            let _ = self.disk.remove(layout::RESERVE);
            self.reserve.held = self.reserve.bytes > 0 && self.disk.fill_reserve(self.reserve.bytes).is_ok();
        }
    }
}
