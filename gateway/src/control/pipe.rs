//! The control pipe: a named pipe for LocalSystem, administrators and the gateway's own user, of this machine only.

use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use agent_lite_windows::pipe;
use agent_lite_windows::pipe::Instance;
use agent_lite_windows::security;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::windows::named_pipe::ClientOptions;
use tokio::net::windows::named_pipe::NamedPipeClient;
use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time;

use super::client::ClientError;
use super::client::PATIENCE;
use crate::config::ControlSocket;
use crate::listen::inherited::Inherited;
use crate::system;

/// What a caller is told who may not connect.
pub(super) const FOR_WHOM: &str =
    "only administrators and the gateway's own user are answered; use a console of an administrator";
/// What the name of every pipe of this machine begins with.
const PIPES: &str = r"\\.\pipe\";
/// ERROR_PIPE_BUSY: every instance has a caller.
const PIPE_BUSY: i32 = 231;
/// How long a caller waits for an instance, and how often it tries.
const BUSY_AT_MOST: Duration = Duration::from_secs(2);
const BUSY_AGAIN: Duration = Duration::from_millis(20);

/// Why there is no control pipe.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The name is no pipe's.
    #[error(r"{0} is no pipe; write `[control] socket` as '\\.\pipe\NAME', or leave it out")]
    Other(String),
}

/// A control pipe's name, twice: the pipe is made within the runtime.
pub type Placed = (PathBuf, PathBuf);

/// Returns the name of the configured pipe.
pub fn open(
    configured: &ControlSocket,
    _inherited: &mut Inherited,
) -> Result<(Option<Placed>, Option<String>), SocketError> {
    let name = match configured {
        ControlSocket::Off => return Ok((None, None)),
        ControlSocket::Usual => system::usual_control_socket(),
        ControlSocket::At(name) => name.clone(),
    };
    match name.to_string_lossy().starts_with(PIPES) {
        true => Ok((Some((name.clone(), name)), None)),
        false => Err(SocketError::Other(name.display().to_string())),
    }
}

/// Where callers come in.
#[derive(Debug)]
pub struct Listener {
    name: String,
    /// None: another program has a pipe of this name.
    waiting: Mutex<Option<NamedPipeServer>>,
}

/// Makes the pipe. One that is there is another program's, which every user can start: that must not keep the gateway
/// from serving, so [`Listener::accept`] says it and tries again.
pub fn begin(name: PathBuf) -> io::Result<Listener> {
    let name = name.to_string_lossy().into_owned();
    let waiting = match pipe::listen(&name, Instance::First) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        made => Some(made?),
    };
    Ok(Listener { name, waiting: Mutex::new(waiting) })
}

impl Listener {
    /// Waits for a caller. Dropped, it has lost nobody.
    pub(super) async fn accept(&self) -> io::Result<NamedPipeServer> {
        let mut place = self.waiting.lock().await;
        let waiting = match &mut *place {
            Some(waiting) => waiting,
            none => {
                let taken = |error| {
                    let text = format!("another program has a pipe of the name {}: {error}", self.name);
                    io::Error::new(io::ErrorKind::AddrInUse, text)
                };
                none.insert(pipe::listen(&self.name, Instance::First).map_err(taken)?)
            }
        };
        if let Err(error) = waiting.connect().await {
            // A caller who was gone before leaves an instance that nobody else can have.
            waiting.disconnect()?;
            return Err(error);
        }
        // There is always one for the next caller before this one is served.
        let next = pipe::listen(&self.name, Instance::Next)?;
        Ok(std::mem::replace(waiting, next))
    }
}

/// A connection to the gateway, at the caller's end.
pub(super) struct Call {
    pipe: NamedPipeClient,
    runtime: Runtime,
}

/// Connects, and looks who is there: every user may make a pipe of any name, and answer who calls the gateway.
pub(super) fn connect(path: &Path) -> Result<Call, ClientError> {
    let shown = || path.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let until = Instant::now() + BUSY_AT_MOST;
    let pipe = runtime.block_on(async {
        loop {
            match ClientOptions::new().open(path) {
                Err(error) if error.raw_os_error() == Some(PIPE_BUSY) && Instant::now() < until => {
                    time::sleep(BUSY_AGAIN).await;
                }
                opened => return opened,
            }
        }
    });
    let pipe = pipe.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { path: shown() },
        _ => ClientError::Nobody { path: shown(), error },
    })?;
    let user = pipe::owner(&pipe)?;
    if !security::is_trusted(&user) && !security::is_service(&user) {
        return Err(ClientError::Stranger { path: shown(), user });
    }
    Ok(Call { pipe, runtime })
}

impl Read for Call {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let pipe = &mut self.pipe;
        let read = self.runtime.block_on(async { time::timeout(PATIENCE, pipe.read(into)).await })?;
        match read {
            // What a pipe says where a socket ends.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }
}

impl Write for Call {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pipe = &mut self.pipe;
        self.runtime.block_on(async { time::timeout(PATIENCE, pipe.write(bytes)).await })?
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.pipe.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_pipes_is_refused_with_what_to_write() {
        let open = |name: &str| open(&ControlSocket::At(name.into()), &mut Inherited::default());
        assert!(open(r"\\.\pipe\edge").is_ok());
        let error = open(r"C:\ProgramData\control.sock").expect_err("no pipe").to_string();
        assert!(error.contains(r"'\\.\pipe\NAME'"), "{error}");
    }
}
