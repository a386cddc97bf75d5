//! Replaces a file in one step: a reader sees the old text or the new one, whole.
//!
//! The new text is written beside it and synced, gets the mode and the owner of the old file, and takes its
//! name; then the folder is synced. Where the file is a link, the file it leads to is replaced, so the link
//! stays. While an [`Original`] lives, other commands of this program wait; they give up after [`PATIENCE`],
//! because whoever may read the file can hold its lock. An access control list stays with the file.

#[cfg_attr(unix, path = "replace/unix.rs")]
#[cfg_attr(windows, path = "replace/windows.rs")]
mod held;

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use la_gateway::config::read_file;

use self::held::Held;

/// Longest wait for a lock that somebody else holds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at such a lock.
const PAUSE: Duration = Duration::from_millis(50);

/// A file that is about to be edited. Held open and locked.
pub(super) struct Original {
    real: PathBuf,
    before: Option<Held>,
    /// Its text; empty where there is no file yet.
    pub(super) text: String,
}

impl Original {
    /// Opens a file that must be there.
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let original = Self::open_or_new(file)?;
        match original.before {
            Some(_) => Ok(original),
            None => bail!("cannot read {}: it is not there", file.display()),
        }
    }

    /// Opens a file, or begins a new one.
    pub(super) fn open_or_new(file: &Path) -> anyhow::Result<Self> {
        let real = followed(file)?;
        let before =
            Held::take(&real, PATIENCE).with_context(|| format!("cannot read {}", file.display()))?;
        let text = match &before {
            Some(_) => read_file(&real).map_err(|problem| anyhow!("{problem}"))?,
            None => String::new(),
        };
        Ok(Self { real, before, text })
    }

    /// Puts a text in the place of the old one.
    pub(super) fn replace(self, text: &str) -> anyhow::Result<()> {
        let name = self.real.file_name().context("the file has no name")?.to_string_lossy();
        let new = self.real.with_file_name(format!(".{name}.{}.new", std::process::id()));
        let written = self.write(&new, text);
        if written.is_err() {
            // The half-written copy is of no use to anybody.
            let _ = fs::remove_file(&new);
        }
        written.with_context(|| format!("cannot write {}", self.real.display()))
    }

    fn write(&self, new: &Path, text: &str) -> io::Result<()> {
        let mut out = held::create(new)?;
        out.write_all(text.as_bytes())?;
        if let Some(before) = &self.before {
            before.lend_permissions(&out)?;
        }
        out.sync_all()?;
        drop(out);
        held::put_in_place(new, &self.real)?;
        held::sync_folder_of(&self.real)
    }
}

/// Writes a file that was just made, and waits until the disk has it and its name; half of it is of no use and is removed.
pub(super) fn fill(mut made: File, file: &Path, text: &str) -> anyhow::Result<()> {
    let written = made.write_all(text.as_bytes()).and_then(|()| made.sync_all());
    let written = written.and_then(|()| held::sync_folder_of(file));
    if written.is_err() {
        let _ = fs::remove_file(file);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the file itself where a link was named.
fn followed(file: &Path) -> anyhow::Result<PathBuf> {
    match fs::canonicalize(file) {
        Ok(real) => Ok(real),
        Err(_) if file.is_symlink() => bail!("{} is a link that leads to no file", file.display()),
        Err(_) => Ok(file.to_owned()),
    }
}
