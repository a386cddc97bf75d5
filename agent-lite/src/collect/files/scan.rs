//! Which files there are. Runs apart from the runtime: a tree can be large and a disk slow.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fs;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
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
/// The same where nobody removes old files: IIS does not.
const MOST_PATHS_KEPT: usize = 200_000;
/// A file that nobody has written to for so long is an old one.
const OLD: Duration = Duration::from_secs(2 * 24 * 60 * 60);
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
    /// Files that are too many, and when the newest of them was written to.
    left_out: usize,
    newest_left_out: Option<SystemTime>,
}

/// What becomes of a file when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collect) enum Rolled {
    /// It is rotated and in the end removed.
    Away,
    /// It stays for ever, beside the next one.
    Beside,
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let id = Identity::at(&path, metadata)?;
        Ok(Self { path, id, size: metadata.len(), changed })
    }
}

/// Looks at every path that a pattern finds.
pub(in crate::collect) fn scan(patterns: &[String], rolled: Rolled) -> Seen {
    let most_paths = if rolled == Rolled::Beside { MOST_PATHS_KEPT } else { MOST_PATHS };
    let mut seen = Seen::default();
    let (mut paths, mut budget) = (0, Budget::new());
    for pattern in patterns {
        seen.base(pattern);
        let folders_expected = pattern.ends_with("**");
        let walked = walk(pattern, &mut budget, |path| {
            match path {
                Ok(path) => {
                    paths += 1;
                    if paths > most_paths {
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
            Ok(Ok(())) if paths > most_paths => {
                format!("patterns find more than {most_paths} paths: make them narrower")
            }
            Ok(Ok(())) => continue,
        };
        seen.trouble(pattern.clone(), text);
    }
    seen.limit(rolled);
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
                if self.folders.last().map(PathBuf::as_path) != path.parent() {
                    self.folders.extend(path.parent().map(Path::to_owned));
                }
                match Found::new(path.clone(), &metadata) {
                    Ok(found) => {
                        self.files.push(found);
                        if self.files.len() >= 8 * MOST_FILES {
                            self.keep_newest();
                        }
                        return;
                    }
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

    fn limit(&mut self, rolled: Rolled) {
        self.keep_newest();
        self.folders.sort_unstable();
        self.folders.dedup();
        let old = self.newest_left_out.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > OLD);
        if self.left_out == 0 || (rolled == Rolled::Beside && old) {
            return;
        }
        let count = self.files.len() + self.left_out;
        let text = format!("{count} files are found, only the newest {MOST_FILES} are read");
        self.trouble("the patterns".to_owned(), text);
    }

    /// Keeps each file once, and not too many, in the order of the paths.
    fn keep_newest(&mut self) {
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut ids = HashSet::new();
        self.files.retain(|found| ids.insert(found.id));
        if self.files.len() <= MOST_FILES {
            return;
        }
        self.files.sort_by_key(|found| Reverse(found.changed));
        let newest = self.files.get(MOST_FILES).map(|found| found.changed);
        self.newest_left_out = self.newest_left_out.max(newest);
        self.left_out += self.files.len() - MOST_FILES;
        self.files.truncate(MOST_FILES);
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
    }

    fn trouble(&mut self, path: String, why: String) {
        if self.troubles.len() < MOST_TROUBLES {
            self.troubles.insert(path, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_files_the_newest_are_read_and_old_ones_are_missed_where_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for at in 0..(9 * MOST_FILES as u64) {
            let file = fs::File::create(folder.path().join(format!("{at}.log"))).unwrap();
            let days = if at % 9 == 0 { 0 } else { 3 + at % 9 };
            file.set_modified(now - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
        }
        let patterns = [format!("{}/*.log", folder.path().display())];
        for (rolled, told) in [(Rolled::Away, 1), (Rolled::Beside, 0)] {
            let seen = scan(&patterns, rolled);
            let numbers = seen
                .files
                .iter()
                .map(|found| found.path.file_stem().unwrap().to_string_lossy().parse::<u64>());
            assert!(numbers.map(Result::unwrap).all(|number| number % 9 == 0), "{rolled:?}");
            assert_eq!((seen.files.len(), seen.troubles.len()), (MOST_FILES, told), "{:?}", seen.troubles);
        }
        let recent = folder.path().join("one more.log");
        fs::write(recent, "").unwrap();
        assert_eq!(scan(&patterns, Rolled::Beside).troubles.len(), 1, "a file of today is left out");
    }
}
