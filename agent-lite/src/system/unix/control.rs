//! The control socket: a unix socket in the state folder, for its owner and root.

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::net::UnixStream;

/// A caller's connection, at the agent's end.
pub type Stream = UnixStream;

/// Where callers come in; its file goes when it does.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

/// A connection to the agent, at the caller's end.
#[derive(Debug)]
pub struct Call(std::os::unix::net::UnixStream);

/// Returns where the socket of a state folder is.
pub fn place(state: &Path) -> PathBuf {
    state.join("control.sock")
}

impl Listener {
    /// Binds the socket; one that a dead agent left is replaced.
    pub fn bind(state: &Path) -> io::Result<Self> {
        let path = place(state);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { socket, path })
    }

    /// Waits for a caller. Dropped, it has lost nobody.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns whether this caller may ask.
pub fn may_ask(stream: &Stream) -> bool {
    let own = rustix::process::getuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

impl Call {
    /// Calls the agent of this state folder. `patience` bounds each wait for an answer.
    pub fn begin(state: &Path, patience: Option<Duration>) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::connect(place(state))?;
        stream.set_read_timeout(patience)?;
        Ok(Self(stream))
    }
}

impl Read for Call {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Call {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
