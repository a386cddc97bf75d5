//! A gateway of the run: started, killed, upgraded, and asked what it has open.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use end_to_end::config::Config;
use end_to_end::metrics::Metrics;
use end_to_end::network::Network;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::alive;
use crate::processes::signal;

/// The user that gateways run as: nobody else has this number.
const USER: u32 = 64_321;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a start or a hand-over may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long an answer of the admin listener may take.
const ANSWER: Duration = Duration::from_secs(5);

/// One gateway, whichever process it is at the moment.
pub(crate) struct Gate {
    pub(crate) host: &'static str,
    network: Arc<Network>,
    program: PathBuf,
    folder: TempDir,
    config: Config,
    child: Option<Child>,
    pid: u32,
    starts: u64,
}

impl Gate {
    /// Writes everything and starts nothing. The program must be one that everybody may run.
    pub(crate) fn new(network: &Arc<Network>, host: &'static str, program: &Path, config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        config.write(folder.path());
        own(folder.path());
        let (network, program) = (Arc::clone(network), program.to_owned());
        Self { host, network, program, folder, config, child: None, pid: 0, starts: 0 }
    }

    /// Returns its present process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns how often it was started.
    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }

    /// Returns whether its process runs.
    pub(crate) fn runs(&self) -> bool {
        alive(self.pid)
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        self.reap();
        let begin = self.said().len();
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(self.log());
        let (output, errors) = (open().expect("a log"), open().expect("a log"));
        let mut words = self.network.starter(self.host);
        let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
        words.extend(["setpriv".to_owned(), user, group, "--clear-groups".to_owned()]);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(&self.program)
            .arg("--config")
            .arg(self.folder.path().join("gateway.toml"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().expect("a gateway starts");
        self.pid = child.id();
        self.child = Some(child);
        self.starts += 1;
        let listens = |line: &str| line.contains("\"listening\"") && line.contains("\"kind\":\"admin\"");
        let until = Instant::now() + PATIENCE;
        while !self.said().get(begin..).unwrap_or_default().lines().any(listens) {
            if Instant::now() > until || !self.runs() {
                return Err(format!("{} does not start: {}", self.host, self.last_words()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Sends a signal to its present process.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Waits until its present process has ended.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while self.runs() {
            self.reap();
            if Instant::now() > until {
                return Err(format!("{} does not end: {}", self.host, self.last_words()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.reap();
        Ok(())
    }

    /// Lets a new program take over, and waits until the old one has gone.
    pub(crate) async fn upgrade(&mut self) -> Result<(), String> {
        let begin = self.said().len();
        self.signal("USR2");
        let started = |line: &str| {
            let record: Value = serde_json::from_str(line).ok()?;
            let of = record.get("message")?.as_str()? == "hand-over: a successor is started";
            let pid = record.get("pid")?;
            of.then(|| pid.as_u64().or_else(|| pid.as_str()?.parse().ok()))?
        };
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let successor = said.get(begin..).unwrap_or_default().lines().find_map(started);
            if let (Some(pid), false) = (successor, self.runs()) {
                self.reap();
                self.pid = pid as u32;
                self.starts += 1;
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{} is not taken over: {}", self.host, self.last_words()));
            }
            self.reap();
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Writes another configuration file, which may be wrong.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("gateway.toml"), text).expect("our own file");
        own(self.folder.path());
    }

    /// Writes the right configuration again.
    pub(crate) fn restore(&self) {
        self.config.write(self.folder.path());
        own(self.folder.path());
    }

    /// Scrapes the metrics.
    pub(crate) fn metrics(&self) -> Result<Metrics, String> {
        let text = self.network.enter(self.host, || get("127.0.0.1:9180", "/metrics"));
        let text = text.map_err(|error| format!("{}: no metrics: {error}", self.host))?;
        let (_, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {text}"))?;
        Ok(Metrics::parse(body))
    }

    /// Returns everything it has said.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// Returns the last lines it has said.
    pub(crate) fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("gateway.log")
    }

    /// Waits for a child that has ended, so that it is gone.
    fn reap(&mut self) {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(Some(_)))
        {
            self.child = None;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        signal(self.pid, "KILL");
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

fn own(folder: &Path) {
    std::os::unix::fs::chown(folder, Some(USER), Some(USER)).expect("root's right");
    for entry in std::fs::read_dir(folder).expect("our own folder").flatten() {
        std::os::unix::fs::chown(entry.path(), Some(USER), Some(USER)).expect("root's right");
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().expect("an address"), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
