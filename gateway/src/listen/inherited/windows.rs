//! On Windows nobody passes listening sockets.

use std::net::SocketAddr;
use std::net::TcpListener;

use super::Giver;
use super::InheritError;
use super::Kind;

/// Sockets that were passed: none.
#[derive(Default)]
pub struct Inherited(());

impl Inherited {
    /// Returns none.
    pub fn of_systemd() -> Result<Self, InheritError> {
        Ok(Self(()))
    }

    /// Returns none, for any listener.
    pub fn take(&mut self, _kind: Kind, _asked: SocketAddr) -> Option<(TcpListener, Giver)> {
        None
    }

    /// Has nothing to close.
    pub fn finish(self) -> Result<Vec<SocketAddr>, InheritError> {
        Ok(Vec::new())
    }
}
