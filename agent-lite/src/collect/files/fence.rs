//! Keeps the files of a rule from elsewhere within folders that the local configuration opens.

use std::path::Path;
use std::path::PathBuf;

/// Folders outside of which nothing is read: a rule from elsewhere chooses paths, and a link may lead anywhere.
#[derive(Debug)]
pub(super) struct Fence(Vec<PathBuf>);

impl Fence {
    /// Begins with the folders that are open; none is no fence.
    pub(super) fn new(within: &[PathBuf]) -> Option<Self> {
        // A folder that is not there has nothing within it.
        let real = || within.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        (!within.is_empty()).then(|| Self(real()))
    }

    /// Returns whether a path lies within, links followed.
    pub(super) fn holds(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| self.0.iter().any(|folder| real.starts_with(folder)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::collect::files::scan::Rolled;
    use crate::collect::files::scan::scan;
    use std::fs;
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
            let seen = scan(&patterns, &within, Rolled::Away);
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
