use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use super::layout::HEAD;
use super::layout::HEAD_BYTES;
use crate::durable;
use crate::record::Table;

/// Most files of such a folder.
const MOST_FILES: usize = 64;
/// Most bytes of such a folder; a small queue has a quarter of its cap.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// A file that has reached this size gets a successor.
const ENOUGH: u64 = 1024 * 1024;

/// A folder of what could not be sent: for people, bounded, the oldest removed first.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    folder: PathBuf,
    most_bytes: u64,
}

struct Kept {
    name: String,
    bytes: u64,
}

impl Aside {
    pub(super) fn new(folder: PathBuf, cap: u64) -> Self {
        Self { folder, most_bytes: (cap / 4).min(MOST_BYTES) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps some bytes as a file of this name.
    pub(super) fn keep(&self, name: &str, bytes: impl Read, length: u64) -> io::Result<()> {
        let length = length.min(self.most_bytes);
        self.make_room(length)?;
        let path = self.folder.join(name);
        durable::remove(&path)?;
        let (file, mut bytes) = (durable::create(&path)?, bytes.take(length));
        let mut piece = vec![0; 64 * 1024];
        loop {
            match bytes.read(&mut piece)? {
                0 => break,
                length => durable::append(&file, piece.get(..length).unwrap_or_default())?,
            }
        }
        // Before it is cut off where it was.
        durable::sync(&file).and_then(|()| durable::sync_folder(&self.folder))
    }

    /// Moves a whole file here; of one larger than the bound the beginning is kept.
    pub(super) fn take(&self, from: &Path, name: &str) -> io::Result<()> {
        let length = fs::symlink_metadata(from)?.len();
        self.make_room(length.min(self.most_bytes))?;
        if length > self.most_bytes {
            durable::truncate(&File::options().write(true).open(from)?, self.most_bytes)?;
        }
        durable::rename(from, &self.folder.join(name))
    }

    /// Appends frames to the newest file of their table, which has the form of a segment.
    pub(super) fn append(&self, table: &Table, frames: &[u8]) -> io::Result<()> {
        let length = frames.len() as u64 + HEAD_BYTES;
        if length > self.most_bytes {
            return Err(io::Error::other("these are more bytes than the folder may hold"));
        }
        let kept = self.make_room(length)?;
        let end = format!("-{table}.frames");
        let newest = kept.iter().rev().find(|file| file.name.ends_with(&end));
        if let Some(newest) = newest.filter(|file| file.bytes + length <= ENOUGH) {
            let file = OpenOptions::new().append(true).open(self.folder.join(&newest.name))?;
            // A part of it would make what follows unreadable.
            return durable::append(&file, frames)
                .inspect_err(|_| drop(durable::truncate(&file, newest.bytes)));
        }
        let last = kept.last().and_then(|file| file.name.get(..20)?.parse().ok()).unwrap_or(0_u64);
        let path = self.folder.join(format!("{:020}{end}", last.saturating_add(1)));
        let file = durable::create(&path)?;
        let written = durable::append(&file, &HEAD).and_then(|()| durable::append(&file, frames));
        written.inspect_err(|_| drop(durable::remove(&path)))
    }

    /// Removes the oldest files until so many bytes and one more file fit, and returns what is left.
    fn make_room(&self, bytes: u64) -> io::Result<Vec<Kept>> {
        durable::make_folder(&self.folder)?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let numbered = name.bytes().take(20).filter(u8::is_ascii_digit).count() == 20;
            if metadata.is_file() && numbered {
                kept.push(Kept { name, bytes: metadata.len() });
            }
        }
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
        while !kept.is_empty() && (kept.len() >= MOST_FILES || total + bytes > self.most_bytes) {
            let oldest = kept.remove(0);
            durable::remove(&self.folder.join(&oldest.name))?;
            total -= oldest.bytes;
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(folder: &Path) -> (usize, u64) {
        let sizes: Vec<_> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
        (sizes.len(), sizes.iter().sum())
    }

    #[test]
    fn a_folder_holds_no_more_files_and_bytes_than_it_may_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let aside = Aside::new(folder.path().to_owned(), 4000);
        for number in 0..100_u64 {
            aside.keep(&format!("{number:020}-Syslog-8.damaged"), &[7; 100][..], 100).unwrap();
            assert!(held(folder.path()).1 <= 1000);
        }
        assert_eq!(held(folder.path()), (10, 1000));
        assert!(folder.path().join("00000000000000000099-Syslog-8.damaged").exists());
        let many = Aside::new(folder.path().to_owned(), u64::MAX);
        for number in 100..200_u64 {
            many.keep(&format!("{number:020}-Syslog-8.damaged"), &[][..], 0).unwrap();
        }
        assert_eq!(held(folder.path()).0, MOST_FILES);
    }

    #[test]
    fn refused_frames_share_a_file_of_their_table() {
        let folder = tempfile::tempdir().unwrap();
        let aside = Aside::new(folder.path().join("rejected"), 4000);
        for table in [Table::Syslog, Table::Syslog, Table::Perf] {
            aside.append(&table, b"frames").unwrap();
        }
        let first = fs::read(aside.folder().join("00000000000000000001-Syslog.frames")).unwrap();
        assert_eq!(first, [&HEAD[..], b"framesframes"].concat());
        assert!(aside.folder().join("00000000000000000002-Perf.frames").exists());
        assert!(aside.append(&Table::Perf, &[0; 2000]).is_err());
    }
}
