//! Replaces a file in one step: a reader sees the old text or the new one, whole.
//!
//! The new text is written beside it and synced, gets the mode and the owner of the old file, and takes its
//! name; then the folder is synced. Where the file is a link, the file it leads to is replaced, so the link
//! stays. While an [`Original`] lives, other commands of this program wait; they give up after [`PATIENCE`],
//! because whoever may read the file can hold its lock. An access control list stays with the file.

use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use la_gateway::config::read_file;
use rustix::fs::XattrFlags;
use rustix::fs::fgetxattr;
use rustix::fs::fsetxattr;
use rustix::io::Errno;

/// How often the file may be replaced by others while this one waits for it.
const MOST_TRIES: u32 = 100;
/// Longest wait for a lock that somebody else holds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at such a lock.
const PAUSE: Duration = Duration::from_millis(50);
/// The extended attribute that holds an access control list, and the most that Linux lets one hold.
const ACCESS_LIST: &str = "system.posix_acl_access";
const LARGEST_ATTRIBUTE: usize = 64 * 1024;
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
        let before = locked(&real, PATIENCE).with_context(|| format!("cannot read {}", file.display()))?;
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
            let access_list = access_list(before)?;
            let before = before.metadata()?;
            let now = out.metadata()?;
            if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
                fchown(&out, Some(before.uid()), Some(before.gid()))?;
            }
            out.set_permissions(fs::Permissions::from_mode(before.permissions().mode()))?;
            if let Some(list) = access_list {
                fsetxattr(&out, ACCESS_LIST, &list, XattrFlags::empty()).map_err(|error| {
                    io::Error::other(format!("its access control list cannot be kept: {error}"))
                })?;
            }
        }
        out.sync_all()?;
        fs::rename(new, &self.real)?;
        sync_folder_of(&self.real)
    }
}

/// Writes a file that was just made, and waits until the disk has it and its name; half of it is of no use and is removed.
pub(super) fn fill(mut made: File, file: &Path, text: &str) -> anyhow::Result<()> {
    let written = made.write_all(text.as_bytes()).and_then(|()| made.sync_all());
    let written = written.and_then(|()| sync_folder_of(file));
    if written.is_err() {
        let _ = fs::remove_file(file);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the access control list of a file, if it has one.
fn access_list(file: &File) -> io::Result<Option<Vec<u8>>> {
    let mut list = vec![0; LARGEST_ATTRIBUTE];
    match fgetxattr(file, ACCESS_LIST, list.as_mut_slice()) {
        Ok(length) => {
            list.truncate(length);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
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
fn locked(real: &Path, patience: Duration) -> io::Result<Option<File>> {
    let until = Instant::now() + patience;
    for _ in 0..MOST_TRIES {
        let file = match File::open(real) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        lock(&file, until)?;
        let same =
            fs::metadata(real).is_ok_and(|now| file.metadata().is_ok_and(|own| now.ino() == own.ino()));
        if same {
            return Ok(Some(file));
        }
    }
    Err(io::Error::other("others go on replacing it"))
}

/// Locks a file as soon as nobody else does.
fn lock(file: &File, until: Instant) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("somebody holds a lock on it; `lslocks` shows who"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_somebody_goes_on_holding_ends_in_an_error_that_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agents.users");
        fs::write(&file, "# nobody\n").expect("written");
        let other = File::open(&file).expect("open");
        other.lock().expect("locked");
        let error = locked(&file, Duration::ZERO).expect_err("is locked").to_string();
        assert!(error.contains("somebody holds a lock on it"), "{error}");
        drop(other);
        assert!(locked(&file, Duration::ZERO).expect("is free").is_some());
    }

    #[test]
    fn an_access_control_list_stays_with_the_file() {
        // Version 2; owner rw, user 1234 r, group none, mask r, others none.
        let entries: [(u16, u16, u32); 5] =
            [(1, 6, u32::MAX), (2, 4, 1234), (4, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agents.users");
        fs::write(&file, "# nobody\n").expect("written");
        let before = File::open(&file).expect("open");
        match fsetxattr(&before, ACCESS_LIST, &list, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => {
                return eprintln!("skipped: this file system has no access control lists");
            }
            set => set.expect("set"),
        }
        Original::open(&file).expect("open").replace("ann\n").expect("replaced");
        let after = File::open(&file).expect("open");
        assert_eq!(access_list(&after).expect("read"), Some(list));
        assert_eq!(fs::read_to_string(&file).expect("read"), "ann\n");
    }
}
