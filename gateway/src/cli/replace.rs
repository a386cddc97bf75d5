//! Replaces a file in one step: a reader sees the old text or the new one, whole.
//!
//! The new text is written beside it and synced, gets the mode and the owner of the old file, and takes its
//! name; then the folder is synced. Where the file is a link, the file it leads to is replaced, so the link
//! stays. While an [`Original`] lives, other commands of this program wait.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use la_gateway::config::read_file;

/// How often the file may be replaced by others while this one waits for it.
const MOST_TRIES: u32 = 100;
/// Mode of a file that was not there: for its owner only.
const PRIVATE: u32 = 0o600;

/// A file that is about to be edited. Held open and locked.
pub(super) struct Original {
    real: PathBuf,
    before: Option<File>,
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
        let before = locked(&real).with_context(|| format!("cannot read {}", file.display()))?;
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
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(new)?;
        out.write_all(text.as_bytes())?;
        if let Some(before) = &self.before {
            let before = before.metadata()?;
            let now = out.metadata()?;
            if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
                fchown(&out, Some(before.uid()), Some(before.gid()))?;
            }
            out.set_permissions(fs::Permissions::from_mode(before.permissions().mode()))?;
        }
        out.sync_all()?;
        fs::rename(new, &self.real)?;
        let folder = self.real.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Returns the file itself where a link was named.
fn followed(file: &Path) -> anyhow::Result<PathBuf> {
    match fs::canonicalize(file) {
        Ok(real) => Ok(real),
        Err(_) if file.is_symlink() => bail!("{} is a link that leads to no file", file.display()),
        Err(_) => Ok(file.to_owned()),
    }
}

/// Opens and locks a file, unless there is none. Somebody who held the lock has replaced the file: then the
/// new one is opened.
fn locked(real: &Path) -> io::Result<Option<File>> {
    for _ in 0..MOST_TRIES {
        let file = match File::open(real) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        file.lock()?;
        let same =
            fs::metadata(real).is_ok_and(|now| file.metadata().is_ok_and(|own| now.ino() == own.ino()));
        if same {
            return Ok(Some(file));
        }
    }
    Err(io::Error::other("others go on replacing it"))
}
