//! What of sockets is Windows's own.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use socket2::Socket;

/// Windows has no numbers to choose.
pub(in super::super) const CONNECTIONS: i32 = 0;
pub(in super::super) const LISTENERS: i32 = 0;

/// A unix socket for datagrams: there are none.
pub(in super::super) struct UnixSocket(Infallible);

impl UnixSocket {
    pub(in super::super) fn socket(&self) -> &Infallible {
        &self.0
    }
}

/// Gives a socket a receive buffer. What is dropped for want of room Windows counts for the whole machine only.
pub(super) fn enlarge(socket: &Socket, buffer: usize) -> io::Result<()> {
    socket.set_recv_buffer_size(buffer)
}

/// Returns the bytes of a socket's receive buffer.
pub(super) fn buffer(socket: &Socket) -> io::Result<usize> {
    socket.recv_buffer_size()
}

/// Lets a socket take an address whose last connections are not forgotten yet: on Windows it may anyhow, and the option
/// of this name would let another program take the address from us.
pub(super) fn take_over(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Returns the socket as it is.
pub(in super::super) fn lift<S>(socket: S, _least: i32) -> S {
    socket
}

/// Fails: the configuration has refused it already.
pub(in super::super) fn unix(_path: &Path) -> io::Result<UnixSocket> {
    Err(io::ErrorKind::Unsupported.into())
}
