//! What a file is, apart from its name: device and inode, the beginning of its content, and the bytes before
//! a position.

use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::path::Path;

use ring::digest;
use serde::Deserialize;
use serde::Serialize;

use crate::system;

/// Most bytes at the beginning that tell contents apart.
pub(super) const HEAD: usize = 1024;
/// Most bytes before a position that prove it.
const MARK: usize = 64;

/// Device and inode, or what a system has of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// The beginning of a content, as long as it was when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) length: usize,
    hash: u64,
}

/// A position and the bytes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) length: usize,
    hash: u64,
}

impl Identity {
    /// Returns that of an open file.
    pub(super) fn of(file: &File, metadata: &Metadata) -> io::Result<Self> {
        let (device, inode) = system::identity_of(file, metadata)?;
        Ok(Self { device, inode })
    }

    /// Returns that of the file a path leads to.
    pub(super) fn at(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let (device, inode) = system::identity_at(path, metadata)?;
        Ok(Self { device, inode })
    }
}

impl Head {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..HEAD).unwrap_or(bytes);
        Self { length: bytes.len(), hash: hash(bytes) }
    }

    /// Returns whether the content begins as this one did; an empty one says nothing.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        self.length > 0 && bytes.get(..self.length).is_some_and(|bytes| hash(bytes) == self.hash)
    }

    pub(super) fn is_full(&self) -> bool {
        self.length == HEAD
    }
}

impl Mark {
    /// Marks a position by the bytes that end there.
    pub(super) fn of(at: u64, before: &[u8]) -> Self {
        let from = before.len().saturating_sub(MARK.min(usize::try_from(at).unwrap_or(MARK)));
        let bytes = before.get(from..).unwrap_or_default();
        Self { at, length: bytes.len(), hash: hash(bytes) }
    }

    /// Returns whether these bytes end at the position.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        self.length == 0 || (bytes.len() == self.length && hash(bytes) == self.hash)
    }

    /// Marks a position of a file.
    pub(super) fn in_file(file: &File, at: u64) -> io::Result<Self> {
        let mut bytes = [0; MARK];
        let length = MARK.min(usize::try_from(at).unwrap_or(MARK));
        let into = bytes.get_mut(..length).unwrap_or_default();
        system::read_exact_at(file, into, at - length as u64)?;
        Ok(Self::of(at, into))
    }

    /// Returns whether the file has these bytes there.
    pub(super) fn holds(&self, file: &File) -> bool {
        let mut bytes = [0; MARK];
        let Some(into) = bytes.get_mut(..self.length) else { return false };
        let Some(from) = self.at.checked_sub(self.length as u64) else { return false };
        self.length == 0 || (system::read_exact_at(file, into, from).is_ok() && self.is_of(into))
    }
}

/// Reads up to so many bytes from a position; fewer mean the end.
pub(super) fn read_at(file: &File, from: u64, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let begins = into.len();
    into.resize(begins + most, 0);
    let mut done = 0;
    let result = loop {
        let rest = into.get_mut(begins + done..).unwrap_or_default();
        match system::read_at(file, rest, from + done as u64) {
            Ok(0) => break Ok(()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    into.truncate(begins + done);
    result
}

/// Returns whether rotation makes this name out of that one: something appended after `.`, `-` or `_`, or a
/// number or date put before the extension, and perhaps `.gz`.
pub(super) fn is_derived(name: &str, of: &str) -> bool {
    let joint = |rest: &str| rest.starts_with(['.', '-', '_']);
    if let Some(rest) = name.strip_prefix(of) {
        return joint(rest);
    }
    let Some((stem, extension)) = of.rsplit_once('.') else { return false };
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
    middle.is_some_and(|middle| {
        joint(middle) && middle.bytes().all(|byte| byte.is_ascii_digit() || b".-_T:".contains(&byte))
    })
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = digest::digest(&digest::SHA256, bytes);
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotation_makes_are_known() {
        let cases = [
            ("app.log.1", true),
            ("app.log.12.gz", true),
            ("app.log-20260101", true),
            ("app-20260101.log", true),
            ("app.1.log.gz", true),
            ("app.log", false),
            ("app2.log", false),
            ("app-errors.log", false),
            ("other.log.1", false),
        ];
        for (name, derived) in cases {
            assert_eq!(is_derived(name, "app.log"), derived, "{name}");
        }
    }

    #[test]
    fn a_head_is_known_again_when_the_file_has_grown() {
        let head = Head::of(b"first");
        assert!(head.is_of(b"first") && head.is_of(b"first and more"));
        assert!(!head.is_of(b"fir") && !head.is_of(b"First and more"));
        assert!(!Head::of(b"").is_of(b"anything"));
    }
}
