//! What of sockets is Linux's own: unix sockets, receive buffers, and which descriptors sockets have.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use socket2::Socket;

/// The least descriptors of connections and of what they come to, see [`lift`].
pub(in super::super) const CONNECTIONS: RawFd = 512;
pub(in super::super) const LISTENERS: RawFd = 1024;

/// A unix socket whose file goes when it does.
pub(in super::super) struct UnixSocket {
    socket: UnixDatagram,
    path: PathBuf,
    identity: (u64, u64),
}

/// Gives a socket a receive buffer, and lets it say what was dropped for want of room.
pub(super) fn enlarge(socket: &Socket, buffer: usize) -> io::Result<()> {
    // Without CAP_NET_ADMIN net.core.rmem_max is the limit.
    if setsockopt(socket, sockopt::RcvBufForce, &buffer).is_err() {
        socket.set_recv_buffer_size(buffer)?;
    }
    Ok(setsockopt(socket, sockopt::RxqOvfl, &1)?)
}

/// Returns the bytes of a socket's receive buffer.
pub(super) fn buffer(socket: &Socket) -> io::Result<usize> {
    // Linux says twice what was asked for (socket(7)).
    Ok(socket.recv_buffer_size()? / 2)
}

/// Lets a socket take an address whose last connections are not forgotten yet.
pub(super) fn take_over(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Gives a socket a descriptor of at least this number, if the limit allows. Linux closes those of a killed process from
/// the last one down, and takes some 20 ms for one of inotify: what a sender writes to a socket that is still open then
/// is lost. So nobody can connect any more before connections end, and they end before anything else.
pub(in super::super) fn lift<S: AsFd + From<OwnedFd>>(socket: S, least: RawFd) -> S {
    match rustix::io::fcntl_dupfd_cloexec(&socket, least) {
        Ok(lifted) => lifted.into(),
        Err(_) => socket,
    }
}

/// Binds a unix socket that everybody may write to. A socket nobody listens at is replaced; nothing else is.
pub(in super::super) fn unix(path: &Path) -> io::Result<UnixSocket> {
    if let Ok(found) = fs::symlink_metadata(path) {
        let taken = |what| io::Error::new(io::ErrorKind::AlreadyExists, what);
        if !found.file_type().is_socket() {
            return Err(taken("there is a file that is no socket"));
        }
        match UnixDatagram::unbound()?.connect(path) {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(other) => return Err(other),
            Ok(()) => return Err(taken("another program listens there")),
        }
    }
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    let identity = identity(path)?;
    let bound = UnixSocket { socket, path: path.to_owned(), identity };
    open_to_all(path)?;
    Ok(bound)
}

/// Lets everybody write to a socket. The folder may be another user's: what he puts in its place meanwhile is no
/// socket, or a link, and stays as it is.
fn open_to_all(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !held.metadata()?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "somebody put something else there"));
    }
    let held = format!("/proc/self/fd/{}", held.as_raw_fd());
    fs::set_permissions(held, fs::Permissions::from_mode(0o666))
}

impl UnixSocket {
    pub(in super::super) fn socket(&self) -> &UnixDatagram {
        &self.socket
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_is_opened_to_all() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, real) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("real"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open_to_all(&file).is_err() && open_to_all(&link).is_err());
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let _socket = UnixDatagram::bind(&real).unwrap();
        open_to_all(&real).unwrap();
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o666);
    }
}
