//! Small files that are there whole or not at all.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use common::secret::Secret;

use crate::durable;
use crate::system;
use crate::upload::identity::IdentityError;

/// Most bytes of a file that belongs to an identity.
const LARGEST_FILE: u64 = 64 * 1024;

/// Makes a folder that only its owner may look into, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), IdentityError> {
    durable::make_folder(path).and_then(|()| system::close_folder(path)).map_err(told(path))
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

/// Puts a file in its place: after a crash there is the old one or the new one.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    durable::replace(path, text.as_bytes()).map_err(told(path))
}

/// Renames a file and waits until the disk has it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), IdentityError> {
    durable::rename(from, to).map_err(told(to))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), IdentityError> {
    durable::remove(path).map_err(told(path))
}

fn told(path: &Path) -> impl Fn(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Disk { path: path.clone(), source }
}
