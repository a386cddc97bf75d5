//! The launcher: a small child of the gateway that starts its successor.
//!
//! The sandbox forbids to start programs and is inherited, so the child is started before it closes. It
//! waits on a socket for one byte, and can do one thing: start the program in its place of before, which may
//! hold a newer one by now, with the same configuration. It ends with its gateway.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Child;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::info;
use tracing::warn;

use crate::events;

/// The command that is the launcher.
pub const COMMAND: &str = "launcher";
/// What asks it to start the successor.
const GO: u8 = b'\n';

/// The gateway's end of its launcher.
pub struct Launcher {
    stream: UnixStream,
}

impl Launcher {
    /// Starts the launcher. Called before the sandbox closes.
    pub fn start(config: Option<&Path>, control: &Path) -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("la-gateway").arg(COMMAND).arg(program()?).arg(control).args(config);
        command.stdin(Stdio::from(OwnedFd::from(far))).spawn()?;
        near.set_nonblocking(true)?;
        Ok(Self { stream: near })
    }

    #[cfg(test)]
    pub(super) fn of(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Splits it into what starts a successor, and what says how that went.
    pub(super) fn connect(self) -> io::Result<(OwnedWriteHalf, OwnedReadHalf)> {
        let (says, told) = tokio::net::UnixStream::from_std(self.stream)?.into_split();
        Ok((told, says))
    }
}

/// Asks for a successor.
pub(super) async fn go(launcher: &mut OwnedWriteHalf) -> io::Result<()> {
    launcher.write_all(&[GO]).await
}

/// Records what the launcher says.
pub(super) async fn record(says: OwnedReadHalf) {
    let mut lines = BufReader::new(says).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("started ") {
            Some(pid) => info!(event_id = events::HAND_OVER.0, pid, "hand-over: a successor is started"),
            None => warn!(event_id = events::HAND_OVER.0, "hand-over: {line}; this gateway goes on"),
        }
    }
}

/// Returns the path that this program was started by: behind a link the successor may lie.
fn program() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let named = env::args_os().next().map(PathBuf::from).filter(|named| named.components().count() > 1);
    let named = named.and_then(|named| std::path::absolute(named).ok());
    // In PATH, or in a place that the caller made up: what runs now is sure.
    Ok(named.filter(|named| identity(named).is_some() && identity(named) == identity(&own)).unwrap_or(own))
}

/// What the launcher starts.
pub struct Successor {
    /// The program.
    pub program: PathBuf,
    /// The control socket of the gateway that runs.
    pub control: PathBuf,
    /// The configuration file, if one was named.
    pub config: Option<PathBuf>,
}

impl Successor {
    /// Is the launcher, with the gateway on standard input: starts a successor whenever it is asked, and
    /// returns when the gateway has gone.
    pub async fn wait(self) -> io::Result<()> {
        // These signals are for the gateway; sent to all its processes, they must not end this one.
        let _heard = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::user_defined2()].map(signal);
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_nonblocking(true)?;
        let (mut orders, mut says) = tokio::net::UnixStream::from_std(stream)?.into_split();
        let mut child: Option<Child> = None;
        let mut order = [0];
        loop {
            let text = tokio::select! {
                read = orders.read(&mut order) => match read {
                    Ok(1) => self.answer(&mut child),
                    _ => return Ok(()),
                },
                ended = ended(&mut child) => ended,
            };
            says.write_all(format!("{text}\n").as_bytes()).await?;
        }
    }

    fn answer(&self, child: &mut Option<Child>) -> String {
        if let Some(id) = child.as_ref().and_then(Child::id) {
            return format!("process {id} is starting already; end it if it hangs");
        }
        let mut take_over = OsString::from("--take-over=");
        take_over.push(&self.control);
        let mut command = tokio::process::Command::new(&self.program);
        command.args(self.config.iter().flat_map(|file| [Path::new("--config"), file]));
        command.arg("run").arg(take_over).stdin(Stdio::null());
        // systemd watches its main process by this number, and the successor will be that process.
        command.env_remove("WATCHDOG_PID");
        match command.spawn() {
            Ok(started) => {
                let text = format!("started {}", started.id().unwrap_or_default());
                *child = Some(started);
                text
            }
            Err(error) => {
                format!("{} cannot be started: {error}; put the program there", self.program.display())
            }
        }
    }
}

/// Waits for the end of the successor: it ended before the gateway did, so it has not taken over.
async fn ended(child: &mut Option<Child>) -> String {
    let Some(started) = child else { return std::future::pending().await };
    let status = started.wait().await;
    *child = None;
    match status {
        Ok(status) => format!("the successor ended with {status}; its standard error says why"),
        Err(error) => format!("the successor is lost: {error}"),
    }
}
