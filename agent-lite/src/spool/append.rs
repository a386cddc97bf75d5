//! How records come in: room is made, the frames are split over segments, and all of them or none are written.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use tokio::time::Instant;

use super::disk::no_space;
use super::index::Entry;
use super::index::TableId;
use super::layout;
use super::layout::HEAD;
use super::layout::HEAD_BYTES;
use super::settings::AppendError;
use super::settings::Receipt;
use super::settings::WhenFull;
use super::store::Open;
use super::store::Store;
use super::store::Victims;
use crate::record::FRAME_HEAD;
use crate::record::Frames;
use crate::record::Table;

/// Most segments that are dropped for one append when the disk is full before the cap is reached.
const MOST_DROPS: u32 = 8;
/// Most segments that wait for a slow disk; each holds a descriptor.
const MOST_SEALING: usize = 256;

/// What goes to one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    bytes: Range<usize>,
    records: u32,
}

impl Store {
    /// Writes all records or none.
    pub(super) fn append(&mut self, table: &Table, frames: &Frames) -> Result<Receipt, AppendError> {
        if frames.is_empty() {
            return Ok(Receipt(self.flow.appended));
        }
        let Some(table) = self.index.place(table) else {
            return Err(AppendError::Disk(io::Error::other("there are too many tables")));
        };
        self.bury();
        let mut drops = 0;
        loop {
            let parts = self.make_room(table, frames)?;
            match self.write(table, frames.bytes(), &parts) {
                Ok(()) => break,
                Err(error) => self.relieve(error, &mut drops)?,
            }
        }
        self.flow.refused = false;
        self.flow.appended += frames.bytes().len() as u64;
        if self.flow.unsynced_since.is_none() {
            self.flow.unsynced_since = Some(Instant::now());
            self.flow.wake = true;
        }
        Ok(Receipt(self.flow.appended))
    }

    /// Closes a segment for appends; it is sealed as soon as the disk has it.
    pub(super) fn close(&mut self, at: usize) {
        if at < self.open.len() {
            self.sealing.push_back(self.open.remove(at));
            self.flow.wake = true;
        }
    }

    /// Splits the frames, and drops what is oldest until they fit.
    fn make_room(&mut self, table: TableId, frames: &Frames) -> Result<Vec<Part>, AppendError> {
        loop {
            let open = self.open.iter().find(|open| open.entry.table == table);
            let left = open.map_or(0, |open| self.settings.segment.saturating_sub(open.entry.bytes.into()));
            let parts = split(frames, left, self.settings.segment);
            if self.fits(on_disk(frames, &parts)) {
                return Ok(parts);
            }
            let least = on_disk(frames, &split(frames, 0, self.settings.segment));
            if least > self.settings.cap {
                return Err(AppendError::TooLarge(least));
            }
            match self.settings.when_full {
                WhenFull::Block => {
                    self.say_full("new records wait or are refused");
                    return Err(AppendError::Full);
                }
                WhenFull::DropOldest => self.say_full("the oldest records are dropped"),
            }
            match self.drop_oldest(Victims::All) {
                Ok(true) => self.say_when_room(),
                // Files that cannot be removed fill the queue.
                Ok(false) => return Err(AppendError::Full),
                Err(error) => return Err(self.refuse(error)),
            }
        }
    }

    /// Writes the first part to the open segment and each other one to a new segment.
    fn write(&mut self, table: TableId, bytes: &[u8], parts: &[Part]) -> io::Result<()> {
        let at = self.open.iter().position(|open| open.entry.table == table);
        let (first, rest) = parts.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        if self.sealing.len() + rest.len() > MOST_SEALING {
            return Err(io::Error::other("the disk is too slow or does not confirm what is written"));
        }
        let mut fresh = Vec::new();
        let written = (|| {
            if let Some(open) = at.and_then(|at| self.open.get(at)) {
                self.disk.write(&open.file, bytes.get(first.bytes.clone()).unwrap_or_default())?;
            }
            for part in rest {
                let open = self.create(table, part.records)?;
                let file = Arc::clone(&open.file);
                fresh.push(open);
                self.disk.write(&file, &HEAD)?;
                self.disk.write(&file, bytes.get(part.bytes.clone()).unwrap_or_default())?;
                if let Some(open) = fresh.last_mut() {
                    open.entry.bytes += part.bytes.len() as u32;
                }
            }
            Ok(())
        })();
        match written {
            Ok(()) => self.commit(at, first, fresh),
            Err(_) => self.take_back(at, &fresh),
        }
        written
    }

    fn create(&mut self, table: TableId, records: u32) -> io::Result<Open> {
        let number = self.number()?;
        let file = self.disk.create(&layout::open(number, self.index.table(table)))?;
        let entry = Entry { number, bytes: HEAD_BYTES as u32, records, table };
        Ok(Open { entry, file: Arc::new(file), born: Instant::now(), dirty: true, suspect: false })
    }

    fn commit(&mut self, at: Option<usize>, first: &Part, fresh: Vec<Open>) {
        if let Some(open) = at.and_then(|at| self.open.get_mut(at)) {
            open.entry.bytes += first.bytes.len() as u32;
            open.entry.records += first.records;
            open.dirty |= !first.bytes.is_empty();
            self.books.add(first.bytes.len() as u64, first.records.into());
        }
        if fresh.is_empty() {
            return;
        }
        if let Some(at) = at {
            self.close(at);
        }
        for open in fresh {
            self.books.add(open.entry.bytes.into(), open.entry.records.into());
            self.open.push(open);
        }
        // All but the last one of this table are full.
        let table = self.open.last().map(|open| open.entry.table);
        while let Some(at) = self.open.iter().position(|open| Some(open.entry.table) == table)
            && at + 1 < self.open.len()
        {
            self.close(at);
        }
        self.flow.new_names = true;
        self.flow.wake = true;
    }

    /// Removes what a failed append has written.
    fn take_back(&mut self, at: Option<usize>, fresh: &[Open]) {
        if let Some((at, open)) = at.and_then(|at| Some((at, self.open.get(at)?)))
            && let Err(error) = self.disk.truncate(&open.file, open.entry.bytes.into())
        {
            // Nothing may follow the part of a record that stands there.
            let name = layout::open(open.entry.number, self.index.table(open.entry.table));
            self.close(at);
            self.trouble(format_args!("{}: cannot be cut: {error}", self.disk.path(&name).display()));
        }
        for open in fresh {
            let name = layout::open(open.entry.number, self.index.table(open.entry.table));
            // An empty file is as good as none, and a full disk may need the room to remove it.
            let left = self.disk.truncate(&open.file, 0).map_or(u64::from(open.entry.bytes), |()| 0);
            self.remove_or_doom(name, left);
        }
    }

    /// Makes room on a full disk; an error is one that waiting may cure.
    fn relieve(&mut self, error: io::Error, drops: &mut u32) -> Result<(), AppendError> {
        if !no_space(&error) {
            return Err(self.refuse(error));
        }
        if self.settings.when_full == WhenFull::DropOldest && *drops < MOST_DROPS {
            *drops += 1;
            if self.drop_oldest(Victims::Sealed).unwrap_or(false) {
                let folder = self.disk.folder().display().to_string();
                let advice =
                    "the oldest records are dropped before the cap is reached, make room or lower the cap";
                self.trouble(format_args!("{folder}: {error}; {advice}"));
                return Ok(());
            }
        }
        // As long as there is something to remove, the reserve is for that.
        if self.index.victim().is_none() && self.give_up_reserve() {
            return Ok(());
        }
        Err(self.refuse(error))
    }

    fn refuse(&mut self, error: io::Error) -> AppendError {
        self.flow.refused = true;
        let folder = self.disk.folder().display().to_string();
        self.trouble(format_args!("{folder}: {error}; new records wait or are refused"));
        AppendError::Disk(error)
    }
}

fn on_disk(frames: &Frames, parts: &[Part]) -> u64 {
    frames.bytes().len() as u64 + HEAD_BYTES * (parts.len() as u64).saturating_sub(1)
}

/// Splits frames at their borders: what fits into the bytes left, then a part for each further segment.
/// A frame larger than a segment has one of its own.
fn split(frames: &Frames, left: u64, segment: u64) -> Vec<Part> {
    let bytes = frames.bytes();
    if bytes.len() as u64 <= left {
        return vec![Part { bytes: 0..bytes.len(), records: frames.count() }];
    }
    let (mut parts, mut room) = (Vec::new(), left);
    let mut part = Part { bytes: 0..0, records: 0 };
    while let Some(rest) = bytes.get(part.bytes.end..).filter(|rest| !rest.is_empty()) {
        let length = frame_length(rest);
        let alone = !parts.is_empty() && part.bytes.is_empty();
        if !alone && (part.bytes.len() + length) as u64 > room {
            let next = part.bytes.end;
            parts.push(std::mem::replace(&mut part, Part { bytes: next..next, records: 0 }));
            room = segment.saturating_sub(HEAD_BYTES);
        }
        part.bytes.end += length;
        part.records += 1;
    }
    parts.push(part);
    parts
}

fn frame_length(bytes: &[u8]) -> usize {
    let payload = bytes.first_chunk().map_or(usize::MAX, |word| u32::from_le_bytes(*word) as usize);
    payload.saturating_add(FRAME_HEAD).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Column;
    use crate::record::Timestamp;

    #[test]
    fn frames_are_split_at_their_borders_and_none_is_lost() {
        let mut frames = Frames::default();
        for length in [10, 20, 300, 5, 40] {
            frames.begin(Timestamp(1)).text(Column::RawData, &"x".repeat(length)).finish();
        }
        // A frame is its text and 21 bytes: 31, 41, 321, 26, 61.
        let cases: [(u64, u64, &[usize]); 7] = [
            (480, 100, &[480]),
            (479, 100, &[419, 61]),
            (0, 488, &[0, 480]),
            (0, 100, &[0, 72, 321, 87]),
            (31, 100, &[31, 41, 321, 87]),
            (30, 1, &[0, 31, 41, 321, 26, 61]),
            (72, 94, &[72, 321, 26, 61]),
        ];
        for (left, segment, expected) in cases {
            let parts = split(&frames, left, segment);
            let lengths: Vec<_> = parts.iter().map(|part| part.bytes.len()).collect();
            assert_eq!(lengths, expected, "{left} {segment}");
            assert_eq!(parts.iter().map(|part| part.records).sum::<u32>(), 5);
            assert!(parts.windows(2).all(|two| two[0].bytes.end == two[1].bytes.start));
        }
    }
}
