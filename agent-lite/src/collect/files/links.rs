//! Opens a file without being led astray: a symbolic link leads only where its owner could go himself.
//!
//! Whoever may write into a folder that is watched can put a link there to any file. The agent can read more than he
//! can (its own key, at least), and what it reads leaves the machine. So a link of root's or of the agent's own user
//! is followed anywhere, another's only to a file of the same owner. The file is opened by a path without links, so
//! nobody can change the way between the look and the opening.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;

/// Most links on the way to a file, as for the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Opens a file for reading if it is a regular one. A pipe or device in its place is neither waited for nor read.
pub(in crate::collect) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    match open_straight(path) {
        Err(Errno::LOOP) => open_by_links(path),
        straight => regular(straight?),
    }
}

fn open_by_links(path: &Path) -> io::Result<(File, Metadata)> {
    let (real, owners) = follow(path)?;
    let (file, metadata) = regular(open_straight(&real)?)?;
    match stranger(&owners, rustix::process::geteuid().as_raw(), metadata.uid()) {
        None => Ok((file, metadata)),
        Some(owner) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "a symbolic link of the user {owner} leads to a file of the user {}: such a link is followed only to files of its owner",
                metadata.uid()
            ),
        )),
    }
}

/// Opens a path in which no part is a link. Before Linux 5.6 only the last part can be held to that.
fn open_straight(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::NOSYS | Errno::PERM) => open_straight_without_openat2(path, flags),
        opened => opened.map(File::from),
    }
}

fn open_straight_without_openat2(path: &Path, flags: OFlags) -> Result<File, Errno> {
    let straight = || follow(path).is_ok_and(|(_, owners)| owners.is_empty());
    if !straight() {
        return Err(Errno::LOOP);
    }
    let file = File::from(rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty())?);
    if straight() { Ok(file) } else { Err(Errno::LOOP) }
}

fn regular(file: File) -> io::Result<(File, Metadata)> {
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

/// Returns the path behind all links, and who owns these.
fn follow(path: &Path) -> io::Result<(PathBuf, BTreeSet<u32>)> {
    let (mut real, mut owners, mut links) = (PathBuf::from("/"), BTreeSet::new(), 0);
    let mut rest = parts(path);
    while let Some(part) = rest.pop() {
        match part.to_str() {
            Some("/") => real = PathBuf::from("/"),
            Some(".") => {}
            Some("..") => drop(real.pop()),
            _ => {
                let next = real.join(&part);
                let found = fs::symlink_metadata(&next)?;
                if !found.is_symlink() {
                    real = next;
                    continue;
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                owners.insert(found.uid());
                rest.extend(parts(&fs::read_link(&next)?));
            }
        }
    }
    Ok((real, owners))
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components().rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// Returns the owner of a link who has no say over a file of this owner.
fn stranger(owners: &BTreeSet<u32>, own: u32, file: u32) -> Option<u32> {
    owners.iter().copied().find(|owner| ![0, own, file].contains(owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::lchown;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_leads_only_where_its_owner_could_go() {
        let (root, own, other, third) = (0, 10, 20, 30);
        let cases = [
            (&[][..], other, None),
            (&[root], other, None),
            (&[own], other, None),
            (&[other], other, None),
            (&[root, other], other, None),
            (&[other], root, Some(other)),
            (&[other], own, Some(other)),
            (&[root, own, other], third, Some(other)),
        ];
        for (owners, file, expected) in cases {
            let owners = owners.iter().copied().collect();
            assert_eq!(stranger(&owners, own, file), expected, "{owners:?} to {file}");
        }
    }

    #[test]
    fn a_file_is_opened_by_its_own_links_and_through_linked_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/app.log"), "text").unwrap();
        symlink("real", at("folder")).unwrap();
        symlink("./folder/../real/app.log", at("link.log")).unwrap();
        symlink(at("link.log"), at("far.log")).unwrap();
        symlink("loop.log", at("loop.log")).unwrap();
        for name in ["real/app.log", "folder/app.log", "link.log", "far.log"] {
            assert_eq!(open(&at(name)).unwrap().1.len(), 4, "{name}");
        }
        for name in ["real", "loop.log", "missing.log"] {
            assert!(open(&at(name)).is_err(), "{name}");
        }
    }

    /// Needs root, to make a link that is another's.
    #[test]
    fn a_link_of_another_user_leads_to_no_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("agent.key"), "secret").unwrap();
        fs::create_dir(at("keys")).unwrap();
        fs::write(at("keys/x.log"), "secret").unwrap();
        symlink(at("agent.key"), at("x.log")).unwrap();
        symlink("keys", at("logs")).unwrap();
        symlink(at("x.log"), at("by-root.log")).unwrap();
        if lchown(at("x.log"), Some(12_345), None).is_err() {
            return;
        }
        lchown(at("logs"), Some(12_345), None).unwrap();
        for name in ["x.log", "logs/x.log", "by-root.log"] {
            let error = open(&at(name)).unwrap_err();
            assert!(
                error.to_string().contains("the user 12345 leads to a file of the user 0"),
                "{name}: {error}"
            );
        }
        std::os::unix::fs::chown(at("agent.key"), Some(12_345), None).unwrap();
        assert!(open(&at("x.log")).is_ok());
    }
}
