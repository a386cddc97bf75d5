//! What differs between systems, on Linux; `system/windows` has the same names. Everything else of the agent asks here.

pub mod control;

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

use common::secret::Secret;
use rustix::fs::SeekFrom;

/// The system's name in Azure Monitor.
pub const NAME: &str = "Linux";
/// The agent's kind in the column `SourceSystem`.
pub const SOURCE_SYSTEM: &str = "Linux";
/// How the running agent is told to read its configuration, in the words of an operator.
pub const HOW_TO_RELOAD: &str = "reload it with SIGHUP";
/// Whether syslog can come by unix sockets.
pub const HAS_UNIX_SOCKETS: bool = true;
/// What a pattern of files begins with, in the words of an operator.
pub const BEGIN_OF_PATTERN: &str = "must begin with `/`";

/// Returns where the configuration is looked for when none is named.
pub fn usual_place() -> PathBuf {
    PathBuf::from("/etc/agent-lite/agent.toml")
}

/// Returns where the agent keeps what it must not forget, unless the configuration says otherwise.
pub fn usual_state() -> PathBuf {
    PathBuf::from("/var/lib/agent-lite")
}

/// Splits the pattern of files into the folder it begins at and the rest; none if it begins nowhere.
pub fn split_pattern(pattern: &str) -> Option<(PathBuf, &str)> {
    Some((PathBuf::from("/"), pattern.strip_prefix('/')?))
}

/// Returns whether a character parts the names in a pattern.
pub fn parts_names(character: char) -> bool {
    character == '/'
}

/// How names of files are compared with patterns.
pub const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Lets a file that will be made be its owner's only.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a folder, and those above it, for the agent's user only.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes a folder from everybody but its owner.
pub fn close_folder(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Returns whether a file or folder, or a link itself, belongs to the owner of another one, or to root.
pub fn belongs_alike(path: &Path, other: &Path) -> io::Result<bool> {
    let owner = fs::symlink_metadata(path)?.uid();
    Ok(owner == 0 || owner == fs::metadata(other)?.uid())
}

/// Makes the folder of a configuration file.
pub fn make_config_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes a file that is not there yet, through no link, with these permissions.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Gives a new file the owner and permissions of the one whose place it will take, but others may no more than `mode`
/// says; where there is none yet, `mode`.
pub fn permit_as_before(new: &File, place: &Path, mode: u32) -> io::Result<()> {
    let kept = match fs::metadata(place) {
        // Whoever may not give the file to its group gives the group nothing.
        Ok(before) => match fchown(new, Some(before.uid()), Some(before.gid())) {
            Ok(()) => before.mode() & (mode | 0o770),
            Err(_) => before.mode() & (mode | 0o700),
        },
        Err(_) => mode,
    };
    new.set_permissions(fs::Permissions::from_mode(kept & 0o777))
}

/// Puts a file in its place, or in that of the one that is there.
pub fn put_in_place(new: &Path, place: &Path) -> io::Result<()> {
    fs::rename(new, place)
}

/// Waits until the disk has the names in a folder.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a file that is not there yet, for its owner only, that is written at its end.
pub fn create_to_append(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create_new(true)).open(path)
}

/// Cuts a file off; what is written then follows.
pub fn truncate(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

/// Reads at a place.
pub fn read_at(file: &File, into: &mut [u8], from: u64) -> io::Result<usize> {
    file.read_at(into, from)
}

/// Reads all of it at a place.
pub fn read_exact_at(file: &File, into: &mut [u8], from: u64) -> io::Result<()> {
    file.read_exact_at(into, from)
}

/// Returns the device and the number of a file on it, of a path that is followed.
pub fn identity_at(_path: &Path, metadata: &Metadata) -> io::Result<(u64, u64)> {
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns the device and the number of an open file on it.
pub fn identity_of(_file: &File, metadata: &Metadata) -> io::Result<(u64, u64)> {
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns when a file was written to, by its own clock.
pub fn written(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// Returns where there is something else than a hole, from a place on; 0 if the disk does not say.
pub fn next_data(file: &File, from: u64) -> u64 {
    rustix::fs::seek(file, SeekFrom::Data(from)).unwrap_or(0)
}

/// Returns what lies on the disk for a secret: itself, for its file is its owner's only.
pub fn sealed(secret: &Secret) -> io::Result<Secret> {
    Ok(secret.clone())
}

/// Returns the secret that lies on the disk so.
pub fn unsealed(text: String) -> io::Result<String> {
    Ok(text)
}
