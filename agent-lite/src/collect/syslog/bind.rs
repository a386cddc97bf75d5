//! Binds sockets, and says what to change when one cannot be bound.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
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
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use super::Address;

/// What a UDP socket's receive buffer should have: half a second of 10,000 records a second and more.
pub(super) const LARGE_BUFFER: usize = 8 * 1024 * 1024;
/// The least descriptors of connections and of what they come to, see [`lift`].
pub(super) const CONNECTIONS: RawFd = 512;
const LISTENERS: RawFd = 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;

/// An address that cannot be listened at, or no longer.
#[derive(Debug)]
pub(super) struct BindError {
    address: Address,
    source: io::Error,
}

/// Whether a socket at an IPv6 address takes IPv4, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stacks {
    One,
    Both,
}

/// The size of a receive buffer, as text.
pub(super) struct Room(pub(super) usize);

/// A unix socket whose file goes when it does.
pub(super) struct UnixSocket {
    socket: UnixDatagram,
    path: PathBuf,
    identity: (u64, u64),
}

impl BindError {
    pub(super) fn new(address: &Address, source: io::Error) -> Self {
        Self { address: address.clone(), source }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, port) = match &self.address {
            Address::Udp(address, _) => ("udp", Some(address.port())),
            Address::Tcp(address, _) => ("tcp", Some(address.port())),
            Address::Unix(_) => ("unix", None),
        };
        match &self.address {
            Address::Udp(address, _) | Address::Tcp(address, _) => write!(f, "{key} {address}: ")?,
            Address::Unix(path) => write!(f, "{key} {}: ", path.display())?,
        }
        write!(f, "{}; ", self.source)?;
        match (self.source.kind(), port) {
            (io::ErrorKind::AddrInUse, Some(_)) => {
                write!(f, "another program listens there: stop it, or change `{key}`")
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                write!(f, "no interface has this address: change `{key}`")
            }
            (io::ErrorKind::PermissionDenied, Some(1..=1023)) => write!(
                f,
                "a port below 1024 needs CAP_NET_BIND_SERVICE: give it to the service, or change `{key}`"
            ),
            (io::ErrorKind::NotFound, None) => write!(f, "make its folder, or change `{key}`"),
            _ => write!(f, "change `{key}`"),
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receive buffer {} KiB", self.0 / 1024)?;
        if self.0 < LARGE_BUFFER {
            write!(f, " of {}: raise net.core.rmem_max, or bursts may be lost", LARGE_BUFFER / 1024)?;
        }
        Ok(())
    }
}

impl Stacks {
    /// Returns what an address needs so that no other of the list is in its way.
    pub(super) fn of(address: SocketAddr, all: &[SocketAddr]) -> Self {
        let other = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        if all.iter().any(other) { Self::One } else { Self::Both }
    }
}

/// Binds a UDP socket; returns it and the bytes its receive buffer got.
pub(super) fn udp(address: SocketAddr, stacks: Stacks, buffer: usize) -> io::Result<(UdpSocket, usize)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    one_or_both(&socket, address, stacks)?;
    // Without CAP_NET_ADMIN net.core.rmem_max is the limit.
    if setsockopt(&socket, sockopt::RcvBufForce, &buffer).is_err() {
        socket.set_recv_buffer_size(buffer)?;
    }
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Linux says twice what was asked for (socket(7)).
    let got = socket.recv_buffer_size()? / 2;
    Ok((socket.into(), got))
}

/// Binds a TCP socket.
pub(super) fn tcp(address: SocketAddr, stacks: Stacks) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    one_or_both(&socket, address, stacks)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(lift(socket.into(), LISTENERS))
}

/// Gives a socket a descriptor of at least this number, if the limit allows. Linux closes those of a killed process from
/// the last one down, and takes some 20 ms for one of inotify: what a sender writes to a socket that is still open then
/// is lost. So nobody can connect any more before connections end, and they end before anything else.
pub(super) fn lift<S: AsFd + From<OwnedFd>>(socket: S, least: RawFd) -> S {
    match rustix::io::fcntl_dupfd_cloexec(&socket, least) {
        Ok(lifted) => lifted.into(),
        Err(_) => socket,
    }
}

fn one_or_both(socket: &Socket, address: SocketAddr, stacks: Stacks) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => Ok(()),
        SocketAddr::V6(_) => socket.set_only_v6(stacks == Stacks::One),
    }
}

/// Binds a unix socket that everybody may write to. A socket nobody listens at is replaced; nothing else is.
pub(super) fn unix(path: &Path) -> io::Result<UnixSocket> {
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
    pub(super) fn socket(&self) -> &UnixDatagram {
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
