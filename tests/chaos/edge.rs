//! An agent of the run: its folder with a small disk for the queue, its processes, and what they have counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use end_to_end::agent::Agent;
use end_to_end::agent::AgentHome;
use end_to_end::agent::LISTENING;
use serde_json::Value;

use crate::load::Place;
use crate::load::Series;
use crate::load::Way;
use crate::load::least_bytes;
use crate::processes::alive;
use crate::processes::signal;
use crate::processes::unread;

/// How long ago what was handed over may still be on its way into the queue when the agent is killed: read, and not
/// written. Longer only while the queue is full.
const ON_ITS_WAY: Duration = Duration::from_millis(1000);
/// How often an agent with little memory is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a sender that is stuck in a write is waited for.
const STUCK: Duration = Duration::from_secs(2);
/// The agent's queue: a disk of so much, of which it may use so much.
const DISK: &str = "12m";
const CAP: &str = "8MiB";
/// Warnings and errors that are kept of each agent.
const KEPT: usize = 12;
const BALLAST: &str = "ballast";

/// What happens when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Block,
    DropOldest,
}

/// Records that may be gone because the agent ended: a series, and numbers of it.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// How it ended: by which signal, or by the kernel for want of memory.
    pub(crate) how: &'static str,
    pub(crate) series: String,
    pub(crate) numbers: Range<u64>,
}

/// One agent, whichever process it is at the moment.
pub(crate) struct Edge {
    pub(crate) number: usize,
    pub(crate) home: AgentHome,
    pub(crate) series: Vec<Arc<Series>>,
    pub(crate) when_full: WhenFull,
    /// Whether its clock can be set.
    pub(crate) clock: bool,
    pub(crate) hits: Vec<Hit>,
    pub(crate) starts: u64,
    agent: Option<Agent>,
    /// Losses of the processes that have ended.
    ended: BTreeMap<String, u64>,
    /// Losses of the present one, as last seen.
    present: BTreeMap<String, u64>,
    config: String,
    rotations: usize,
    /// Warnings and errors of the processes that have ended.
    said: Vec<String>,
}

impl Edge {
    /// Makes its folders, and mounts the disk of its queue.
    pub(crate) fn new(
        number: usize,
        home: AgentHome,
        config: String,
        when_full: WhenFull,
        clock: bool,
    ) -> Self {
        let series = [Way::Tcp, Way::Udp, Way::File].map(|way| Series::new(number, way)).to_vec();
        for folder in ["logs", "disk"] {
            std::fs::create_dir(home.path().join(folder)).expect("a folder of our own");
        }
        let options = format!("size={DISK},mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(home.path().join("disk"));
        assert!(mount.status().expect("mount starts").success(), "a disk for a queue could not be mounted");
        home.reconfigure(&config);
        Self {
            number,
            home,
            series,
            when_full,
            clock,
            hits: Vec::new(),
            starts: 0,
            agent: None,
            ended: BTreeMap::new(),
            present: BTreeMap::new(),
            config,
            rotations: 0,
            said: Vec::new(),
        }
    }

    /// Returns the sources, workspace settings and spool of an agent's configuration.
    pub(crate) fn sources(number: usize, folder: &Path, idle: &str) -> String {
        let (tcp, udp) = (Self::tcp(number), Self::udp(number));
        format!(
            "[spool]\nfolder = \"disk/spool\"\nseal_after = \"500ms\"\nsync = \"100ms\"\nsegment = \"64KiB\"\n\
             [source.syslog.local]\ntcp = [\"{tcp}\"]\nudp = [\"{udp}\"]\nidle = \"{idle}\"\n\
             [source.files.app]\npaths = [\"{}/logs/app.log*\"]\ntable = \"App_CL\"\nlook = \"300ms\"\n\
             from = \"beginning\"\n",
            folder.display()
        )
    }

    /// Returns the lines of its workspace about the queue.
    pub(crate) fn queue(when_full: WhenFull) -> String {
        let policy = if when_full == WhenFull::Block { "block" } else { "drop-oldest" };
        format!("cap = \"{CAP}\"\nwhen_full = \"{policy}\"\n")
    }

    fn tcp(number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 11_000 + number as u16))
    }

    fn udp(number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 12_000 + number as u16))
    }

    /// Returns where a series goes.
    pub(crate) fn place(&self, series: &Series) -> Place {
        match series.way {
            Way::Tcp => Place::Socket(Self::tcp(self.number)),
            Way::Udp => Place::Socket(Self::udp(self.number)),
            Way::File => Place::File(self.log()),
        }
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("logs/app.log")
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&mut self) {
        self.agent = Some(Agent::start(&self.home).await);
        self.starts += 1;
    }

    /// Returns the present process, if it was started.
    pub(crate) fn pid(&self) -> Option<u32> {
        // One that was waited for has no number any more.
        self.agent.as_ref()?.running()
    }

    /// Returns whether its process runs.
    pub(crate) fn runs(&self) -> bool {
        self.pid().is_some_and(alive)
    }

    /// Sends a signal to the present process.
    pub(crate) fn signal(&self, name: &str) {
        if let Some(pid) = self.pid() {
            signal(pid, name);
        }
    }

    /// Ends it: at once, or in order. What that may cost is written down; its senders hold still until it is started.
    pub(crate) async fn end(&mut self, how: &'static str, down: Duration) -> Result<(), String> {
        let series = self.series.clone();
        let mut held = Vec::new();
        self.note_losses().await;
        for one in series.iter().filter(|one| one.way != Way::File) {
            // One that is stuck in a write hands nothing over either.
            held.push(tokio::time::timeout(STUCK, one.hold()).await.ok());
        }
        if self.when_full == WhenFull::DropOldest {
            // While nothing comes nothing is dropped, so this is exact; what was on its way gets there meanwhile.
            self.note_losses().await;
        }
        if how == "KILL" {
            self.signal("STOP");
        }
        self.note_hits(how);
        self.signal(how);
        if how == "KILL" {
            self.signal("CONT");
        }
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        let ended = tokio::time::timeout(Duration::from_secs(40), agent.exit_status()).await;
        let status = ended.map_err(|_| format!("agent {} does not end: {}", self.number, words(&agent)))?;
        if how == "TERM" && !status.success() {
            return Err(format!("agent {} ended with {status}: {}", self.number, words(&agent)));
        }
        self.keep(&agent);
        drop(agent);
        self.close_books();
        tokio::time::sleep(down).await;
        self.start().await;
        drop(held);
        Ok(())
    }

    /// Ends it in order, for good.
    pub(crate) async fn leave(&mut self) -> Result<(), String> {
        self.signal("TERM");
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        match tokio::time::timeout(Duration::from_secs(40), agent.exit_status()).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("agent {} ended with {status}: {}", self.number, words(&agent))),
            Err(_) => Err(format!("agent {} does not end: {}", self.number, words(&agent))),
        }
    }

    /// Waits so long for the end of its process, and returns whether it came. What that may cost is written down.
    pub(crate) async fn ends_within(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if !self.runs() {
                self.note_hits("memory");
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    /// Starts it again after an end that nobody asked for.
    pub(crate) async fn start_again(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.exit_status().await;
            self.keep(&agent);
        }
        self.close_books();
        self.start().await;
        let datagrams = self.series.iter().find(|series| series.way == Way::Udp).map(Arc::clone);
        // They were sent to nobody until now.
        for hit in self.hits.iter_mut().rev().take(2) {
            if let Some(series) = datagrams.as_ref().filter(|series| series.name == hit.series) {
                hit.numbers.end = series.sent() + 1;
            }
        }
    }

    /// Writes down what this end may cost: what waits in sockets, and, unless it ends in order, what is on its way into
    /// the queue.
    fn note_hits(&mut self, how: &'static str) {
        let pid = self.pid().unwrap_or_default();
        for series in self.series.iter().filter(|series| series.way != Way::File) {
            let (table, port) = match series.way {
                Way::Tcp => ("tcp", Self::tcp(self.number).port()),
                _ => ("udp", Self::udp(self.number).port()),
            };
            let ago = if how == "TERM" { Duration::ZERO } else { ON_ITS_WAY };
            let (from, most) = (series.sent_before(ago), unread(pid, table, port).div_ceil(least_bytes()));
            let numbers = from.saturating_sub(most)..series.sent() + 1;
            self.hits.push(Hit { how, series: series.name.clone(), numbers });
        }
    }

    /// Asks the present process for its losses; nothing changes if it does not answer.
    pub(crate) async fn note_losses(&mut self) {
        if let Some(status) = self.status().await {
            self.present = losses(&status);
        }
    }

    /// Returns what the present process says of itself.
    pub(crate) async fn status(&self) -> Option<Value> {
        let asked = self.home.command(&["status", "--json"]);
        let outcome = tokio::time::timeout(Duration::from_secs(10), asked).await.ok()?;
        serde_json::from_str(&outcome.stdout).ok()
    }

    /// Keeps what a process that has ended had to complain of.
    fn keep(&mut self, agent: &Agent) {
        self.said.extend(complaints(agent));
        let surplus = self.said.len().saturating_sub(KEPT);
        self.said.drain(..surplus);
    }

    fn close_books(&mut self) {
        for (kind, count) in std::mem::take(&mut self.present) {
            *self.ended.entry(kind).or_default() += count;
        }
    }

    /// Returns all losses so far, by `PLACE KIND`.
    pub(crate) fn losses(&self) -> BTreeMap<String, u64> {
        let mut all = self.ended.clone();
        for (kind, count) in &self.present {
            *all.entry(kind.clone()).or_default() += count;
        }
        all
    }

    /// Writes another configuration.
    pub(crate) fn reconfigure(&self, change: impl Fn(&str) -> String) {
        self.home.reconfigure(&change(&self.config));
    }

    /// Changes the configuration for good.
    pub(crate) fn change(&mut self, change: impl Fn(&str) -> String) {
        self.config = change(&self.config);
        self.home.reconfigure(&self.config);
    }

    /// Fills the disk of its queue.
    pub(crate) fn fill_disk(&self) {
        let mut fill = Command::new("dd");
        fill.args(["if=/dev/zero", "bs=4096", "status=none"]);
        fill.arg(format!("of={}", self.home.path().join("disk").join(BALLAST).display()));
        // It ends when nothing fits any more, which is an error to it.
        let _ = fill.stderr(std::process::Stdio::null()).status();
    }

    /// Makes room on it again.
    pub(crate) fn clear_disk(&self) {
        let _ = std::fs::remove_file(self.home.path().join("disk").join(BALLAST));
    }

    /// Sets its clock this many seconds ahead.
    pub(crate) fn set_clock(&self, seconds: i64) {
        self.home.write("clock", format!("{seconds:+}\n"));
    }

    /// Rotates its log; the writer holds still, so that no scheme loses anything by itself.
    pub(crate) async fn rotate(&mut self, copy: bool) {
        let Some(series) = self.series.iter().find(|series| series.way == Way::File) else { return };
        let _held = series.hold().await;
        self.rotations += 1;
        let (log, old) = (self.log(), self.home.path().join(format!("logs/app.log.{}", self.rotations)));
        if !log.exists() {
            return;
        }
        if copy {
            std::fs::copy(&log, &old).expect("a disk with room");
            std::fs::OpenOptions::new().write(true).truncate(true).open(&log).expect("our own file");
        } else {
            std::fs::rename(&log, &old).expect("our own file");
            std::fs::File::create(&log).expect("our own folder");
        }
    }

    /// Returns how often the present process said that a socket listens.
    pub(crate) fn listening_said(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.events(LISTENING).len())
    }

    /// Returns its last warnings and errors, of all its processes, and the last lines of the present one.
    pub(crate) fn last_words(&self) -> String {
        let present = self.agent.iter().flat_map(complaints);
        let all: Vec<String> = self.said.iter().cloned().chain(present).collect();
        let last = self.agent.as_ref().map(words).unwrap_or_default();
        format!("{}\n...\n{last}", all[all.len().saturating_sub(KEPT)..].join("\n"))
    }
}

fn complaints(agent: &Agent) -> Vec<String> {
    let complains = |line: &String| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    agent.log().lines().into_iter().filter(complains).collect()
}

fn words(agent: &Agent) -> String {
    let lines = agent.log().lines();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.agent = None;
        let _ = Command::new("umount").arg("--lazy").arg(self.home.path().join("disk")).status();
    }
}

fn losses(status: &Value) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for kind in ["workspaces", "sources"] {
        for place in status[kind].as_array().into_iter().flatten() {
            for (loss, count) in place["losses"].as_object().into_iter().flatten() {
                *all.entry(loss.clone()).or_default() += count.as_u64().unwrap_or_default();
            }
        }
    }
    all
}
