//! The files of a configuration: what they hold, and whether they changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use blake2::Blake2s256;
use blake2::digest::FixedOutput;
use blake2::digest::Update;

use crate::config::LARGEST_FILE;
use crate::system;

/// What a look at some files shows without reading them. Links are followed, so one that leads elsewhere
/// shows, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Result<[i64; 7], io::ErrorKind>>);

impl Stamps {
    pub(super) fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), stamp(file))).collect())
    }

    /// Looks at the same files again.
    pub(super) fn again(&self) -> Self {
        Self::of(self.0.keys())
    }
}

fn stamp(file: &Path) -> Result<[i64; 7], io::ErrorKind> {
    std::fs::metadata(file).map(|found| system::stamp(&found)).map_err(|error| error.kind())
}

/// What some files hold, as digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<PathBuf, Content>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Nothing but white space, which no writer means who does not say so in a comment.
    Blank,
    Text([u8; 32]),
    Unreadable(io::ErrorKind),
}

impl Contents {
    pub(super) fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), content(file))).collect())
    }

    /// Returns twelve digits that are others for another content of any of them, whatever they are called.
    pub(super) fn fingerprint(&self) -> String {
        let mut digest = Blake2s256::default();
        for content in self.0.values() {
            match content {
                Content::Text(text) => digest.update(text),
                Content::Blank | Content::Unreadable(_) => digest.update(&[0]),
            }
        }
        let digest: [u8; 32] = digest.finalize_fixed().into();
        digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Says whether a file holds what it held in `other`.
    pub(super) fn same(&self, other: &Self, file: &Path) -> bool {
        self.0.get(file) == other.0.get(file)
    }

    /// Says whether a file that is blank now held something in `before`.
    pub(super) fn is_emptied(&self, before: &Self, file: &Path) -> bool {
        self.0.get(file) == Some(&Content::Blank) && matches!(before.0.get(file), Some(Content::Text(_)))
    }
}

/// Says which files cannot be read as one: to open a pipe would wait for its writer, for ever.
pub(super) fn irregular(files: &[PathBuf]) -> Vec<String> {
    let is_other =
        |file: &&PathBuf| std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir());
    files.iter().filter(is_other).map(|file| format!("{}: is no regular file", file.display())).collect()
}

fn content(file: &Path) -> Content {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Content::Unreadable(error.kind()),
        Ok(_) if bytes.iter().all(u8::is_ascii_whitespace) => Content::Blank,
        Ok(_) => {
            let mut digest = Blake2s256::default();
            digest.update(&bytes);
            Content::Text(digest.finalize_fixed().into())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn s12_a_swapped_link_a_rewritten_file_and_a_lost_one_show_and_an_untouched_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let [old, new, link] = ["old", "new", "link"].map(|name| folder.path().join(name));
        std::fs::write(&old, "text").expect("written");
        std::fs::write(&new, "text").expect("written");
        std::os::unix::fs::symlink(&old, &link).expect("a link");
        let before = Stamps::of([&link]);
        assert_eq!(before.again(), before);
        let (contents, beside) = (Contents::of([&link]), folder.path().join("beside"));
        std::os::unix::fs::symlink(&new, &beside).expect("a link");
        std::fs::rename(&beside, &link).expect("swapped");
        let swapped = before.again();
        assert_ne!(swapped, before);
        assert!(Contents::of([&link]).same(&contents, &link), "another file with the same text");
        std::fs::write(&new, "txet").expect("written");
        assert_ne!(before.again(), swapped);
        assert!(!Contents::of([&link]).same(&contents, &link));
        std::fs::write(&new, " \n").expect("written");
        assert!(Contents::of([&link]).is_emptied(&contents, &link));
        std::fs::write(&new, "# nobody\n").expect("written");
        assert!(!Contents::of([&link]).is_emptied(&contents, &link));
        std::fs::remove_file(&new).expect("removed");
        assert_eq!(before.again().0.get(&link), Some(&Err(io::ErrorKind::NotFound)));
    }
}
