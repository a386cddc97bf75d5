//! Small files that are there whole or not at all.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use common::secret::Secret;

use crate::system;
use crate::upload::identity::IdentityError;

/// Most bytes of a file that belongs to an identity.
const LARGEST_FILE: u64 = 64 * 1024;

/// Makes a folder that only its owner may look into, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), IdentityError> {
    system::make_folder(path).and_then(|()| system::close_folder(path)).map_err(told(path))
}

/// Reads a file if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(told(path))?;
    // Damage is the reader's to judge: what is no UTF-8 becomes text that none takes.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a secret if it is there.
pub(super) fn read_secret(path: &Path) -> Result<Option<String>, IdentityError> {
    let Some(text) = read(path)? else { return Ok(None) };
    system::unsealed(text).map(Some).map_err(told(path))
}

/// Writes a secret, as [`write`] does, in the form in which this system keeps it.
pub(super) fn write_secret(path: &Path, secret: &Secret) -> Result<(), IdentityError> {
    write(path, system::sealed(secret).map_err(told(path))?.expose())
}

/// Writes a file beside its place, waits for the disk, and puts it there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    remove(&beside)?;
    let open = system::private(OpenOptions::new().write(true).create_new(true)).open(&beside);
    let mut file = open.map_err(told(&beside))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(told(&beside))?;
    rename(&beside, path)
}

/// Renames a file and waits until the disk has it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), IdentityError> {
    fs::rename(from, to).map_err(told(to))?;
    sync_parent(to)
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), IdentityError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(told(path)),
    }
}

fn sync_parent(path: &Path) -> Result<(), IdentityError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    system::sync_folder(parent).map_err(told(parent))
}

fn told(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Disk { path: path.clone(), source }
}
