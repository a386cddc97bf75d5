//! Binds sockets, and says what to change when one cannot be bound.

#[cfg_attr(unix, path = "bind/unix.rs")]
#[cfg_attr(windows, path = "bind/windows.rs")]
pub(super) mod local;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use super::Address;

/// What a UDP socket's receive buffer should have: half a second of 10,000 records a second and more.
pub(super) const LARGE_BUFFER: usize = 8 * 1024 * 1024;
/// Connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 256;

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
    local::enlarge(&socket, buffer)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let got = local::buffer(&socket)?;
    Ok((socket.into(), got))
}

/// Binds a TCP socket.
pub(super) fn tcp(address: SocketAddr, stacks: Stacks) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    one_or_both(&socket, address, stacks)?;
    local::take_over(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(local::lift(socket.into(), local::LISTENERS))
}

fn one_or_both(socket: &Socket, address: SocketAddr, stacks: Stacks) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => Ok(()),
        SocketAddr::V6(_) => socket.set_only_v6(stacks == Stacks::One),
    }
}
