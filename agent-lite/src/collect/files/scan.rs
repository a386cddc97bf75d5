//! Which files there are. Runs apart from the runtime: a tree can be large and a disk slow.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fs;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use super::identity::Identity;
use super::identity::is_derived;
use super::walk::Budget;
use super::walk::Go;
use super::walk::TooMuch;
use super::walk::walk;
use crate::system;

/// Most files that are read at once (as Azure Monitor's limit of custom logs); the newest are.
pub(super) const MOST_FILES: usize = 500;
/// Most paths that patterns may find; what is behind them is not looked at.
const MOST_PATHS: usize = 10_000;
/// Most entries of a folder that are looked at for what rotation left.
const MOST_LEFT: usize = 4_000;
/// Most troubles that are reported at once.
const MOST_TROUBLES: usize = 64;

/// A regular file.
#[derive(Clone, Debug)]
pub(in crate::collect) struct Found {
    pub(in crate::collect) path: PathBuf,
    pub(super) id: Identity,
    pub(in crate::collect) size: u64,
    pub(in crate::collect) changed: SystemTime,
}

/// What a look at the folders gave.
#[derive(Debug, Default)]
pub(in crate::collect) struct Seen {
    /// Each file once, in the order of the paths.
    pub(in crate::collect) files: Vec<Found>,
    /// Paths that cannot be read, and why.
    pub(in crate::collect) troubles: BTreeMap<String, String>,
    /// Folders in which something may appear.
    pub(super) folders: Vec<PathBuf>,
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let id = Identity::at(&path, metadata)?;
        Ok(Self { path, id, size: metadata.len(), changed })
    }
}

/// Looks at every path that a pattern finds.
pub(in crate::collect) fn scan(patterns: &[String]) -> Seen {
    let mut seen = Seen::default();
    let (mut paths, mut budget) = (0, Budget::new());
    for pattern in patterns {
        seen.base(pattern);
        let folders_expected = pattern.ends_with("**");
        let walked = walk(pattern, &mut budget, |path| {
            match path {
                Ok(path) => {
                    paths += 1;
                    if paths > MOST_PATHS {
                        return Go::No;
                    }
                    seen.path(path, folders_expected);
                }
                Err((path, error)) => seen.trouble(path.display().to_string(), error.to_string()),
            }
            Go::On
        });
        let text = match walked {
            Err(error) => format!("it is no pattern: {error}"),
            Ok(Err(TooMuch)) => "its folders hold too many entries to look at: make it narrower".to_owned(),
            Ok(Ok(())) if paths > MOST_PATHS => {
                format!("patterns find more than {MOST_PATHS} paths: make them narrower")
            }
            Ok(Ok(())) => continue,
        };
        seen.trouble(pattern.clone(), text);
    }
    seen.limit();
    seen
}

/// Finds what rotation may have made of a file, in the file's folder: the newest first.
pub(super) fn left_of(path: &Path, id: Identity) -> Vec<Found> {
    const MOST: usize = 16;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let name = name.to_string_lossy();
    let mut left: Vec<Found> = entries
        .take(MOST_LEFT)
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, metadata)| metadata.is_file())
        .filter_map(|(path, metadata)| Found::new(path, &metadata).ok())
        .filter(|found| {
            let other = found.path.file_name().unwrap_or_default().to_string_lossy();
            found.id == id || is_derived(&other, &name)
        })
        .collect();
    left.sort_by_key(|found| (found.id != id, Reverse(found.changed)));
    left.truncate(MOST);
    left
}

impl Seen {
    /// The folder before the first wildcard must be there.
    fn base(&mut self, pattern: &str) {
        let Some((mut folder, rest)) = system::split_pattern(pattern) else { return };
        let plain = rest.find(['*', '?', '[']).and_then(|at| rest.get(..at)).unwrap_or(rest);
        let plain = plain.rfind(system::parts_names).and_then(|at| plain.get(..at)).unwrap_or_default();
        folder.extend(plain.split(system::parts_names).filter(|name| !name.is_empty()));
        self.folders.push(folder.clone());
        if let Err(error) = fs::metadata(&folder) {
            self.trouble(folder.display().to_string(), format!("the folder of {pattern}: {error}"));
        }
    }

    fn path(&mut self, path: PathBuf, folders_expected: bool) {
        let why = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                self.folders.extend(path.parent().map(Path::to_owned));
                match Found::new(path.clone(), &metadata) {
                    Ok(found) => return self.files.push(found),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                    Err(error) => error.to_string(),
                }
            }
            Ok(metadata) if metadata.is_dir() && folders_expected => return self.folders.push(path),
            Ok(metadata) if metadata.is_dir() => {
                "it is a folder, no file: add a pattern for its files".to_owned()
            }
            Ok(_) => "it is no regular file and is not read".to_owned(),
            // It was rotated away between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return;
            }
            Err(error) => error.to_string(),
        };
        self.trouble(path.display().to_string(), why);
    }

    fn limit(&mut self) {
        self.folders.sort_unstable();
        self.folders.dedup();
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut ids = HashSet::new();
        self.files.retain(|found| ids.insert(found.id));
        if self.files.len() <= MOST_FILES {
            return;
        }
        let text = format!("{} files are found, only the newest {MOST_FILES} are read", self.files.len());
        self.files.sort_by_key(|found| Reverse(found.changed));
        self.files.truncate(MOST_FILES);
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        self.trouble("the patterns".to_owned(), text);
    }

    fn trouble(&mut self, path: String, why: String) {
        if self.troubles.len() < MOST_TROUBLES {
            self.troubles.insert(path, why);
        }
    }
}
