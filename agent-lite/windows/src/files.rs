//! What a file is, apart from its name.

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Storage::FileSystem::BY_HANDLE_FILE_INFORMATION;
use windows_sys::Win32::Storage::FileSystem::GetFileInformationByHandle;
use windows_sys::Win32::Storage::FileSystem::ReplaceFileW;

use crate::wide::checked;
use crate::wide::wide;

/// Returns the volume's serial number and the file's number in it.
pub fn identity(file: &File) -> io::Result<(u64, u64)> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open as long as `file` lives, and `found` is a place for the structure.
    checked(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &mut found) })?;
    let index = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok((found.dwVolumeSerialNumber.into(), index))
}

/// Puts a file in the place of another one that is there and whose permissions it takes.
pub fn replace(new: &Path, place: &Path) -> io::Result<()> {
    let (new, place) = (wide(new)?, wide(place)?);
    // SAFETY: both paths end in 0; no backup is wanted, and the last two are reserved.
    checked(unsafe { ReplaceFileW(place.as_ptr(), new.as_ptr(), ptr::null(), 0, ptr::null(), ptr::null()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_known_again_when_it_was_renamed_and_another_is_another() {
        let folder = std::env::temp_dir().join(format!("agent-lite-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        fs::write(at("a.log"), "a").unwrap();
        fs::write(at("b.log"), "b").unwrap();
        let open = File::open(at("a.log")).unwrap();
        let first = identity(&open).unwrap();
        fs::rename(at("a.log"), at("a.1.log")).unwrap();
        // Wine does not find the volume of an open file by its old name.
        assert_eq!(identity(&open).unwrap().1, first.1, "open while it is renamed");
        assert_eq!(identity(&File::open(at("a.1.log")).unwrap()).unwrap(), first);
        assert_ne!(identity(&File::open(at("b.log")).unwrap()).unwrap(), first);
        replace(&at("b.log"), &at("a.1.log")).unwrap();
        assert_eq!(fs::read_to_string(at("a.1.log")).unwrap(), "b");
        assert!(!at("b.log").exists());
        drop(open);
        fs::remove_dir_all(&folder).unwrap();
    }
}
