//! Finds the paths of a pattern, and does no more work for it than a bound, whatever lies in the folders.
//!
//! Where a pattern names folders by `**`, links are not gone into: one to a folder above makes endless paths. Other
//! parts of a pattern go through links; whose they are is looked at when a file is opened.

use std::fs;
use std::fs::FileType;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use glob::Pattern;
use glob::PatternError;

use crate::system;

/// Most entries of folders that one look goes through.
const MOST_ENTRIES: usize = 500_000;
/// Most folders that wait for their turn.
const MOST_FOLDERS: usize = 20_000;

/// What one look may still do, for all its patterns together.
#[derive(Debug)]
pub(super) struct Budget {
    entries: usize,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    No,
}

/// The bound was reached: there may be more paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// A part of a pattern between two `/`.
enum Part {
    Plain(String),
    Wild(Pattern),
    AnyFolders,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { entries: MOST_ENTRIES }
    }

    fn take(&mut self) -> Result<(), TooMuch> {
        self.entries = self.entries.checked_sub(1).ok_or(TooMuch)?;
        Ok(())
    }
}

/// Goes over all paths of a pattern that begins at a root; folders that cannot be read are told, too.
pub(super) fn walk(
    pattern: &str,
    budget: &mut Budget,
    mut tell: impl FnMut(Result<PathBuf, (PathBuf, io::Error)>) -> Go,
) -> Result<Result<(), TooMuch>, PatternError> {
    let Some((root, pattern)) = system::split_pattern(pattern) else { return Ok(Ok(())) };
    let parts = parts(pattern)?;
    let mut waiting = vec![(root, 0)];
    while let Some((path, at)) = waiting.pop() {
        let Some(part) = parts.get(at) else {
            match tell(Ok(path)) {
                Go::On => continue,
                Go::No => return Ok(Ok(())),
            }
        };
        let mut further = Further { path: &path, at, last: at + 1 == parts.len(), waiting: &mut waiting };
        match further.go(part, budget, &mut tell) {
            Ok(Go::On) => {}
            Ok(Go::No) => return Ok(Ok(())),
            Err(TooMuch) => return Ok(Err(TooMuch)),
        }
    }
    Ok(Ok(()))
}

fn parts(pattern: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts = Vec::new();
    for text in pattern.split(system::parts_names).filter(|text| !text.is_empty() && *text != ".") {
        match text {
            "**" if matches!(parts.last(), Some(Part::AnyFolders)) => {}
            "**" => parts.push(Part::AnyFolders),
            _ if text.contains(['*', '?', '[']) => parts.push(Part::Wild(Pattern::new(text)?)),
            _ => parts.push(Part::Plain(text.to_owned())),
        }
    }
    Ok(parts)
}

/// One step from a folder.
struct Further<'a> {
    path: &'a Path,
    at: usize,
    last: bool,
    waiting: &'a mut Vec<(PathBuf, usize)>,
}

impl Further<'_> {
    fn go(
        &mut self,
        part: &Part,
        budget: &mut Budget,
        tell: &mut impl FnMut(Result<PathBuf, (PathBuf, io::Error)>) -> Go,
    ) -> Result<Go, TooMuch> {
        budget.take()?;
        match part {
            Part::Plain(name) => {
                let next = self.path.join(name);
                if name == ".." || next.symlink_metadata().is_ok() {
                    self.wait(next, self.at + 1)?;
                }
                return Ok(Go::On);
            }
            // No folder in between.
            Part::AnyFolders if self.last => {
                if tell(Ok(self.path.to_owned())) == Go::No {
                    return Ok(Go::No);
                }
            }
            Part::AnyFolders => self.wait(self.path.to_owned(), self.at + 1)?,
            Part::Wild(_) => {}
        }
        let entries = match fs::read_dir(self.path) {
            Ok(entries) => entries,
            // It is none, or none any more.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => {
                return Ok(Go::On);
            }
            Err(error) => return Ok(tell(Err((self.path.to_owned(), error)))),
        };
        for entry in entries {
            budget.take()?;
            let Ok(entry) = entry else { continue };
            let kind = entry.file_type().ok();
            let go = match part {
                Part::Wild(wild) => match entry.file_name().to_str() {
                    Some(name) if wild.matches_with(name, system::MATCHING) && self.last => {
                        tell(Ok(entry.path()))
                    }
                    Some(name) if wild.matches_with(name, system::MATCHING) => {
                        self.enter(entry.path(), self.at + 1, kind, true)?
                    }
                    _ => Go::On,
                },
                _ => self.enter(entry.path(), self.at, kind, false)?,
            };
            if go == Go::No {
                return Ok(Go::No);
            }
        }
        Ok(Go::On)
    }

    fn enter(
        &mut self,
        path: PathBuf,
        at: usize,
        kind: Option<FileType>,
        links: bool,
    ) -> Result<Go, TooMuch> {
        let is_folder = match kind {
            Some(kind) if kind.is_symlink() => links && path.is_dir(),
            Some(kind) => kind.is_dir(),
            None => false,
        };
        if is_folder {
            self.wait(path, at)?;
        }
        Ok(Go::On)
    }

    fn wait(&mut self, path: PathBuf, at: usize) -> Result<(), TooMuch> {
        if self.waiting.len() >= MOST_FOLDERS {
            return Err(TooMuch);
        }
        self.waiting.push((path, at));
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn found(folder: &Path, pattern: &str) -> (Vec<String>, Result<(), TooMuch>) {
        let mut paths = Vec::new();
        let pattern = format!("{}/{pattern}", folder.display());
        let ended = walk(&pattern, &mut Budget::new(), |path| {
            paths.push(path.unwrap().strip_prefix(folder).unwrap().display().to_string());
            Go::On
        });
        paths.sort_unstable();
        (paths, ended.unwrap())
    }

    #[test]
    fn a_pattern_finds_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a.log", "b.txt", ".c.log", "d/a.log", "d/e/a.log", "d/e/f.log"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("d", folder.path().join("link")).unwrap();
        let cases: [(&str, &[&str]); 9] = [
            ("a.log", &["a.log"]),
            ("missing.log", &[]),
            ("*.log", &[".c.log", "a.log"]),
            ("?.[lt]*", &["a.log", "b.txt"]),
            ("*/a.log", &["d/a.log", "link/a.log"]),
            ("**/a.log", &["a.log", "d/a.log", "d/e/a.log"]),
            ("d/**/**/[ef]*", &["d/e", "d/e/f.log"]),
            ("d/**", &["d", "d/e"]),
            ("d/../a.log", &["d/../a.log"]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(
                found(folder.path(), pattern),
                (expected.iter().map(|e| (*e).to_owned()).collect(), Ok(())),
                "{pattern}"
            );
        }
    }

    #[test]
    fn links_that_lead_back_make_no_endless_paths() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/a.log"), "").unwrap();
        for name in ["x", "y", "z"] {
            symlink("..", folder.path().join("d").join(name)).unwrap();
        }
        assert_eq!(found(folder.path(), "**/a.log"), (vec!["d/a.log".to_owned()], Ok(())));
        assert_eq!(found(folder.path(), "**/none.log"), (vec![], Ok(())));
    }

    #[test]
    fn a_look_ends_at_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        for at in 0..20 {
            fs::write(folder.path().join(at.to_string()), "").unwrap();
        }
        let pattern = format!("{}/*", folder.path().display());
        let mut count = 0;
        let tell = |_| {
            count += 1;
            Go::On
        };
        let ended = walk(&pattern, &mut Budget { entries: 12 }, tell).unwrap();
        assert!(ended == Err(TooMuch) && count < 20, "{ended:?}, {count}");
    }
}
