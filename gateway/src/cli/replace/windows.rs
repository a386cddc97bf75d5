//! A file that is held on Windows: by another one beside it, for a lock of Windows would keep readers out, the gateway
//! above all. It goes when its handle is closed, also when the program is killed.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use agent_lite_windows::files;
use la_gateway::system;

use super::PAUSE;

/// FILE_FLAG_DELETE_ON_CLOSE.
const GOES_WHEN_CLOSED: u32 = 0x0400_0000;
/// ERROR_SHARING_VIOLATION: somebody has it open; ERROR_ACCESS_DENIED: or it is just going.
const HELD: [i32; 2] = [32, 5];

/// A file that nobody else edits meanwhile.
pub(super) struct Held {
    _beside: File,
}

impl Held {
    /// Takes a file, unless there is none.
    pub(super) fn take(real: &Path, patience: Duration) -> io::Result<Option<Self>> {
        match fs::metadata(real) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(io::Error::other("it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut name = OsString::from(".");
        name.push(real.file_name().unwrap_or_default());
        name.push(".lock");
        let beside = lock(&real.with_file_name(name), Instant::now() + patience)?;
        Ok(Some(Self { _beside: beside }))
    }

    /// Does nothing: [`put_in_place`] keeps the permissions.
    pub(super) fn lend_permissions(&self, _out: &File) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the new file.
pub(super) fn create(new: &Path) -> io::Result<File> {
    system::create_beside_configuration(new)
}

/// Puts the new file in its place, or in that of the one that is there, whose permissions it takes.
pub(super) fn put_in_place(new: &Path, real: &Path) -> io::Result<()> {
    if real.exists() { files::replace(new, real) } else { fs::rename(new, real) }
}

/// Does nothing: NTFS and ReFS have a journal for names and no call to wait for it.
pub(super) fn sync_folder_of(_file: &Path) -> io::Result<()> {
    Ok(())
}

fn lock(beside: &Path, until: Instant) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).share_mode(0).custom_flags(GOES_WHEN_CLOSED);
    loop {
        match options.open(beside) {
            Err(error) if error.raw_os_error().is_some_and(|code| HELD.contains(&code)) => {
                if Instant::now() >= until {
                    let text = format!("somebody edits it, and has {} open: {error}", beside.display());
                    return Err(io::Error::new(error.kind(), text));
                }
                sleep(PAUSE);
            }
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Original;
    use super::*;

    #[test]
    fn one_edits_at_a_time_and_nothing_is_left_beside_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("agents.users");
        fs::write(&file, "# nobody\n").expect("written");
        let first = Original::open(&file).expect("open");
        let error = Held::take(&file, Duration::ZERO).err().expect("is held").to_string();
        assert!(error.contains("somebody edits it"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("readers are not kept out"), "# nobody\n");
        first.replace("ann\n").expect("replaced");
        assert_eq!(fs::read_to_string(&file).expect("read"), "ann\n");
        assert!(Held::take(&file, Duration::ZERO).expect("is free").is_some());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
