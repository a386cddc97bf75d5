//! The agent under test: built once, run on a folder with its configuration, state and spool.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::Command;

use crate::patience::patiently;
use crate::process;
use crate::program;
use crate::record::Log;
use crate::record::Record;

/// Event: the agent has started.
pub const STARTED: u64 = 500;
/// Event: a source listens.
pub const LISTENING: u64 = 504;

const CONFIG: &str = "agent.toml";

/// The folder of one agent, which outlives its processes: `agent.toml`, `state`, `spool` and more files.
pub struct AgentHome {
    folder: TempDir,
    environment: Vec<(String, String)>,
    starter: Vec<String>,
}

/// What a command of the agent gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code.
    pub exit: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// A running agent. Dropping it kills the process, and tells what it said when the test panics.
pub struct Agent {
    child: Child,
    log: Log,
    listening: Vec<Listening>,
}

/// Where a source listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The source's name: `syslog.local`.
    pub source: String,
    /// `udp`, `tcp` or `unix`.
    pub kind: String,
    /// The address or path.
    pub place: String,
}

impl AgentHome {
    /// Makes a folder with this configuration; paths in it are relative to the folder.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Self { folder, environment: Vec::new(), starter: Vec::new() };
        home.write(CONFIG, config);
        home
    }

    /// Adds a variable to the environment of everything that is started from now on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets another program start the agent from now on: `ip netns exec NAME` and its like.
    pub fn start_by(&mut self, starter: &[&str]) {
        self.starter = starter.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the configuration file.
    pub fn config(&self) -> PathBuf {
        self.path().join(CONFIG)
    }

    /// Writes another configuration, for the next start or SIGHUP.
    pub fn reconfigure(&self, config: &str) {
        self.write(CONFIG, config);
    }

    /// Writes a file into the folder and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file in the agent's folder");
        path
    }

    /// Runs a command to its end: `agent-lite --config agent.toml ARGUMENTS`.
    pub async fn command(&self, arguments: &[&str]) -> Outcome {
        self.command_with(arguments, b"").await
    }

    /// The same, with this standard input.
    pub async fn command_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        self.run(program(), arguments, input).await
    }

    /// Starts a command that does not end by itself, and follows what it shows. It is killed when the child is
    /// dropped.
    pub fn start(&self, arguments: &[&str]) -> (Child, Log) {
        let mut child =
            self.prepare(program(), arguments).stdin(Stdio::null()).spawn().expect("the agent starts");
        let log = Log::default();
        tokio::spawn(log.clone().follow(child.stdout.take().expect("a piped output")));
        (child, log)
    }

    async fn run(&self, program: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut child =
            self.prepare(program, arguments).stdin(Stdio::piped()).spawn().expect("the agent starts");
        let mut stdin = child.stdin.take().expect("a piped input");
        // One that does not read its input may be gone already.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        let output =
            patiently("the command ends by itself", child.wait_with_output()).await.expect("an output");
        Outcome {
            exit: output.status.code().expect("an exit code"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn prepare(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut words = self.starter.iter().map(AsRef::as_ref).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .args(words)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .current_dir(self.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Returns how many addresses and sockets the syslog sources of the configuration name.
    fn listeners(&self) -> usize {
        let text = std::fs::read_to_string(self.config()).expect("a configuration");
        let names = |line: &&str| ["udp", "tcp", "unix"].iter().any(|kind| is_key(line, kind));
        let lines = text.lines().map(str::trim).filter(names);
        lines.map(|line| line.matches('"').count() / 2).sum()
    }
}

fn is_key(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

impl Agent {
    /// Starts `agent-lite run` and waits until it has started and all its sources listen.
    pub async fn start(home: &AgentHome) -> Self {
        Self::start_program(program(), home).await
    }

    /// Starts it and waits for nothing.
    pub fn spawn(home: &AgentHome) -> Self {
        Self::launch(program(), home)
    }

    async fn start_program(program: &Path, home: &AgentHome) -> Self {
        let mut agent = Self::launch(program, home);
        let listeners = home.listeners();
        agent.listening = agent
            .log
            .wait_for("the agent has started and listens", |log| {
                let records = log.records();
                let listening: Vec<Listening> = records.iter().filter_map(listening).collect();
                let started = records.iter().any(|record| record.event_id() == Some(STARTED));
                (started && listening.len() >= listeners).then_some(listening)
            })
            .await;
        agent
    }

    fn launch(program: &Path, home: &AgentHome) -> Self {
        let mut child =
            home.prepare(program, &["run"]).stdin(Stdio::null()).spawn().expect("the agent starts");
        let log = Log::default();
        tokio::spawn(log.clone().follow(child.stdout.take().expect("a piped output")));
        tokio::spawn(log.clone().follow(child.stderr.take().expect("a piped output")));
        Self { child, log, listening: Vec::new() }
    }

    /// Returns the number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running agent")
    }

    /// Returns the number of its process until its end was waited for.
    pub fn running(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns everything it says, on both outputs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns where its syslog sources listen, in the order in which it said so.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Returns the first UDP address.
    pub fn udp(&self) -> SocketAddr {
        self.first("udp").parse().expect("an address")
    }

    /// Returns the first TCP address.
    pub fn tcp(&self) -> SocketAddr {
        self.first("tcp").parse().expect("an address")
    }

    /// Returns the first unix socket.
    pub fn unix(&self) -> PathBuf {
        self.first("unix").into()
    }

    fn first(&self, kind: &str) -> &str {
        let found = self.listening.iter().find(|listening| listening.kind == kind);
        &found.unwrap_or_else(|| panic!("nothing listens by {kind}: {:?}", self.listening)).place
    }

    /// Returns the records of an event so far.
    pub fn events(&self, id: u64) -> Vec<Record> {
        self.log.records().into_iter().filter(|record| record.event_id() == Some(id)).collect()
    }

    /// Waits for the first record of an event.
    pub async fn wait_for_event(&self, id: u64) -> Record {
        self.wait_for_events(id, 1).await.remove(0)
    }

    /// Waits until there are so many records of an event.
    pub async fn wait_for_events(&self, id: u64, count: usize) -> Vec<Record> {
        let found = |_: &Log| Some(self.events(id)).filter(|events| events.len() >= count);
        self.log.wait_for(&format!("{count} times event {id}"), found).await
    }

    /// Returns the bytes of memory it has resident.
    pub fn resident_memory(&self) -> u64 {
        process::resident_memory(self.pid())
    }

    /// Returns the processor time it has used.
    pub fn processor_time(&self) -> Duration {
        process::processor_time(self.pid())
    }

    /// Kills it at once, with SIGKILL, and waits for its end.
    pub async fn kill9(&mut self) {
        let _ = self.child.start_kill();
        self.exit_status().await;
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends SIGHUP.
    pub async fn hang_up(&self) {
        self.signal("HUP").await;
    }

    /// Stops and continues it: SIGSTOP, SIGCONT.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("kill -{name} \"$0\""), &pid]);
        assert!(shell.status().await.expect("a shell").success(), "no signal could be sent");
    }

    /// Waits for the end of the process.
    pub async fn exit_status(&mut self) -> ExitStatus {
        patiently("the agent ends", self.child.wait()).await.expect("a status of our own child")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the agent said:\n{}\n---", self.log.lines().join("\n"));
        }
    }
}

fn listening(record: &Record) -> Option<Listening> {
    if record.event_id() != Some(LISTENING) {
        return None;
    }
    let (kind, place) = record.text("detail").split_once(' ')?;
    // A UDP socket also says how large its buffer is.
    let place = place.split_once(", ").map_or(place, |(place, _)| place);
    let (source, kind, place) = (record.text("place").to_owned(), kind.to_owned(), place.to_owned());
    ["udp", "tcp", "unix"].contains(&kind.as_str()).then_some(Listening { source, kind, place })
}

/// Returns the path of the program: the one that `AGENT_LITE_PROGRAM` names, or else the one the first
/// caller builds in the profile of the tests.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os("AGENT_LITE_PROGRAM").map(PathBuf::from);
    PROGRAM
        .get_or_init(|| named().or_else(|| program::build("agent-lite")))
        .as_deref()
        .expect("an agent that builds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;

    // No shell: it cannot trap what its starter ignored, as nohup ignores SIGHUP.
    const SCRIPT: &str = r#"#!/usr/bin/env python3
import os, signal, sys, time
if sys.argv[3] == "status":
    os.write(1, sys.stdin.buffer.read())
    os.write(2, b"bad\n")
    sys.exit(3)
signal.signal(signal.SIGHUP, lambda *_: os.write(1, b'{"event_id":502}\n'))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
os.write(1, b'{"event_id":500,"message":"the agent has started","place":"agent","detail":""}\n')
os.write(2, b'{"event_id":504,"place":"syslog.local","detail":"udp 127.0.0.1:9, receive buffer 8 KiB"}\n')
os.write(2, b'{"event_id":504,"place":"syslog.local","detail":"unix /run/s"}\n')
while True:
    time.sleep(0.01)
"#;

    #[tokio::test]
    async fn a_program_is_started_watched_signalled_killed_and_started_again() {
        let home = AgentHome::new("[source.syslog.local]\nudp = [\"127.0.0.1:0\"]\nunix = [\"s\"]\n");
        let script = home.write("script", SCRIPT);
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        let outcome = home.run(&script, &["status"], b"input").await;
        assert_eq!(outcome, Outcome { exit: 3, stdout: "input".to_owned(), stderr: "bad\n".to_owned() });
        let mut agent = Agent::start_program(&script, &home).await;
        assert_eq!((agent.udp().port(), agent.unix()), (9, PathBuf::from("/run/s")));
        assert!(agent.resident_memory() > 0);
        agent.hang_up().await;
        agent.wait_for_event(502).await;
        agent.kill9().await;
        assert_eq!(agent.exit_status().await.signal(), Some(9));
        let mut agent = Agent::start_program(&script, &home).await;
        agent.hang_up().await;
        agent.wait_for_event(502).await;
        agent.terminate().await;
        assert!(agent.exit_status().await.success());
    }
}
