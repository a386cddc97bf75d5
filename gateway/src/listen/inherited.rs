//! Listening sockets that are there already: from systemd's socket activation, or from the gateway that
//! this one follows. A configured listener takes the socket of its address in place of binding one.

#[cfg_attr(unix, path = "inherited/unix.rs")]
#[cfg_attr(windows, path = "inherited/windows.rs")]
mod sockets;

use std::fmt;
use std::io;

use serde::Deserialize;
use serde::Serialize;

pub use self::sockets::Inherited;

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// CONNECT.
    Proxy,
    /// Metrics and health.
    Admin,
}

/// Who gave a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giver {
    /// systemd, which goes on holding it.
    Systemd,
    /// The gateway before this one.
    Predecessor,
}

/// Why a socket that was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// It is no listening stream socket.
    #[error("{giver} passed descriptor {number}, which is no listening TCP socket: {error}")]
    Unfit {
        /// Who passed it.
        giver: Giver,
        /// Which one, from 0 on.
        number: usize,
        /// What the system says.
        error: io::Error,
    },
    /// A successor could not take it over: systemd alone owns it.
    #[error(
        "systemd passes a unix socket at {0}; the control socket is made by the gateway itself and cannot come from \
         systemd, because a successor could not take it over: take it out of the socket unit"
    )]
    ControlSocket(String),
    /// No listener of the configuration has this address.
    #[error(
        "systemd passes a socket at {0}, but no `[[listener]]` or `[admin]` of the configuration is there; \
         add one, or take the address out of the socket unit"
    )]
    NotConfigured(String),
}

impl fmt::Display for Giver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::Predecessor => "the gateway before this one",
        })
    }
}
