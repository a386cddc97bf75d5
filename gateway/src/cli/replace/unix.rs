//! A file that is held on Unix: by its own lock. The new one gets its owner, its mode and its access control list.

use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use la_gateway::system;
use rustix::fs::XattrFlags;
use rustix::fs::fgetxattr;
use rustix::fs::fsetxattr;
use rustix::io::Errno;

use super::PAUSE;

/// How often the file may be replaced by others while this one waits for it.
const MOST_TRIES: u32 = 100;
/// The extended attribute that holds an access control list, and the most that Linux lets one hold.
const ACCESS_LIST: &str = "system.posix_acl_access";
const LARGEST_ATTRIBUTE: usize = 64 * 1024;

/// A file, open and locked.
pub(super) struct Held(File);

impl Held {
    /// Opens and locks a file, unless there is none.
    pub(super) fn take(real: &Path, patience: Duration) -> io::Result<Option<Self>> {
        Ok(locked(real, patience)?.map(Self))
    }

    /// Gives a new file the owner, the mode and the access control list of this one.
    pub(super) fn lend_permissions(&self, out: &File) -> io::Result<()> {
        let access_list = access_list(&self.0)?;
        let before = self.0.metadata()?;
        let now = out.metadata()?;
        if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
            fchown(out, Some(before.uid()), Some(before.gid()))?;
        }
        out.set_permissions(fs::Permissions::from_mode(before.permissions().mode()))?;
        if let Some(list) = access_list {
            fsetxattr(out, ACCESS_LIST, &list, XattrFlags::empty()).map_err(|error| {
                io::Error::other(format!("its access control list cannot be kept: {error}"))
            })?;
        }
        Ok(())
    }
}

/// Makes the new file, for its owner only.
pub(super) fn create(new: &Path) -> io::Result<File> {
    system::create_private(new)
}

/// Gives the new file the name.
pub(super) fn put_in_place(new: &Path, real: &Path) -> io::Result<()> {
    fs::rename(new, real)
}

/// Waits until the disk has the names in a file's folder.
pub(super) fn sync_folder_of(file: &Path) -> io::Result<()> {
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
    use super::super::Original;
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
