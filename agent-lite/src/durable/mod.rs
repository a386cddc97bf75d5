//! What must outlive a loss of power: every file that the agent makes or rewrites for itself is written by these steps.
//!
//! ```text
//! replace   make NAME.tmp, write, sync, rename to NAME, sync the folder    the old file or the new one, whole
//! rename    rename, sync both folders
//! folder    make, sync the folder above, for each that is missing
//! ```
//!
//! In tests `double` stands below: it notes each step, lets any of them fail, and says what a disk may hold after the
//! power was cut at any step.

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::system;

#[cfg(all(test, unix))]
pub(crate) mod double;
#[cfg(all(test, unix))]
mod tests;

/// The end of a file that is not finished.
pub const UNFINISHED: &str = ".tmp";

/// Puts a file for its owner only in the place of an older one, if there is one: after a crash it is the old one or the
/// new one. After an error it may be either, too, but never a part.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let put = write_beside(&beside, content).and_then(|()| rename_only(&beside, path));
    if put.is_err() {
        // A part of it is of no use, and takes room.
        let _ = remove(&beside);
    }
    put.and_then(|()| sync_folder(folder_of(path)))
}

/// Renames a file or a folder and waits until the disk has both names.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    rename_only(from, to)?;
    sync_folder(folder_of(to))?;
    if folder_of(from) == folder_of(to) { Ok(()) } else { sync_folder(folder_of(from)) }
}

/// Puts a file in the place of another one, which may come back when the power is cut.
pub fn rename_only(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(all(test, unix))]
    double::rename(from, to)?;
    fs::rename(from, to)
}

/// Makes a folder, and those above it that are missing, for the agent's user only, and waits until the disk has them.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let above = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
    let missing: Vec<&Path> = above.take_while(|folder| !folder.exists()).collect();
    #[cfg(all(test, unix))]
    double::before_folders(&missing)?;
    system::make_folder(path)?;
    #[cfg(all(test, unix))]
    double::made_folders(&missing);
    for folder in missing.iter().rev() {
        match sync_folder(folder_of(folder)) {
            // Who may not look into it cannot ask for this either.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => {
                // The next try makes them anew, and waits for the disk again.
                missing.iter().for_each(|made| drop(fs::remove_dir(made)));
                return Err(error);
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes a file that is not there yet, for its owner only, that is written at its end.
pub fn create(path: &Path) -> io::Result<File> {
    #[cfg(all(test, unix))]
    double::before(path)?;
    let file = system::create_to_append(path)?;
    #[cfg(all(test, unix))]
    double::created(path, &file);
    Ok(file)
}

/// Writes at the end of a file, by one call of the system unless that takes less than all.
pub fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(all(test, unix))]
    double::append(file, bytes)?;
    file.write_all(bytes)
}

/// Writes over a small file that is there, and waits until the disk has it: that takes no room. Within a sector a disk
/// writes all or nothing.
pub fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    #[cfg(all(test, unix))]
    double::overwrite(&file, content)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    sync(&file)
}

/// Cuts a file off.
pub fn truncate(file: &File, length: u64) -> io::Result<()> {
    #[cfg(all(test, unix))]
    double::truncate(file, length)?;
    system::truncate(file, length)
}

/// Waits until the disk has a file's content.
pub fn sync(file: &File) -> io::Result<()> {
    #[cfg(all(test, unix))]
    if double::sync(file)? {
        return Ok(());
    }
    file.sync_data()
}

/// Waits until the disk has the names in a folder.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(all(test, unix))]
    if double::sync_folder(path)? {
        return Ok(());
    }
    system::sync_folder(path)
}

/// Removes a file; one that is not there is removed. It may come back when the power is cut.
pub fn remove(path: &Path) -> io::Result<()> {
    #[cfg(all(test, unix))]
    double::remove(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; one that is not there is removed. It may come back, wholly or in part, when the
/// power is cut before the folder above is synced.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    #[cfg(all(test, unix))]
    double::remove_folder(path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_beside(beside: &Path, content: &[u8]) -> io::Result<()> {
    remove(beside)?;
    let file = create(beside)?;
    append(&file, content)?;
    sync(&file)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Returns the folder that a file's name stands in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
