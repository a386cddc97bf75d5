//! No hints on Windows: NTFS tells of a file that grows only when its writer closes or flushes it. So files are looked
//! at by time alone, and often.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// How long the reader may sleep without a hint: a look costs one open and one close for each file.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(2);

/// Nothing that is watched.
#[derive(Debug)]
pub(super) struct Watch;

/// What woke the reader.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Files appeared or moved.
    pub(super) folders: bool,
    /// Files that are no longer watched.
    pub(super) files: Vec<u64>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn folders(&mut self, _wanted: &[PathBuf]) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn file(&mut self, _path: &Path, _key: u64) -> io::Result<()> {
        Ok(())
    }

    /// Waits for ever.
    pub(super) async fn hints(&mut self) -> io::Result<Hints> {
        std::future::pending().await
    }
}
