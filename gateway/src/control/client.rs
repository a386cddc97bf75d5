//! The other end of the control socket: what `status`, `reload`, `drain` and a successor say to it.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::socket;
use super::wire;
use super::wire::LONGEST_ANSWER;
use super::wire::Word;

/// Longest wait for an answer: a reload reads files and hashes.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no gateway answers on {path}: {error}; does it run, and is this its `[control] socket`?")]
    Nobody {
        /// The socket.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The socket is not for the caller.
    #[error("{path}: {}", socket::FOR_WHOM)]
    Forbidden {
        /// The socket.
        path: String,
    },
    /// Somebody else is there.
    #[error(
        "{path} is answered by user {user}, which is neither the system's nor you; nothing was said to it"
    )]
    Stranger {
        /// The socket.
        path: String,
        /// Who.
        user: String,
    },
    /// It broke off.
    #[error("the gateway broke off: {0}")]
    Broken(#[from] io::Error),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Asks a running gateway, and returns its answer.
pub fn ask(path: &Path, word: Word) -> Result<Value, ClientError> {
    let mut stream = socket::connect(path)?;
    // One that refuses may have answered and closed already.
    let sent = stream.write_all(word.line().as_bytes());
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        sent?;
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    wire::read_answer(&line).map_err(ClientError::Refused)
}
