use std::fmt;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::sync::Arc;

use tokio::task;

use super::layout;
use super::layout::HEAD;
use super::layout::HEAD_BYTES;
use super::queue::Inner;
use crate::counters::Loss;
use crate::durable;
use crate::events::Event;
use crate::events::say;
use crate::record::Table;
use crate::record::frame_at;

/// Bytes that are read before other tasks have their turn.
const PIECE: u64 = 256 * 1024;
/// A segment that cannot be read so often in a row ends where the disk ends it.
const MOST_FAILED_LOADS: u32 = 5;

/// A sealed segment: records of one table, in the order in which they were appended.
#[derive(Clone)]
pub struct Segment {
    pub(super) queue: Arc<Inner>,
    pub(super) table: Table,
    pub(super) number: u64,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("table", &self.table).field("number", &self.number).finish()
    }
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
    /// already. The frames are for [`crate::record::frame_at`] and all of them are good: what is damaged was set
    /// aside, counted and said. There are none if all was damaged or the segment was dropped meanwhile: remove it
    /// and take the next one.
    ///
    /// After an error wait a second and ask for the next segment again. Errors that do not end set the unreadable
    /// rest aside, so no segment can stop a queue.
    pub async fn load(&self, into: &mut Vec<u8>) -> io::Result<u32> {
        into.clear();
        let found = {
            let store = self.queue.store();
            store.index.find(self.number).map(|entry| (store.disk.path(&store.sealed_name(entry)), entry))
        };
        let Some((path, entry)) = found else { return Ok(0) };
        let mut head = [0; HEAD.len()];
        let read = read(&path, entry.bytes.into(), &mut head, into).await;
        if let Err(error) = &read
            && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)
        {
            let mut store = self.queue.store();
            store.failed_loads += 1;
            if store.failed_loads < MOST_FAILED_LOADS {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
        self.queue.store().failed_loads = 0;
        let (good, records) = if head == HEAD { whole_frames(into) } else { (0, 0) };
        let all = read.is_ok() && head == HEAD && good == into.len();
        if !all {
            self.set_damage_aside(&head, into.get(good..).unwrap_or_default(), good, records);
        }
        into.truncate(good);
        let delivered = match records {
            0 => 0,
            records => self.queue.store().correct(self.number, HEAD_BYTES + good as u64, records),
        };
        if !all {
            self.queue.freed.notify_waiters();
        }
        Ok(delivered)
    }

    /// Keeps what is damaged for people and cuts it off.
    fn set_damage_aside(&self, head: &[u8; HEAD.len()], rest: &[u8], good: usize, records: u32) {
        let mut store = self.queue.store();
        let Some(entry) = store.index.find(self.number) else { return };
        let path = store.disk.path(&store.sealed_name(entry));
        let offset = if head == &HEAD { good as u64 + HEAD_BYTES } else { 0 };
        let name = layout::damaged(self.number, &self.table, offset);
        let kept = if head != &HEAD {
            store.damaged.take(&path, &name)
        } else if rest.is_empty() {
            Ok(())
        } else {
            store.damaged.keep(&name, rest, rest.len() as u64)
        };
        if records == 0 {
            let name = store.sealed_name(entry);
            store.lose(self.number);
            store.remove_or_doom(name, entry.bytes.into());
        } else if let Err(error) =
            File::options().write(true).open(&path).and_then(|file| durable::truncate(&file, offset))
        {
            store.trouble(format_args!("{}: cannot be cut: {error}", path.display()));
        }
        store.books.tally.losses.add(Loss::Corrupt, 1);
        let (path, folder) = (path.display(), store.damaged.folder().display());
        let kept = kept.map_or_else(|error| format!("lost: {error}"), |()| format!("in {folder}"));
        say(
            Event::SpoolDamaged,
            &store.place,
            format_args!("{path}: damaged from byte {offset} on, the rest is {kept}"),
        );
    }
}

/// Reads a file's head and up to so many bytes in all; memory keeps what was read before an error.
async fn read(path: &std::path::Path, bytes: u64, head: &mut [u8], into: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.read_exact(head)?;
    let mut left = bytes.saturating_sub(head.len() as u64);
    into.reserve_exact(left as usize);
    while left > 0 {
        let read = (&mut file).take(left.min(PIECE)).read_to_end(into)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        left -= read as u64;
        if left > 0 {
            task::yield_now().await;
        }
    }
    Ok(())
}

fn whole_frames(bytes: &[u8]) -> (usize, u32) {
    let (mut good, mut records) = (0, 0);
    while let Ok(frame) = frame_at(bytes.get(good..).unwrap_or_default()) {
        good += frame.length;
        records += 1;
    }
    (good, records)
}
