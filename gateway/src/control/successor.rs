//! A successor's side of a hand-over: asks the running gateway for its sockets, and later says READY.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_domain;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::client::ClientError;
use super::pass;
use super::pass::HandedOver;
use super::pass::Passed;
use super::socket;
use super::wire;
use super::wire::Word;
use crate::listen::inherited::Giver;
use crate::listen::inherited::Inherited;

/// What a successor says once it can serve.
pub(super) const READY: &[u8] = b"{\"version\":1,\"ready\":true}\n";
/// Longest wait for the word to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest line of that word.
const LONGEST_WORD: usize = 4 * 1024;

/// The gateway that runs now, and has passed its sockets.
pub struct Predecessor {
    stream: UnixStream,
    /// Its process, as it says; the kernel knows who made the socket, which may be a gateway before it.
    pub pid: u32,
}

impl Predecessor {
    /// Asks the gateway behind this control socket for its listening sockets.
    pub fn ask(path: &Path, inherited: &mut Inherited) -> Result<Self, ClientError> {
        let stream = socket::connect(path)?;
        let peer = socket_peercred(&stream).map_err(io::Error::from)?;
        if peer.uid != geteuid() {
            let text = format!(
                "the gateway on {} runs as user {}; start its successor as the same user",
                path.display(),
                peer.uid.as_raw()
            );
            return Err(ClientError::Refused(text));
        }
        io::Write::write_all(&mut &stream, Word::HandOver.line().as_bytes())?;
        let (line, sockets) = pass::receive(&stream)?;
        let answer = wire::read_answer(&line).map_err(ClientError::Refused)?;
        let HandedOver { pid, sockets: passed } =
            serde_json::from_value(answer).map_err(|error| wrong(&error.to_string()))?;
        if passed.len() != sockets.len() {
            return Err(wrong("not as many sockets as it says").into());
        }
        for (passed, socket) in passed.into_iter().zip(sockets) {
            take(inherited, passed, socket)?;
        }
        Ok(Self { stream, pid })
    }

    /// Says that this gateway is ready, and waits for the word to begin. A predecessor that died meanwhile
    /// leaves its place free.
    pub async fn ready(self) -> Result<(), ClientError> {
        self.stream.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(self.stream)?;
        let word = async {
            stream.write_all(READY).await?;
            wire::read_line(&mut stream, LONGEST_WORD).await
        };
        match timeout(PATIENCE, word).await {
            Ok(Ok(line)) => wire::read_answer(&line).map(drop).map_err(ClientError::Refused),
            Ok(Err(error)) if is_gone(&error) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(wrong("it gives no word to begin").into()),
        }
    }
}

fn take(inherited: &mut Inherited, passed: Passed, socket: OwnedFd) -> Result<(), ClientError> {
    let domain = socket_domain(&socket).map_err(io::Error::from)?;
    let is_unix = domain == rustix::net::AddressFamily::UNIX;
    match passed {
        Passed::Control if is_unix => {
            inherited.add_control(UnixListener::from(socket))?;
        }
        Passed::Listener { kind, asked } if !is_unix => {
            inherited.add(socket.into(), Some((kind, asked)), Giver::Predecessor)?;
        }
        _ => return Err(wrong("a socket is not what it is said to be").into()),
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::BrokenPipe;
    use io::ErrorKind::ConnectionReset;
    use io::ErrorKind::UnexpectedEof;
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the running gateway's answer is wrong: {text}"))
}
