//! A queue that another machine began: what is in it, and how its segments are taken into a queue of this one.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use super::disk::Disk;
use super::disk::Replace;
use super::layout;
use super::layout::HEAD_BYTES;
use super::layout::NEXT_NUMBER;
use super::layout::Name;
use super::recover::LARGEST_FILE;
use super::recover::lock;
use super::recover::read_number;
use super::scan::scan;
use super::settings::SpoolError;
use crate::durable;

/// What waits in a queue that nobody uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records that are not delivered.
    pub records: u64,
    /// Bytes of segments.
    pub bytes: u64,
}

/// Returns whether a folder is a queue, or what a loss of power left of one that was removed.
pub fn is_queue(folder: &Path) -> bool {
    [layout::LOCK, NEXT_NUMBER].iter().any(|name| folder.join(name).is_file())
        || segments(folder).is_ok_and(|segments| !segments.is_empty())
}

/// Takes a queue for this process, as long as the file lives; an error where somebody uses it.
pub fn claim(folder: &Path) -> Result<File, SpoolError> {
    lock(&folder.join(layout::LOCK))
}

/// Counts what waits in a queue; one that is not there is empty.
pub fn contents(folder: &Path) -> io::Result<Contents> {
    let mut contents = Contents::default();
    for (name, length) in segments(folder)? {
        let records = match &name {
            Name::Sealed { number, records, .. } => {
                let sent = read_number(&folder.join(layout::sent(*number))).unwrap_or(0);
                u64::from(*records).saturating_sub(sent)
            }
            Name::Open { .. } if length <= LARGEST_FILE => {
                u64::from(scan(File::open(folder.join(name.written()))?, length)?.records)
            }
            Name::Open { .. } | Name::Sent { .. } | Name::Leftover => 0,
        };
        contents.records += records;
        contents.bytes += if length > HEAD_BYTES { length } else { 0 };
    }
    Ok(contents)
}

/// Moves the segments of one queue behind those of another one, where nobody uses either; both folders are on one
/// file system. What a crash leaves behind is moved by the next call.
pub fn take_over(from: &Path, into: &Path) -> Result<Contents, SpoolError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SpoolError::Disk { path, source }
    };
    let disk = Disk::new(into).map_err(failed(into))?;
    let _lock = lock(&disk.path(layout::LOCK))?;
    let moved = contents(from).map_err(failed(from))?;
    let mut segments = segments(from).map_err(failed(from))?;
    segments.sort_by_key(|(name, _)| number_of(name));
    let highest = highest(into).map_err(failed(into))?;
    let claimed = read_number(&disk.path(NEXT_NUMBER)).unwrap_or(1);
    let next = claimed.max(highest + 1).min(u64::MAX / 2);
    // No number comes again, also if it ends in the middle.
    let below = next + segments.len() as u64;
    disk.replace(NEXT_NUMBER, format!("{below}\n").as_bytes(), Replace::Synced).map_err(failed(into))?;
    for (number, (name, _)) in (next..).zip(segments) {
        let (old, new) = match name {
            Name::Open { number: old, table } => (old, Name::Open { number, table }),
            Name::Sealed { number: old, table, records } => (old, Name::Sealed { number, table, records }),
            Name::Sent { .. } | Name::Leftover => continue,
        };
        let progress = from.join(layout::sent(old));
        if progress.is_file() {
            // First, so that a segment is never there without what was delivered of it.
            durable::rename_only(&progress, &disk.path(&layout::sent(number))).map_err(failed(&progress))?;
        }
        let path = from.join(name_before(&new, old));
        durable::rename_only(&path, &disk.path(&new.written())).map_err(failed(&path))?;
    }
    disk.sync_folder().map_err(failed(into))?;
    durable::sync_folder(from).map_err(failed(from))?;
    Ok(moved)
}

/// Returns the name that a segment had under another number.
fn name_before(name: &Name, number: u64) -> String {
    match name.clone() {
        Name::Open { table, .. } => Name::Open { number, table }.written(),
        Name::Sealed { table, records, .. } => Name::Sealed { number, table, records }.written(),
        other @ (Name::Sent { .. } | Name::Leftover) => other.written(),
    }
}

/// Returns the segments of a folder with their lengths.
fn segments(folder: &Path) -> io::Result<Vec<(Name, u64)>> {
    let all = names(folder)?.into_iter();
    Ok(all.filter(|(name, _)| matches!(name, Name::Open { .. } | Name::Sealed { .. })).collect())
}

fn highest(folder: &Path) -> io::Result<u64> {
    Ok(names(folder)?.iter().map(|(name, _)| number_of(name)).max().unwrap_or(0))
}

fn names(folder: &Path) -> io::Result<Vec<(Name, u64)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(Name::read) else { continue };
        // What cannot be looked at is not nothing.
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            names.push((name, metadata.len()));
        }
    }
    Ok(names)
}

fn number_of(name: &Name) -> u64 {
    match name {
        Name::Open { number, .. } | Name::Sealed { number, .. } | Name::Sent { number } => *number,
        Name::Leftover => 0,
    }
}
