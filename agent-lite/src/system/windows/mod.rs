//! What differs between systems, on Windows; `system/unix` has the same names. Everything else of the agent asks here.

pub mod control;

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::windows::fs::FileExt;
use std::os::windows::fs::MetadataExt;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use agent_lite_windows::files;
use agent_lite_windows::folders;
use agent_lite_windows::machine;
use agent_lite_windows::secrets;
use agent_lite_windows::security;
use agent_lite_windows::security::Others;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::secret::Secret;

/// The system's name in Azure Monitor.
pub const NAME: &str = "Windows";
/// The agent's kind in the column `SourceSystem`: the name of the legacy agent for Windows.
pub const SOURCE_SYSTEM: &str = "OpsManager";
/// How the running agent is told to read its configuration, in the words of an operator.
pub const HOW_TO_RELOAD: &str = "reload it with `agent-lite service reload`";
/// Whether syslog can come by unix sockets.
pub const HAS_UNIX_SOCKETS: bool = false;
/// What a pattern of files begins with, in the words of an operator.
pub const BEGIN_OF_PATTERN: &str = r"must begin with a drive or a share, as in `C:\` or `\\server\share\`";
/// FILE_FLAG_BACKUP_SEMANTICS: without it a folder cannot be opened.
const FOLDERS_TOO: u32 = 0x0200_0000;
/// FILE_READ_ATTRIBUTES.
const READ_ATTRIBUTES: u32 = 0x80;
/// The first line of a sealed secret.
const SEAL: &str = "agent-lite: sealed for this machine by DPAPI";

/// Returns where the configuration is looked for when none is named.
pub fn usual_place() -> PathBuf {
    usual_folder().join("agent.toml")
}

/// Returns where the agent keeps what it must not forget, unless the configuration says otherwise.
pub fn usual_state() -> PathBuf {
    usual_folder().join("state")
}

/// Returns `C:\ProgramData\agent-lite`, or where else programs keep their data.
pub fn usual_folder() -> PathBuf {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    PathBuf::from(data).join("agent-lite")
}

/// Splits the pattern of files into the drive or share it begins at and the rest; none if it begins nowhere.
pub fn split_pattern(pattern: &str) -> Option<(PathBuf, &str)> {
    if let [drive, b':', b'\\' | b'/', ..] = pattern.as_bytes() {
        let root = format!("{}:\\", char::from(drive.to_ascii_uppercase()));
        return drive.is_ascii_alphabetic().then_some((root.into(), pattern.get(3..)?));
    }
    let share = pattern.strip_prefix(r"\\").or_else(|| pattern.strip_prefix("//"))?;
    let mut names = share.splitn(3, parts_names);
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['*', '?', '[', '.']);
    let (server, share) = (names.next()?, names.next().filter(is_name)?);
    let server = Some(server).filter(|server| !server.is_empty() && !server.contains(['*', '?', '[']))?;
    // Of `\\?\` and `\\.\`, which name devices, the server would be `?` or `.`.
    if server == "." {
        return None;
    }
    Some((format!(r"\\{server}\{share}\").into(), names.next()?))
}

/// Returns whether a character parts the names in a pattern.
pub fn parts_names(character: char) -> bool {
    matches!(character, '/' | '\\')
}

/// How names of files are compared with patterns.
pub const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: false,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Lets a file that will be made be its owner's only: it inherits that from its folder.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes a folder, and those above it that are missing, for LocalSystem, the administrators and the agent's user only.
/// One that is there must belong to one of these: in `ProgramData` every user may make folders.
pub fn make_folder(path: &Path) -> io::Result<()> {
    folders::make(path, Others::None)
}

/// Makes the folder of a service's configuration where it is missing. Refuses a folder or a file that somebody else could
/// have laid there, to have files read with the service's rights.
pub fn vouch_for(file: &Path) -> io::Result<()> {
    folders::vouch_for(file, Others::None)
}

/// Takes a folder from everybody but LocalSystem, the administrators and its owner.
pub fn close_folder(path: &Path) -> io::Result<()> {
    security::close(path)
}

/// Returns whether a file or folder, or a link itself, belongs to the owner of another one, to this process's user or to
/// one that may do everything anyhow.
pub fn belongs_alike(path: &Path, other: &Path) -> io::Result<bool> {
    let owner = owner_of(path)?;
    Ok(security::is_trusted(&owner) || owner == owner_of(other)?)
}

/// Makes the folder of a configuration file; a password may stand in it.
pub fn make_config_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() { Ok(()) } else { make_folder(path) }
}

/// Makes a file that is not there yet, through no link; a `mode` that lets no others read it closes it to them.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    match mode & 0o077 {
        0 => security::create_file(path),
        _ => OpenOptions::new().write(true).create_new(true).open(path),
    }
}

/// Does nothing: [`put_in_place`] keeps the permissions.
pub fn permit_as_before(_new: &File, _place: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Puts a file in its place, or in that of the one that is there, whose permissions it takes.
pub fn put_in_place(new: &Path, place: &Path) -> io::Result<()> {
    if place.exists() { files::replace(new, place) } else { fs::rename(new, place) }
}

/// Waits until the disk has the names in a folder: NTFS and ReFS have a journal for them and no call to wait for it.
pub fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a file that is not there yet that is written at its end. A handle that may only append may not cut.
pub fn create_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Cuts a file off; what is written then follows.
pub fn truncate(mut file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length)).map(drop)
}

/// Reads at a place.
pub fn read_at(file: &File, into: &mut [u8], from: u64) -> io::Result<usize> {
    match file.seek_read(into, from) {
        // ERROR_HANDLE_EOF
        Err(error) if error.raw_os_error() == Some(38) => Ok(0),
        read => read,
    }
}

/// Reads all of it at a place.
pub fn read_exact_at(file: &File, mut into: &mut [u8], mut from: u64) -> io::Result<()> {
    while !into.is_empty() {
        match read_at(file, into, from) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                into = into.get_mut(count..).unwrap_or_default();
                from += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the volume and the number of a file on it, of a path that is followed.
pub fn identity_at(path: &Path, _metadata: &Metadata) -> io::Result<(u64, u64)> {
    let options = &mut OpenOptions::new();
    files::identity(&options.access_mode(READ_ATTRIBUTES).custom_flags(FOLDERS_TOO).open(path)?)
}

/// Returns the volume and the number of an open file on it.
pub fn identity_of(file: &File, _metadata: &Metadata) -> io::Result<(u64, u64)> {
    files::identity(file)
}

/// Returns when a file was written to, by its own clock.
pub fn written(metadata: &Metadata) -> (i64, i64) {
    (metadata.last_write_time().cast_signed(), 0)
}

/// Returns where there is something else than a hole, from a place on; 0 if the disk does not say.
pub fn next_data(_file: &File, _from: u64) -> u64 {
    0
}

/// Returns what lies on the disk for a secret: sealed for this machine.
pub fn sealed(secret: &Secret) -> io::Result<Secret> {
    let bytes = secrets::seal(secret.expose().as_bytes())?;
    Ok(Secret::new(format!("{SEAL}\r\n{}\r\n", STANDARD.encode(bytes))))
}

/// Returns the secret that lies on the disk so. One that was never sealed is taken as it is.
pub fn unsealed(text: String) -> io::Result<String> {
    let Some(rest) = text.strip_prefix(SEAL) else { return Ok(text) };
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "the seal is damaged: write the secret anew");
    let bytes = STANDARD.decode(rest.trim()).map_err(wrong)?;
    let secret = secrets::unseal(&bytes).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it was sealed on another machine, or is damaged ({error}): write the secret anew"),
        )
    })?;
    String::from_utf8(secret).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

/// Returns what tells this machine from its clones, as far as one number can.
pub fn machine_id() -> Option<String> {
    machine::machine_guid()
}

/// Returns who owns a file, a folder or, where it is one, a link itself.
pub fn owner_of(path: &Path) -> io::Result<String> {
    folders::owner_of(path)
}

#[cfg(test)]
mod tests;
