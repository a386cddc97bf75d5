use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use super::layout::RESERVE;
use super::layout::UNFINISHED;
use crate::durable;

/// Whether a small file must be on the disk before its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    /// It must.
    Synced,
    /// It outlives a crash of the agent only.
    Unsynced,
}

/// The files of one folder; all that is written goes through here.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    #[cfg(test)]
    pub(super) faults: super::tests::Faults,
}

impl Disk {
    /// Makes the folder if it is not there.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        durable::make_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            #[cfg(test)]
            faults: super::tests::Faults::default(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes a file that is not there yet, to append to.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        durable::create(&self.path(name))
    }

    /// Appends bytes, by one call of the system unless that takes less than all.
    pub(super) fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write(file, bytes)?;
        durable::append(file, bytes)
    }

    /// Cuts a file off.
    pub(super) fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.truncate(file, length)?;
        durable::truncate(file, length)
    }

    /// Waits until the disk has a file's content.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        return self.faults.sync(file);
        #[cfg(not(test))]
        durable::sync(file)
    }

    /// Waits until the disk has the names.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        #[cfg(test)]
        return self.faults.sync_folder(&self.folder);
        #[cfg(not(test))]
        durable::sync_folder(&self.folder)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        durable::rename_only(&self.path(from), &self.path(to))
    }

    /// Removes a file; one that is not there is removed.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        #[cfg(test)]
        self.faults.remove(&path)?;
        durable::remove(&path)
    }

    /// Puts a small file in the place of an older one.
    pub(super) fn replace(&self, name: &str, content: &[u8], how: Replace) -> io::Result<()> {
        let unfinished = format!("{name}{UNFINISHED}");
        durable::remove(&self.path(&unfinished))?;
        let file = self.create(&unfinished)?;
        self.write(&file, content)?;
        if how == Replace::Synced {
            self.sync(&file)?;
        }
        self.rename(&unfinished, name)?;
        if how == Replace::Synced { self.sync_folder() } else { Ok(()) }
    }

    /// Writes over a small file that is there, and waits until the disk has it: that takes no room.
    pub(super) fn overwrite(&self, name: &str, content: &[u8]) -> io::Result<()> {
        durable::overwrite(&self.path(name), content)
    }

    /// Writes a file anew under its name, on the disk when this returns. A sync that failed is not made good by the next
    /// one: the kernel has forgotten what it could not write, and still shows it.
    pub(super) fn write_anew(&self, name: &str) -> io::Result<File> {
        let unfinished = format!("{name}{UNFINISHED}");
        let written = (|| {
            durable::remove(&self.path(&unfinished))?;
            let (mut old, new) = (File::open(self.path(name))?, self.create(&unfinished)?);
            let mut piece = vec![0; 64 * 1024];
            loop {
                match old.read(&mut piece)? {
                    0 => break,
                    length => self.write(&new, piece.get(..length).unwrap_or_default())?,
                }
            }
            self.sync(&new)?;
            self.rename(&unfinished, name).map(|()| new)
        })();
        if written.is_err() {
            let _ = durable::remove(&self.path(&unfinished));
        }
        written
    }

    /// Fills the reserve; leaves nothing behind when there is no room for it.
    pub(super) fn fill_reserve(&self, bytes: u64) -> io::Result<()> {
        let block = [0xA5; 16 * 1024];
        let unfinished = format!("{RESERVE}{UNFINISHED}");
        let filled = (|| {
            self.remove(&unfinished)?;
            let file = self.create(&unfinished)?;
            let mut left = bytes;
            while left > 0 {
                let piece = block.get(..left.min(block.len() as u64) as usize).unwrap_or_default();
                self.write(&file, piece)?;
                left -= piece.len() as u64;
            }
            self.rename(&unfinished, RESERVE)
        })();
        if filled.is_err() {
            let _ = self.remove(&unfinished);
        }
        filled
    }
}

/// Returns whether an error says that the disk, or this user's part of it, is full.
pub(super) fn no_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
