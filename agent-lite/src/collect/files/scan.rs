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
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) id: Identity,
    pub(super) size: u64,
    changed: SystemTime,
}

/// What a look at the folders gave.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Each file once, in the order of the paths.
    pub(super) files: Vec<Found>,
    /// Paths that cannot be read, and why.
    pub(super) troubles: BTreeMap<String, String>,
    /// Folders in which something may appear.
    pub(super) folders: Vec<PathBuf>,
    fence: Option<Fence>,
}

/// Folders outside of which nothing is read: a rule from elsewhere chooses paths, and a link may lead anywhere.
#[derive(Debug)]
struct Fence(Vec<PathBuf>);

impl Fence {
    fn new(within: &[PathBuf]) -> Option<Self> {
        // A folder that is not there has nothing within it.
        let real = || within.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        (!within.is_empty()).then(|| Self(real()))
    }

    fn holds(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| self.0.iter().any(|folder| real.starts_with(folder)))
    }
}

impl Found {
    fn new(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let id = Identity::at(&path, metadata)?;
        Ok(Self { path, id, size: metadata.len(), changed })
    }
}

/// Looks at every path that a pattern finds, and that lies within these folders if there are any.
pub(super) fn scan(patterns: &[String], within: &[PathBuf]) -> Seen {
    let mut seen = Seen { fence: Fence::new(within), ..Seen::default() };
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
        let outside = |fence: &Fence| !fence.holds(&path) && path.symlink_metadata().is_ok();
        let why = match fs::metadata(&path) {
            _ if self.fence.as_ref().is_some_and(outside) => {
                "a link leads out of `log_directories`, the folders that a data collection rule may read"
                    .to_owned()
            }
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_found_outside_of_the_folders_that_are_open_by_whatever_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["open/deep", "closed", "open2"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["open/a.log", "open/deep/b.log", "closed/key.log", "open2/c.log"] {
            fs::write(at(name), "").unwrap();
        }
        symlink(at("closed/key.log"), at("open/link.log")).unwrap();
        symlink(at("closed"), at("open/folder")).unwrap();
        symlink("deep/b.log", at("open/own.log")).unwrap();
        symlink(at("open"), at("by-link")).unwrap();
        let found = |patterns: &[&str], within: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|name| at(name).display().to_string()).collect();
            let within: Vec<PathBuf> = within.iter().map(|name| at(name)).collect();
            let seen = scan(&patterns, &within);
            let names = seen.files.iter().map(|found| found.path.strip_prefix(folder.path()).unwrap());
            let names: Vec<String> = names.map(|name| name.display().to_string()).collect();
            (names, seen.troubles.len())
        };
        let patterns = ["open/*.log", "open/folder/*.log", "open/deep/*.log"];
        let inside = ["open/a.log".to_owned(), "open/deep/b.log".to_owned()];
        assert_eq!(found(&patterns, &["open"]), (inside.to_vec(), 2));
        assert_eq!(found(&patterns, &["missing", "open"]), (inside.to_vec(), 2));
        assert_eq!(found(&["by-link/a.log"], &["by-link"]), (vec!["by-link/a.log".to_owned()], 0));
        assert_eq!(found(&["open2/c.log"], &["open"]), (vec![], 1), "a name that begins alike");
        assert_eq!(found(&["open/*.log"], &["missing"]).0, [""; 0]);
        assert_eq!(found(&patterns, &[]).0.len(), 3, "without a fence links are followed");
    }
}
