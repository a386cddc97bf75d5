//! The control socket's file: made for its owner alone, and put in the place of a dead one only.

use std::fs;
use std::io;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::fchmod;
use rustix::fs::flock;
use rustix::fs::open as open_file;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;

use super::client::ClientError;
use super::client::PATIENCE;
use crate::config::ControlSocket;
use crate::listen::inherited::Inherited;
use crate::system;

/// What a caller is told who may not connect.
pub(super) const FOR_WHOM: &str = "only root and the gateway's own user are answered; use sudo";
/// Its owner reads and writes, and nobody else.
const OWNER_ONLY: u32 = 0o600;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Longest wait for another gateway that makes its socket in the same place, and the pause between two looks.
const LOCKED: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers on it.
    #[error(
        "a gateway answers on {0} already; take it over with `run --take-over`, or give this one another `[control] socket`"
    )]
    Answered(String),
    /// Something else has its name.
    #[error("{0} is no socket; name another place in `[control] socket`")]
    Other(String),
    /// Somebody holds its lock.
    #[error("another process holds {0}; end it, or name another place in `[control] socket`")]
    Locked(String),
    /// The system refuses.
    #[error(
        "cannot make the control socket {path}: {error}; name another place in `[control] socket`, or \"off\""
    )]
    System {
        /// Where.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

/// A control socket, and where it is.
pub type Placed = (UnixListener, PathBuf);

/// A control socket of this runtime.
pub type Listener = tokio::net::UnixListener;

/// Gives a control socket to this runtime.
pub fn begin(listener: UnixListener) -> io::Result<Listener> {
    Listener::from_std(listener)
}

/// Takes the configured socket from who passed it, or makes it. Where none is named, a gateway does without one
/// if there is no place for it, and the text says so.
pub fn open(
    configured: &ControlSocket,
    inherited: &mut Inherited,
) -> Result<(Option<Placed>, Option<String>), SocketError> {
    let usual = system::usual_control_socket();
    let (path, is_usual) = match configured {
        ControlSocket::Off => return Ok((None, None)),
        ControlSocket::Usual => (usual.as_path(), true),
        ControlSocket::At(path) => (path.as_path(), false),
    };
    let path = std::path::absolute(path)
        .map_err(|error| SocketError::System { path: path.display().to_string(), error })?;
    if let Some(listener) = inherited.take_control(&path) {
        return Ok((Some((listener, path)), None));
    }
    match bind(&path) {
        Ok(listener) => Ok((Some((listener, path)), None)),
        Err(error) if is_usual => Ok((None, Some(error.to_string()))),
        Err(error) => Err(error),
    }
}

/// Makes the socket.
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let shown = || path.display().to_string();
    let fail = |error| SocketError::System { path: shown(), error };
    // Two gateways that start at once look and replace one after the other.
    let _lock = lock(path, LOCKED)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::Other(shown())),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(fail)?;
            }
            Ok(_) => return Err(SocketError::Answered(shown())),
            Err(error) => return Err(fail(error)),
        },
    }
    make(path).map_err(fail)
}

/// Waits for a file of our own beside the socket: what others can open they could hold for ever.
fn lock(path: &Path, patience: Duration) -> Result<OwnedFd, SocketError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let shown = || Path::new(&beside).display().to_string();
    let fail = |error: Errno| SocketError::System { path: path.display().to_string(), error: error.into() };
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open_file(Path::new(&beside), flags, Mode::from_raw_mode(OWNER_ONLY)).map_err(fail)?;
    let mut left = patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) if !left.is_zero() => {
                sleep(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(SocketError::Locked(shown())),
            Err(error) => return Err(fail(error)),
        }
    }
}

/// The file gets the mode that the socket has before it is bound, so it is never open to others.
fn make(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::from_raw_mode(OWNER_ONLY))?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects, and looks who is there: a gateway of root's or of the caller's own; root may ask anybody's.
pub fn connect(path: &Path) -> Result<UnixStream, ClientError> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: path.display().to_string() },
        _ => ClientError::Nobody { path: path.display().to_string(), error },
    })?;
    let uid = socket_peercred(&stream).map_err(io::Error::from)?.uid;
    let own = geteuid();
    if !uid.is_root() && uid != own && !own.is_root() {
        return Err(ClientError::Stranger {
            path: path.display().to_string(),
            user: uid.as_raw().to_string(),
        });
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_its_owners_alone_replaces_a_dead_one_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let first = bind(&path).expect("bound");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(bind(&path), Err(SocketError::Answered(_))));
        drop(first);
        let second = bind(&path).expect("nobody answers on the old one");
        drop(second);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "a file").expect("written");
        assert!(matches!(bind(&path), Err(SocketError::Other(_))));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "a file");
        let error = bind(&folder.path().join("no/folder.sock")).expect_err("no folder").to_string();
        assert!(error.contains("[control] socket"), "{error}");
    }

    #[test]
    fn who_holds_the_folder_keeps_nobody_waiting_and_who_holds_the_lock_not_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let anybodys = fs::File::open(folder.path()).expect("opened");
        flock(&anybodys, FlockOperation::LockExclusive).expect("locked");
        let _bound = bind(&path).expect("bound all the same");
        let mode = fs::metadata(folder.path().join("control.sock.lock")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let _held = lock(&path, Duration::ZERO).expect("free");
        let error = lock(&path, PAUSE).expect_err("it is held").to_string();
        assert!(error.contains("control.sock.lock") && error.contains("[control] socket"), "{error}");
        let other = folder.path().join("other.sock");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), other.with_extension("sock.lock"))
            .expect("a link");
        assert!(matches!(bind(&other), Err(SocketError::System { .. })), "no link is followed");
        assert!(!folder.path().join("elsewhere").exists());
    }
}
