//! Opens a file without being led astray: a link leads only where its owner could go himself.
//!
//! Every user can make a junction in a folder that he may write to, and the service can read more than he can. So a link
//! of LocalSystem's, the administrators' or the agent's own user is followed anywhere, another's only to a file of the
//! same owner. The way is looked at before and after the file is opened, so that it was the same meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use agent_lite_windows::security;

use crate::system;

/// Most links on the way to a file, as for Windows.
const MOST_LINKS: usize = 63;

/// Opens a file for reading if it is a regular one. Its writer may go on, rename it and delete it.
pub(in crate::collect) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let before = follow(path)?;
    // What std shares with others: reading, writing and deleting.
    let file = File::open(&before.0)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if follow(path)? != before {
        return Err(io::Error::other("the links on its way were changed meanwhile"));
    }
    let (_, owners) = before;
    let owner = if owners.is_empty() { String::new() } else { security::owner(&file)? };
    match owners.iter().find(|link| **link != owner && !security::is_trusted(link)) {
        None => Ok((file, metadata)),
        Some(link) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "a link of the user {link} leads to a file of the user {owner}: such a link is followed only to files of its owner"
            ),
        )),
    }
}

/// Returns the path behind all links, and who owns these.
fn follow(path: &Path) -> io::Result<(PathBuf, BTreeSet<String>)> {
    let (mut real, mut owners, mut links) = (PathBuf::new(), BTreeSet::new(), 0);
    let mut rest = parts(path);
    while let Some(part) = rest.pop() {
        let next = match part.components().next() {
            Some(Component::CurDir) | None => continue,
            Some(Component::ParentDir) => {
                real.pop();
                continue;
            }
            Some(Component::Prefix(_) | Component::RootDir) => {
                real.push(&part);
                continue;
            }
            Some(Component::Normal(_)) => real.join(&part),
        };
        if !fs::symlink_metadata(&next)?.is_symlink() {
            real = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(io::Error::other("too many links lead to it"));
        }
        owners.insert(system::owner_of(&next)?);
        rest.extend(parts(&fs::read_link(&next)?));
    }
    Ok((real, owners))
}

/// Returns the parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = path.components().map(|part| PathBuf::from(part.as_os_str())).collect();
    parts.reverse();
    parts
}
