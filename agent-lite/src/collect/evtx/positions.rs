//! What is known of files, in a file of its own below the state folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Deserialize;
use serde::Serialize;

use super::mark::Mark;
use crate::durable;

const VERSION: u32 = 1;
/// Largest file of positions that is read: 64 MiB.
const LARGEST: u64 = 64 << 20;
/// Most files that are remembered; those that are gone are forgotten first.
const MOST: usize = 2000;

/// Where the positions lie.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    path: PathBuf,
}

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub(super) path: PathBuf,
    pub(super) mark: Mark,
    /// Its size and time when it had been read to its end.
    pub(super) read: Option<(u64, i128)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    files: Vec<Known>,
}

impl Known {
    pub(super) fn new(path: PathBuf, mark: Mark) -> Self {
        Self { path, mark, read: None }
    }

    pub(super) fn is_read(&self, path: &Path, size: u64, changed: SystemTime) -> bool {
        self.path == path && self.read == Some((size, nanoseconds(changed)))
    }
}

/// Puts what is known of a file in the place of what was.
pub(super) fn put(all: &mut Vec<Known>, known: Known) {
    match all.iter_mut().find(|other| other.path == known.path) {
        Some(other) => *other = known,
        None => all.push(known),
    }
}

/// Forgets the files that are gone when there are too many, the oldest first.
pub(super) fn forget(all: &mut Vec<Known>, there: &HashSet<&Path>) {
    let mut surplus = all.len().saturating_sub(MOST);
    all.retain(|known| {
        let goes = surplus > 0 && !there.contains(known.path.as_path());
        surplus -= usize::from(goes);
        !goes
    });
}

/// Returns a time as a number that is written down.
pub(super) fn nanoseconds(time: SystemTime) -> i128 {
    let nanoseconds =
        |duration: std::time::Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanoseconds(after),
        Err(before) => -nanoseconds(before.duration()),
    }
}

impl Positions {
    pub(super) fn new(state: &Path, source: &str) -> Self {
        Self { path: state.join("positions").join(format!("{source}.json")) }
    }

    /// Reads what was saved, and says if it is damaged. An error means that it cannot be told now.
    pub(super) fn load(&self) -> io::Result<(Vec<Known>, Option<String>)> {
        let bytes = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > LARGEST => Vec::new(),
            Ok(_) => fs::read(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        };
        let error = match serde_json::from_slice::<Document>(&bytes) {
            Ok(Document { version: VERSION, files }) => return Ok((files, None)),
            Ok(Document { version, .. }) => format!("version {version} is not known"),
            Err(error) => error.to_string(),
        };
        let aside = self.path.with_extension("json.damaged");
        durable::rename(&self.path, &aside)?;
        let damage = format!("{}: {error}; it lies in {} now", self.path.display(), aside.display());
        Ok((Vec::new(), Some(damage)))
    }

    /// Returns what [`Positions::save`] writes.
    pub(super) fn image(files: &[Known]) -> Vec<u8> {
        serde_json::to_vec(&Document { version: VERSION, files: files.to_vec() }).unwrap_or_default()
    }

    /// Replaces the file: after a crash there is the old one or the new one.
    pub(super) fn save(&self, image: &[u8]) -> io::Result<()> {
        durable::make_folder(durable::folder_of(&self.path))?;
        durable::replace(&self.path, image)
    }
}
