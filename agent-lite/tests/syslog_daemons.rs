//! The snippets of `deploy/agent-lite` in the real daemons: what is logged there arrives here field by field.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::SystemTime;

use agent_lite::collect::inlet::Inlet;
use agent_lite::collect::syslog;
use agent_lite::collect::syslog::Bound;
use agent_lite::config::settings::SyslogSettings;
use agent_lite::counters::Counters;
use agent_lite::counters::Loss;
use agent_lite::record::Column;
use agent_lite::record::Record;
use agent_lite::record::Value;
use agent_lite::record::frame_at;
use agent_lite::spool::Queue;
use agent_lite::spool::QueueSettings;
use agent_lite::spool::WhenFull;
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time;
use tokio_util::sync::CancellationToken;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The port in the snippets.
const PORT: &str = "25224";

/// What a program writes to `/dev/log`; facility, severity, process, process ID and message that must arrive.
type Logged = (&'static str, [&'static str; 5]);

const LOGGED: [Logged; 6] = [
    ("<13>Nov 22 17:50:04 app[812]: plain", ["user", "notice", "app", "812", "plain"]),
    ("<34>Nov 22 17:50:04 su: no process ID", ["auth", "crit", "su", "-", "no process ID"]),
    ("<8>Nov 22 17:50:04 kernel: now", ["user", "emerg", "kernel", "-", "now"]),
    ("<191>Nov 22 17:50:04 app[1]:   indented", ["local7", "debug", "app", "1", "  indented"]),
    (
        "<12>Nov 22 17:50:04 app[1]: [a b=\"c\"] Grüße \"",
        ["user", "warn", "app", "1", "[a b=\"c\"] Grüße \""],
    ),
    ("<86>Nov 22 17:50:04 sshd[2]: {\"json\": [1]}", ["authpriv", "info", "sshd", "2", "{\"json\": [1]}"]),
];

/// A daemon that ends with its test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A syslog source of agent-lite at some port.
struct Agent {
    folder: TempDir,
    counters: Counters,
    queue: Queue,
    port: u16,
    stop: CancellationToken,
    task: JoinHandle<()>,
    handover: syslog::Handover,
}

impl Agent {
    async fn run() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let counters = Counters::new();
        let settings = QueueSettings {
            folder: folder.path().join("queue"),
            cap: 64 << 20,
            when_full: WhenFull::Block,
            sync: Duration::from_secs(1),
            seal_after: Duration::from_millis(10),
            segment: 1 << 20,
        };
        let queue = Queue::open(settings, counters.workspace("test")).unwrap();
        let tended = queue.clone();
        tokio::spawn(async move { tended.tend().await });
        let handover = syslog::Handover::default();
        let (task, port, stop) = listen(&queue, &counters, &handover, 0).await;
        Self { folder, counters, queue, port, stop, task, handover }
    }

    async fn pause(&mut self) {
        self.stop.cancel();
        time::timeout(PATIENCE, &mut self.task).await.expect("the source stops").unwrap();
    }

    async fn resume(&mut self) {
        let Self { queue, counters, handover, port, .. } = &*self;
        (self.task, _, self.stop) = listen(queue, counters, handover, *port).await;
    }

    /// Starts the source anew as a reload does.
    async fn reload(&mut self) {
        self.handover.expect(std::iter::once(&settings(self.port)));
        self.pause().await;
        self.resume().await;
        self.handover.expect(std::iter::empty());
    }

    /// Waits for as many rows as were logged, and compares them.
    async fn expect(&self, logged: &[Logged]) {
        let rows = time::timeout(PATIENCE, rows(&self.queue, logged.len())).await.expect("records arrive");
        for (row, (written, wanted)) in rows.iter().zip(logged) {
            assert_eq!(row.fields, *wanted, "{written}");
            assert_eq!(row.host, "edge7", "{written}");
            assert!(row.age < Duration::from_secs(600), "{written}: {:?}", row.age);
        }
        assert_eq!(rows.len(), logged.len());
        assert_eq!(self.counters.source("syslog.test").losses.count(Loss::Unparsed), 0);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a snippet that forwards to this agent.
    fn snippet(&self, name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent-lite").join(name);
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(PORT));
        text.replace(PORT, &self.port.to_string())
    }
}

fn settings(port: u16) -> SyslogSettings {
    SyslogSettings {
        udp: Vec::new(),
        tcp: vec![SocketAddr::from(([127, 0, 0, 1], port))],
        unix: Vec::new(),
        facilities: Vec::new(),
        severity: 7,
        levels: std::collections::BTreeMap::new(),
        connections: 8,
        idle: PATIENCE,
    }
}

async fn listen(
    queue: &Queue,
    counters: &Counters,
    handover: &syslog::Handover,
    port: u16,
) -> (JoinHandle<()>, u16, CancellationToken) {
    let (bound, mut listening) = watch::channel(Vec::new());
    let context = syslog::Context {
        name: "syslog.test".to_owned(),
        computer: "another".to_owned(),
        address: "10.0.0.5".to_owned(),
        zone: TimeZone::UTC,
        bound,
        handover: handover.clone(),
    };
    let inlet = Inlet::new(vec![queue.clone()], counters.source("syslog.test"));
    let stop = CancellationToken::new();
    let task = tokio::spawn(syslog::run(settings(port), context, inlet, stop.clone()));
    let bound = time::timeout(PATIENCE, listening.wait_for(|all| !all.is_empty())).await;
    let bound = bound.expect("the source listens").unwrap()[0].clone();
    let Bound::Tcp(real) = bound else { panic!("{bound:?}") };
    (task, real.port(), stop)
}

struct Row {
    fields: [String; 5],
    host: String,
    age: Duration,
}

async fn rows(queue: &Queue, count: usize) -> Vec<Row> {
    let (mut rows, mut bytes) = (Vec::new(), Vec::new());
    while rows.len() < count {
        queue.seal();
        let segment = queue.next().await;
        segment.load(&mut bytes).await.unwrap();
        let mut rest = bytes.as_slice();
        while let Ok(frame) = frame_at(rest) {
            rows.push(row(&Record::decode(frame.payload).unwrap()));
            rest = &rest[frame.length..];
        }
        queue.remove(&segment);
    }
    rows
}

fn row(record: &Record<'_>) -> Row {
    let mut pid = "-".to_owned();
    let mut age = Duration::MAX;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    for value in record.values() {
        match value {
            (Column::ProcessId, Value::Integer(number)) => pid = number.to_string(),
            (Column::EventTime, Value::Time(time)) => age = Duration::from_micros(now.abs_diff(time.0)),
            _ => {}
        }
    }
    let text = |column| record.text(column).unwrap_or("-").to_owned();
    let fields = [
        text(Column::Facility),
        text(Column::SeverityLevel),
        text(Column::ProcessName),
        pid,
        text(Column::SyslogMessage),
    ];
    Row { fields, host: text(Column::HostName), age }
}

/// Writes to a daemon's socket as programs do, once it is there.
async fn log(socket: &Path, messages: &[Logged]) {
    let program = UnixDatagram::unbound().unwrap();
    let connected = async {
        while program.connect(socket).is_err() {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    time::timeout(PATIENCE, connected).await.expect("the daemon listens");
    for (message, _) in messages {
        program.send(message.as_bytes()).unwrap();
    }
}

/// Writes so many numbers to a daemon's socket, one every other millisecond.
async fn log_numbers(socket: PathBuf, count: usize) {
    let program = UnixDatagram::unbound().unwrap();
    program.connect(socket).unwrap();
    for number in 0..count {
        program.send(format!("<13>Nov 22 17:50:04 app: {number}").as_bytes()).unwrap();
        time::sleep(Duration::from_millis(2)).await;
    }
}

/// Starts a daemon in a time zone of its own, because records must not depend on it.
fn start(command: &mut Command) -> Daemon {
    Daemon(command.env("TZ", "Asia/Tokyo").stdin(Stdio::null()).spawn().unwrap())
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let installed = !found.is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if !installed {
        println!("skipped: {program} is not installed");
    }
    installed
}

/// Debian has it where only root looks.
fn rsyslogd() -> &'static str {
    if Path::new("/usr/sbin/rsyslogd").exists() { "/usr/sbin/rsyslogd" } else { "rsyslogd" }
}

#[tokio::test]
async fn what_is_logged_to_rsyslog_arrives_field_by_field_also_after_the_agent_was_away() {
    if !is_installed(rsyslogd()) {
        return;
    }
    let mut agent = Agent::run().await;
    let (socket, work, file) = (agent.path("log"), agent.path("work"), agent.path("rsyslog.conf"));
    fs::create_dir(&work).unwrap();
    let snippet = agent.snippet("rsyslog.conf");
    let snippet = snippet.replace("action.resumeInterval=\"5\"", "action.resumeInterval=\"1\"");
    let around = format!(
        "global(workDirectory=\"{}\" localHostname=\"edge7\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{}\")\n",
        work.display(),
        socket.display()
    );
    fs::write(&file, format!("{around}{snippet}")).unwrap();
    let checked = Command::new(rsyslogd()).args(["-N1", "-f"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let _daemon =
        start(Command::new(rsyslogd()).arg("-n").arg("-f").arg(&file).arg("-i").arg(agent.path("pid")));
    log(&socket, &LOGGED).await;
    agent.expect(&LOGGED).await;
    agent.pause().await;
    log(&socket, &LOGGED).await;
    agent.resume().await;
    agent.expect(&LOGGED).await;
    let logging = tokio::spawn(log_numbers(socket, 600));
    for round in 0..12 {
        time::sleep(Duration::from_millis(100)).await;
        match round % 4 {
            3 => {
                agent.pause().await;
                agent.resume().await;
            }
            _ => agent.reload().await,
        }
    }
    logging.await.unwrap();
    let rows = time::timeout(PATIENCE, rows(&agent.queue, 600)).await.expect("no record is lost in reloads");
    let numbers = rows.iter().map(|row| row.fields[4].parse::<usize>().unwrap());
    assert!(numbers.eq(0..600));
}

#[tokio::test]
async fn what_is_logged_to_syslog_ng_arrives_field_by_field() {
    if !is_installed("syslog-ng") {
        return;
    }
    let agent = Agent::run().await;
    let (socket, file, buffers) = (agent.path("log"), agent.path("syslog-ng.conf"), agent.path("buffers"));
    fs::create_dir(&buffers).unwrap();
    let snippet = agent.snippet("syslog-ng.conf");
    let snippet = snippet.replace("/var/lib/syslog-ng", &buffers.display().to_string());
    let around = format!(
        "@version: 3.35\noptions {{ use-dns(no); keep-timestamp(no); }};\n\
         source s_src {{ unix-dgram(\"{}\" host-override(\"edge7\")); }};\n",
        socket.display()
    );
    fs::write(&file, format!("{around}{snippet}")).unwrap();
    let checked = Command::new("syslog-ng").args(["--syntax-only", "-f"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let mut command = Command::new("syslog-ng");
    command.args(["-F", "--no-caps", "-f"]).arg(&file);
    for (option, name) in [("-R", "persist"), ("-p", "pid"), ("-c", "control")] {
        command.arg(option).arg(agent.path(name));
    }
    let _daemon = start(&mut command);
    log(&socket, &LOGGED).await;
    agent.expect(&LOGGED).await;
}
