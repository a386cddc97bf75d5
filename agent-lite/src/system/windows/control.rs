//! The control pipe: a named pipe of the state folder, for LocalSystem, the administrators and the agent's user on this
//! machine.

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
use ring::digest;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::windows::named_pipe::ClientOptions;
use tokio::net::windows::named_pipe::NamedPipeClient;
use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::runtime::Runtime;
use tokio::time;

/// ERROR_PIPE_BUSY: every instance has a caller.
const PIPE_BUSY: i32 = 231;
/// How long a caller waits for an instance.
const BUSY_AT_MOST: Duration = Duration::from_secs(2);
/// How often it tries.
const BUSY_AGAIN: Duration = Duration::from_millis(20);

/// A caller's connection, at the agent's end.
pub type Stream = NamedPipeServer;

/// Where callers come in.
#[derive(Debug)]
pub struct Listener {
    name: String,
    /// None: another program has a pipe of this name.
    waiting: Option<NamedPipeServer>,
}

/// A connection to the agent, at the caller's end.
#[derive(Debug)]
pub struct Call {
    pipe: NamedPipeClient,
    patience: Option<Duration>,
    runtime: Runtime,
}

/// Returns the name of the pipe of a state folder: pipes lie in no folder, so it holds a digest of the folder's path.
pub fn place(state: &Path) -> PathBuf {
    let path = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let digest = digest::digest(&digest::SHA256, path.to_string_lossy().to_lowercase().as_bytes());
    let first: u64 = digest.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
    PathBuf::from(format!(r"\\.\pipe\agent-lite-{first:016x}"))
}

impl Listener {
    /// Makes the pipe. One that is there is another program's, which every user can start: that must not keep the agent
    /// from collecting, so [`Listener::accept`] says it and tries again.
    pub fn bind(state: &Path) -> io::Result<Self> {
        let name = place(state).to_string_lossy().into_owned();
        let waiting = match pipe::listen(&name, Instance::First) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            made => Some(made?),
        };
        Ok(Self { name, waiting })
    }

    /// Waits for a caller. Dropped, it has lost nobody.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        let waiting = match &mut self.waiting {
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

/// Returns whether this caller may ask: the pipe lets nobody else in.
pub fn may_ask(_stream: &Stream) -> bool {
    true
}

impl Call {
    /// Calls the agent of this state folder. `patience` bounds each wait for an answer.
    pub fn begin(state: &Path, patience: Option<Duration>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let until = Instant::now() + BUSY_AT_MOST;
        let name = place(state);
        let pipe = runtime.block_on(async {
            loop {
                match ClientOptions::new().open(&name) {
                    Err(error) if error.raw_os_error() == Some(PIPE_BUSY) && Instant::now() < until => {
                        time::sleep(BUSY_AGAIN).await;
                    }
                    opened => return opened,
                }
            }
        })?;
        let owner = pipe::owner(&pipe)?;
        if !is_the_agents(&owner, state) {
            let text = format!(
                "the pipe {} belongs to the user {owner}, and the agent's folder to another: whoever made it is not the agent",
                name.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Self { pipe, patience, runtime })
    }
}

/// Every user may make a pipe of any name, and answer who calls the agent.
fn is_the_agents(owner: &str, state: &Path) -> bool {
    security::is_trusted(owner)
        || security::is_service(owner)
        || super::owner_of(state).is_ok_and(|folder| folder == owner)
}

impl Read for Call {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (pipe, patience) = (&mut self.pipe, self.patience);
        let read = self.runtime.block_on(async {
            match patience {
                Some(patience) => time::timeout(patience, pipe.read(into)).await?,
                None => pipe.read(into).await,
            }
        });
        match read {
            // What a pipe says where a socket ends.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }
}

impl Write for Call {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.runtime.block_on(self.pipe.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.pipe.flush())
    }
}
