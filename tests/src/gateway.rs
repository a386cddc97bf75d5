//! The program under test: built once, started with a configuration, watched through its records.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::patience::LOOK_AGAIN;
use crate::patience::patiently;
use crate::program;
use crate::record::Log;
use crate::record::Record;
use crate::wire;
use crate::wire::Answer;

/// A running gateway. Dropping it kills the process, and tells what it said when the test panics.
pub struct Gateway {
    child: Child,
    folder: Arc<TempDir>,
    log: Log,
    errors: Log,
    proxies: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts the program and waits until all its listeners are bound.
    pub async fn start(config: &Config) -> Self {
        Self::start_by(tokio::process::Command::new(program()), config).await
    }

    /// Starts the program so that it may open no more than this many files.
    pub async fn start_with_files(files: u32, config: &Config) -> Self {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program());
        Self::start_by(shell, config).await
    }

    /// Starts the program as systemd does: with a socket for notifications in its folder, `notify.sock`, and a
    /// watchdog of this many microseconds.
    pub async fn start_by_systemd(notifications: &Path, watchdog: u64, config: &Config) -> Self {
        let mut shell = tokio::process::Command::new("sh");
        let script = "WATCHDOG_PID=$$; export WATCHDOG_PID; exec \"$0\" \"$@\"";
        shell.args(["-c", script]).arg(program());
        shell.env("NOTIFY_SOCKET", notifications).env("WATCHDOG_USEC", watchdog.to_string());
        Self::start_by(shell, config).await
    }

    /// Starts the program with the path of its configuration as one writes it who stands in the folder.
    pub async fn start_here(config: &Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        config.write(folder.path());
        let mut command = tokio::process::Command::new(program());
        command.args(["--config", "gateway.toml"]);
        Self::launch(command, Arc::new(folder)).bound(config.listeners()).await
    }

    /// Starts this copy of the program.
    pub async fn start_copy(copy: &Path, config: &Config) -> Self {
        Self::start_by(tokio::process::Command::new(copy), config).await
    }

    /// Starts a copy of the program in a folder that is this user's, by other programs: those of `starter`,
    /// and the one that gives the user up.
    pub async fn start_as(starter: &[String], user: u32, config: &Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("la-gateway");
        std::fs::copy(program(), &copy).expect("a copy of the program");
        let config = config.write(folder.path());
        for entry in std::fs::read_dir(folder.path()).expect("our own folder") {
            let path = entry.expect("a file of our own").path();
            std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root's right");
        }
        std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).expect("root's right");
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        let mut words = starter.to_vec();
        words.extend(["setpriv".to_owned(), user, group, "--clear-groups".to_owned()]);
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).arg(copy).arg("--config").arg(config.clone());
        let text = std::fs::read_to_string(config).expect("the configuration");
        let proxies = text.lines().filter(|line| line.trim() == "[[listener]]").count();
        Self::launch(command, Arc::new(folder)).bound((proxies, !text.contains("address = \"off\""))).await
    }

    async fn start_by(mut command: tokio::process::Command, config: &Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        command.arg("--config").arg(config.write(folder.path()));
        Self::launch(command, Arc::new(folder)).bound(config.listeners()).await
    }

    /// Starts another program in the same folder, with these arguments after `--config FILE`, and waits until
    /// it has as many listeners.
    pub async fn another(&self, arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::new(program());
        command.arg("--config").arg(self.folder().join("gateway.toml")).args(arguments);
        let listeners = (self.proxies.len(), self.admin.is_some());
        Self::launch(command, Arc::clone(&self.folder)).bound(listeners).await
    }

    async fn bound(self, (proxies, admin): (usize, bool)) -> Self {
        let mut gateway = self;
        (gateway.proxies, gateway.admin) = gateway
            .log
            .wait_for("all listeners are bound", |log| {
                let bound = bound(&log.records());
                (bound.0.len() == proxies && bound.1.is_some() == admin).then_some(bound)
            })
            .await;
        gateway
    }

    /// Starts the program with these arguments in a folder, and waits for nothing.
    pub fn spawn(arguments: &[&OsStr], folder: TempDir) -> Self {
        let mut command = tokio::process::Command::new(program());
        command.args(arguments);
        Self::launch(command, Arc::new(folder))
    }

    fn launch(mut command: tokio::process::Command, folder: Arc<TempDir>) -> Self {
        let mut child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let (log, errors) = (Log::default(), Log::default());
        tokio::spawn(log.clone().follow(child.stdout.take().expect("a piped output")));
        tokio::spawn(errors.clone().follow(child.stderr.take().expect("a piped output")));
        Self { child, folder, log, errors, proxies: Vec::new(), admin: None }
    }

    /// Returns the number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running gateway")
    }

    /// Returns where the first proxy listener is bound.
    pub fn proxy(&self) -> SocketAddr {
        self.proxies[0]
    }

    /// Returns the value an agent's proxy setting needs.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy())
    }

    /// Returns where the admin listener is bound.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// Returns the folder with the configuration.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its standard output.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns everything it said, on both outputs.
    pub fn everything_said(&self) -> String {
        [self.log.lines(), self.errors.lines()].concat().join("\n")
    }

    /// Returns every access record so far.
    pub fn access_records(&self) -> Vec<Record> {
        self.log.records().into_iter().filter(Record::is_access).collect()
    }

    /// Waits until there are so many access records at least, and returns how many there are: they are written a
    /// little after what they tell of.
    pub async fn records_once(&self, expected: usize) -> usize {
        let enough = |_: &Log| Some(self.access_records().len()).filter(|count| *count >= expected);
        self.log.wait_for(&format!("{expected} access records"), enough).await
    }

    /// Waits for the access record of the request that came from this address.
    pub async fn record_of(&self, client: SocketAddr) -> Record {
        let what = format!("the access record of {client}");
        self.wait_for_record(&what, |record| record.is_from(client)).await
    }

    /// Waits for the same record, and asserts that there is no other.
    pub async fn only_record_of(&self, client: SocketAddr) -> Record {
        let record = self.record_of(client).await;
        let records = self.access_records().into_iter().filter(|record| record.is_from(client)).count();
        assert_eq!(records, 1, "records of {client}");
        record
    }

    /// Waits for a record.
    pub async fn wait_for_record(&self, what: &str, matches: impl Fn(&Record) -> bool) -> Record {
        self.log.wait_for(what, |log| log.records().into_iter().find(|record| matches(record))).await
    }

    /// Gets a path of the admin listener.
    pub async fn get(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.admin()).await.expect("an admin listener");
        let host = self.admin().to_string();
        let headers = [("Host", host.as_str()), ("Connection", "close")];
        wire::send_head(&mut stream, &format!("GET {path}"), &headers, 0).await;
        wire::read_answer_until_close(&mut stream).await.expect("an answer")
    }

    /// Scrapes the metrics.
    pub async fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.head.status, 200);
        Metrics::parse(answer.text())
    }

    /// Returns one metric, summed over the labels that are not asked for.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.value(name, labels)
    }

    /// Waits until a metric has this value.
    pub async fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        patiently(&format!("{name} {labels:?} = {expected}"), async {
            while self.metric(name, labels).await != expected {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Writes another configuration over the one it was started with, and asks for it by SIGHUP; returns once
    /// one more reload had this outcome.
    pub async fn reload(&self, config: &Config, outcome: &str) {
        let before = self.reloads(outcome).await;
        config.write(self.folder());
        self.hang_up();
        self.wait_for_reload(outcome, before).await;
    }

    /// Waits until more than `before` reloads had this outcome.
    pub async fn wait_for_reload(&self, outcome: &str, before: f64) {
        patiently(&format!("a reload that is {outcome}"), async {
            while self.reloads(outcome).await <= before {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Returns how many reloads had this outcome.
    pub async fn reloads(&self, outcome: &str) -> f64 {
        self.metric("la_gateway_reloads_total", &[("outcome", outcome)]).await
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        send(name, self.pid());
    }

    /// Returns where its control socket is.
    pub fn control(&self) -> PathBuf {
        self.folder().join("control.sock")
    }

    /// Runs one of the program's commands with the gateway's configuration to its end.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let config = self.folder().join("gateway.toml");
        let before = ["--config".as_ref(), config.as_os_str()].into_iter();
        let all: Vec<&OsStr> = before.chain(arguments.iter().map(OsStr::new)).collect();
        run_to_end(&all, self.folder()).await
    }

    /// Returns what `status --json` says.
    pub async fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Returns the processes that its launcher started; they write to the same output.
    pub fn successors(&self) -> Vec<u32> {
        let started = |record: &Record| record.is("message", "hand-over: a successor is started");
        let records = self.log.records().into_iter().filter(started);
        records.map(|record| record.text("pid").parse().expect("a process")).collect()
    }

    /// Waits for the end of the process.
    pub async fn exit_status(&mut self) -> ExitStatus {
        let status = patiently("the gateway ends", self.child.wait()).await;
        status.expect("a status of our own child")
    }
}

/// Sends a signal to a process of this test.
pub fn send(signal: &str, pid: u32) {
    let script = format!("kill -{signal} \"$0\"");
    let sent = Command::new("sh").args(["-c", &script, &pid.to_string()]).status().expect("a shell");
    assert!(sent.success(), "SIG{signal} could not be sent");
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for successor in self.successors() {
            // Most have ended.
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -KILL \"$0\"", &successor.to_string()]).stderr(Stdio::null());
            let _ = kill.status();
        }
        if std::thread::panicking() {
            println!("--- the gateway said:\n{}\n---", self.everything_said());
        }
    }
}

/// Runs the program to its end, with an empty standard input.
pub async fn run_to_end(arguments: &[&OsStr], folder: &Path) -> Output {
    let mut command = tokio::process::Command::new(program());
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    patiently("the program ends by itself", command.output()).await.expect("the program starts")
}

/// Returns the path of the program: the one that `LA_GATEWAY_PROGRAM` names, as for a packaged one, or
/// else the one the first caller builds in the profile of the tests.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os("LA_GATEWAY_PROGRAM").map(PathBuf::from);
    PROGRAM
        .get_or_init(|| named().or_else(|| program::build("la-gateway")))
        .as_deref()
        .expect("a gateway that builds")
}

/// Returns the bound proxies and the admin listener. A proxy that speaks two protocols is said twice.
fn bound(records: &[Record]) -> (Vec<SocketAddr>, Option<SocketAddr>) {
    let of_kind = |kind: &str| {
        let listening =
            records.iter().filter(|record| record.is("message", "listening") && record.is("kind", kind));
        listening.map(|record| record.text("address").parse().expect("a bound address")).collect::<Vec<_>>()
    };
    let mut proxies = of_kind("proxy");
    proxies.dedup();
    (proxies, of_kind("admin").first().copied())
}
