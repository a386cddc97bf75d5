//! Folders of a service: made for those who may look into them, and never a stranger's.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use crate::security;
use crate::security::Others;

/// FILE_FLAG_BACKUP_SEMANTICS: without it a folder cannot be opened.
const FOLDERS_TOO: u32 = 0x0200_0000;
/// FILE_FLAG_OPEN_REPARSE_POINT: the link itself is opened.
const NO_LINKS: u32 = 0x0020_0000;
/// READ_CONTROL: who owns it, and what that means.
const READ_CONTROL: u32 = 0x0002_0000;

/// Makes a folder, and those above it that are missing, for LocalSystem, the administrators, the own user and these others
/// only. One that is there must belong to one of the first three: in `ProgramData` every user may make folders.
pub fn make(path: &Path, others: Others) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => Err(refused("it is a link: make it a folder")),
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Ok(_) => {
            let owner = owner_of(&path)?;
            match security::is_trusted(&owner) {
                true => Ok(()),
                false => Err(refused(&format!(
                    "it belongs to the user {owner}, who could read and change what is put there: remove it, or give it to the administrators"
                ))),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
                make(parent, others)?;
            }
            match security::create_folder(&path, others) {
                // Somebody was faster: he may be a stranger.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => make(&path, others),
                made => made,
            }
        }
        Err(error) => Err(error),
    }
}

/// Makes the folder of a service's configuration where it is missing. Refuses a folder or a file that somebody else could
/// have laid there, to have files read with the service's rights.
pub fn vouch_for(file: &Path, others: Others) -> io::Result<()> {
    let file = std::path::absolute(file)?;
    if let Some(folder) = file.parent() {
        make(folder, others)?;
    }
    match owner_of(&file) {
        Ok(owner) if !security::is_trusted(&owner) => Err(refused(&format!(
            "it belongs to the user {owner}, who could have the service read anything: give it to the administrators"
        ))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns who owns a file or folder, or a link itself, as a SID's text.
pub fn owner_of(path: &Path) -> io::Result<String> {
    let options = &mut OpenOptions::new();
    let opened = options.access_mode(READ_CONTROL).custom_flags(FOLDERS_TOO | NO_LINKS).open(path)?;
    security::owner(&opened)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
