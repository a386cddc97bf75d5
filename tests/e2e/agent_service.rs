//! The agent as a service: reloads, an orderly end, metrics, and what systemd is told.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use end_to_end::agent::Agent;
use end_to_end::agent::LISTENING;
use end_to_end::metrics::Metrics;
use end_to_end::patience::patiently;
use end_to_end::wire;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;

use crate::agent_gateways::open;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::SYSLOG;
use crate::agent_stage::files_below;
use crate::agent_stage::free_address;
use crate::agent_stage::gateway;
use crate::agent_stage::list;

/// Event: the configuration was read anew.
const RELOADED: u64 = 502;
/// Event: the new configuration is wrong, the old one stays.
const NOT_RELOADED: u64 = 503;

/// A source at a unix socket of its name.
fn source(name: &str, workspaces: &str) -> String {
    format!("[source.syslog.{name}]\nunix = [\"{name}.sock\"]\n{workspaces}\n")
}

/// Sends one message to the source of a name.
fn send(stage: &AgentStage, name: &str, text: &str) {
    let socket = UnixDatagram::unbound().expect("a socket");
    let message = format!("<13>app: {text}");
    socket
        .send_to(message.as_bytes(), stage.home.path().join(format!("{name}.sock")))
        .expect("a datagram sent");
}

/// Numbered messages to a source, one a millisecond, until it is stopped.
struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Stream {
    fn start(place: PathBuf) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let socket = UnixDatagram::unbound().expect("a socket");
            while !ended.load(Ordering::Acquire) {
                let number = count.load(Ordering::Acquire);
                let message = format!("<13>app: kept-seq={number}");
                socket.send_to(message.as_bytes(), &place).expect("the socket never goes");
                count.store(number + 1, Ordering::Release);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, sent, thread }
    }

    /// Stops, and returns how many were sent.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("a stream does not panic");
        self.sent.load(Ordering::Acquire)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_sources_and_workspaces_and_a_wrong_file_changes_nothing() {
    let stage = AgentStage::new(2).await;
    let kept = source("kept", "workspaces = [\"w0\"]");
    let (first, second) = (source("first", ""), source("second", ""));
    stage.configure(&[By::Secret], &[&kept, &first].map(String::as_str).concat());
    let agent = Agent::start(&stage.home).await;
    let stream = Stream::start(stage.home.path().join("kept.sock"));
    send(&stage, "first", "before");

    // What is wrong is said, and the old one goes on: no TOML, no CA, another state.
    let good = std::fs::read_to_string(stage.home.config()).expect("our own file");
    let ca = format!("{:?}", stage.pki.authority_file());
    let wrong =
        ["nonsense".to_owned(), good.replace(&ca, "\"gone.pem\""), good.replace("\"state\"", "\"other\"")];
    for (number, text) in wrong.iter().enumerate() {
        stage.home.reconfigure(text);
        agent.hang_up().await;
        agent.wait_for_events(NOT_RELOADED, number + 1).await;
        send(&stage, "first", &format!("after the wrong file {number}"));
    }
    assert_eq!(agent.events(RELOADED).len(), 0);

    // A source more, and one less.
    stage.configure(&[By::Secret], &[&kept, &second].map(String::as_str).concat());
    agent.hang_up().await;
    agent.wait_for_event(RELOADED).await;
    agent.wait_for_events(LISTENING, 3).await;
    send(&stage, "second", "the new source");
    assert!(!stage.home.path().join("first.sock").exists(), "the old source listens on");

    // A workspace more: a source without a list goes there, too.
    let text = [&kept, &second].map(String::as_str).concat();
    stage.configure(&[By::Secret, By::Key], &text);
    agent.hang_up().await;
    agent.wait_for_events(RELOADED, 2).await;
    agent.wait_for_events(LISTENING, 4).await;
    send(&stage, "second", "to both");
    stage.fake.wait_for_rows(stage.id(1), "AgentLiteSyslog_CL", 1).await;

    // Another cap of a queue that is used; the same file once more changes nothing.
    let text = std::fs::read_to_string(stage.home.config()).expect("our own file");
    stage.home.reconfigure(&text.replace("[workspace.w0]\n", "[workspace.w0]\ncap = \"4MiB\"\n"));
    for count in [3, 4] {
        agent.hang_up().await;
        agent.wait_for_events(RELOADED, count).await;
    }
    let cap = list(&stage.status().await, "workspaces")[0]["queue_cap"].clone();
    assert_eq!(cap, json!(4 * 1024 * 1024));

    // A workspace less.
    stage.configure(&[By::Secret], &[&kept, &second].map(String::as_str).concat());
    agent.hang_up().await;
    agent.wait_for_events(RELOADED, 5).await;
    agent.wait_for_events(LISTENING, 5).await;
    send(&stage, "second", "to one");
    let sent = stream.stop();
    stage.fake.wait_for_rows(stage.id(0), "Syslog", sent + 7).await;
    stage.assert_all_is_well().await;
    let sequence = stage.fake.sequence(stage.id(0), "Syslog", "kept");
    assert_eq!(
        (sequence.missing(sent), sequence.doubled()),
        (vec![], 0),
        "the source that stays misses nothing"
    );
    let others = stage.fake.rows(stage.id(0), "Syslog").into_iter().map(|row| row.message().to_owned());
    let mut others: Vec<String> = others.filter(|message| !message.starts_with("kept")).collect();
    others.sort();
    let wrong = (0..3).map(|number| format!("after the wrong file {number}"));
    let expected: Vec<String> =
        wrong.chain(["before", "the new source", "to both", "to one"].map(str::to_owned)).collect();
    assert_eq!(others, expected);
    stage.wait_for_messages(1, "AgentLiteSyslog_CL", &["to both"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_keeps_everything_that_came_and_the_next_start_sends_it_once() {
    const EACH: u64 = 50;
    let stage = AgentStage::new(1).await;
    let address = free_address();
    let proxies = [format!("http://{address}")];
    let file = format!(
        "[source.files.app]\npaths = [\"{}/app.log\"]\ntable = \"App_CL\"\nfrom = \"beginning\"\n",
        stage.home.path().display()
    );
    // Nothing is sealed by itself before the end.
    stage.configure_through(&proxies, "", &[By::Secret], &format!("{SYSLOG}{file}"));
    let text = std::fs::read_to_string(stage.home.config()).expect("our own file");
    stage.home.reconfigure(&text.replace("seal_after = \"100ms\"", "seal_after = \"1h\""));
    let lines: String = (0..EACH).map(|number| format!("file-seq={number}\n")).collect();
    stage.home.write("app.log", lines);
    let mut agent = Agent::start(&stage.home).await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let unix = UnixDatagram::unbound().expect("a socket");
    let mut tcp = TcpStream::connect(agent.tcp()).await.expect("a source that listens");
    for number in 0..EACH {
        let message = |way: &str| format!("<13>app: {way}-seq={number}");
        udp.send_to(message("udp").as_bytes(), agent.udp()).await.expect("a datagram sent");
        unix.send_to(message("unix").as_bytes(), agent.unix()).expect("a datagram sent");
        tcp.write_all(format!("{}\n", message("tcp")).as_bytes()).await.expect("a message sent");
    }
    tcp.shutdown().await.expect("an orderly end");
    let collected = |status: &serde_json::Value| {
        let count = |at: usize| list(status, "sources")[at]["collected"].as_u64().unwrap_or_default();
        (count(0) + count(1) == 4 * EACH).then_some(())
    };
    stage.wait_for_status("all records are collected", collected).await;
    agent.terminate().await;
    assert!(agent.exit_status().await.success());
    assert_eq!(stage.fake.connections(), []);
    let spool = files_below(&stage.home.path().join("state/spool"));
    let unsealed = spool.iter().find(|file| file.extension().is_some_and(|end| end == "open"));
    assert!(!spool.is_empty() && unsealed.is_none(), "not sealed, so not synced: {unsealed:?}");
    let _back = gateway(&stage.fake, open(&format!("address = \"{address}\""))).await;
    let agent = Agent::start(&stage.home).await;
    stage.fake.wait_for_rows(stage.id(0), "Syslog", 3 * EACH).await;
    stage.fake.wait_for_rows(stage.id(0), "App_CL", EACH).await;
    stage.assert_all_is_well().await;
    for (table, series) in [("Syslog", "udp"), ("Syslog", "tcp"), ("Syslog", "unix"), ("App_CL", "file")] {
        let sequence = stage.fake.sequence(stage.id(0), table, series);
        assert_eq!((sequence.missing(EACH), sequence.doubled()), (vec![], 0), "{series}");
    }
    let told = stage.fake.rows(stage.id(0), "AgentLiteOperation_CL");
    let told: Vec<&str> = told.iter().map(|row| row.text("Detail")).collect();
    assert_eq!(
        told,
        [
            "agent-lite has started for the first time",
            "agent-lite has started; it was stopped in order before"
        ]
    );
    drop(agent);
}

/// Returns the answer to a request for a path of the metrics' listener.
async fn get(address: &str, line: &str) -> wire::Answer {
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    wire::send_head(&mut stream, line, &[("Host", "localhost"), ("Connection", "close")], 0).await;
    wire::read_answer_until_close(&mut stream).await.expect("an answer")
}

/// Waits for the metrics' listener, and returns where it is.
async fn metrics_address(agent: &Agent) -> String {
    let find = |log: &end_to_end::record::Log| {
        let said = log.records().into_iter().find(|record| record.is("place", "metrics"))?;
        Some(said.text("detail").strip_prefix("http://")?.strip_suffix("/metrics")?.to_owned())
    };
    agent.log().wait_for("the metrics' listener", find).await
}

/// Scrapes an agent.
pub(crate) async fn metrics_of(agent: &Agent) -> Metrics {
    Metrics::parse(get(&metrics_address(agent).await, "GET /metrics").await.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_are_in_the_metrics_on_loopback_and_in_operation_records_once() {
    let stage = AgentStage::new(1).await;
    let metrics = |address: &str| format!("[metrics]\naddress = \"{address}\"\n{SYSLOG}");
    stage.configure(&[By::Secret], &metrics("0.0.0.0:9181"));
    let outcome = stage.home.command(&["run"]).await;
    assert!(outcome.exit == 78 && outcome.stderr.contains("loopback"), "{outcome:?}");
    stage.configure(&[By::Secret], &metrics("127.0.0.1:0"));
    let mut agent = Agent::start(&stage.home).await;
    let address = metrics_address(&agent).await;
    let socket = UnixDatagram::unbound().expect("a socket");
    for message in [&b"<13>app: good"[..], b"in no form at all", b"<13>app: no \xff text"] {
        socket.send_to(message, agent.unix()).expect("a datagram sent");
    }
    stage.fake.wait_for_rows(stage.id(0), "Syslog", 3).await;
    let drained = stage.home.command(&["drain"]).await;
    assert_eq!(drained.exit, 0, "{drained:?}");
    let metrics = metrics_of(&agent).await;
    let source = [("source", "syslog.local")];
    assert_eq!(metrics.value("agent_lite_collected_records_total", &source), 3.0);
    // Operation has the start, and may have the losses already.
    let delivered = stage.fake.traffic(stage.id(0)).rows as f64;
    assert_eq!(metrics.value("agent_lite_delivered_records_total", &[("workspace", "w0")]), delivered);
    assert!([4.0, 6.0].contains(&delivered), "{delivered}");
    assert_eq!(metrics.value("agent_lite_queue", &[("workspace", "w0"), ("unit", "records")]), 0.0);
    assert!(metrics.value("agent_lite_requests_total", &[("outcome", "delivered")]) >= 2.0);
    assert_eq!(metrics.value("agent_lite_gateway_connections_total", &[("outcome", "tunnel")]), 2.0);
    for (kind, count) in [("unparsed", 1.0), ("invalid_text", 1.0), ("refused", 0.0)] {
        let labels = [("place", "source syslog.local"), ("kind", kind)];
        assert_eq!(metrics.value("agent_lite_losses_total", &labels), count, "{kind}");
    }
    for (line, status) in [("GET /healthz", 200), ("GET /", 404), ("POST /metrics", 404)] {
        assert_eq!(get(&address, line).await.head.status, status, "{line}");
    }
    let losses = list(&stage.status().await, "sources")[0]["losses"].clone();
    assert_eq!(losses, json!({ "unparsed": 1, "invalid_text": 1 }));
    // What was lost is told at the end at the latest; a reload in between tells nothing twice.
    stage.configure_through(&[stage.gateway.proxy_url(), "unused".to_owned()], "", &[By::Secret], SYSLOG);
    agent.hang_up().await;
    agent.wait_for_event(RELOADED).await;
    agent.terminate().await;
    assert!(agent.exit_status().await.success());
    let _agent = Agent::start(&stage.home).await;
    let told = stage.fake.wait_for_rows(stage.id(0), "AgentLiteOperation_CL", 4).await;
    let mut keys: Vec<&str> = told.iter().map(|row| row.text("OperationKey")).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["invalid_text", "started", "started", "unparsed"]);
    let unparsed = told.iter().find(|row| row.text("OperationKey") == "unparsed").expect("it is there");
    assert_eq!((unparsed.text("OperationStatus"), unparsed.text("OperationCategory")), ("Warning", "Loss"));
    assert!(unparsed.text("Detail").starts_with("source syslog.local: 1 "), "{}", unparsed.text("Detail"));
    stage.assert_all_is_well().await;
}

/// The manager of services: what it is told.
struct Manager(tokio::net::UnixDatagram);

impl Manager {
    /// Waits for a state that begins so, and returns the whole text with it.
    async fn wait_for(&self, state: &str) -> String {
        patiently(&format!("the manager is told {state}"), async {
            loop {
                let mut text = vec![0; 4096];
                let length = self.0.recv(&mut text).await.expect("a datagram");
                text.truncate(length);
                let text = String::from_utf8(text).expect("a text");
                if text.lines().any(|line| line.starts_with(state)) {
                    return text;
                }
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_of_readiness_life_reloads_and_the_end() {
    let mut stage = AgentStage::new(1).await;
    let place = stage.home.path().join("notify.sock");
    let manager = Manager(tokio::net::UnixDatagram::bind(&place).expect("a socket"));
    stage.home.set_variable("NOTIFY_SOCKET", &place.to_string_lossy());
    stage.home.set_variable("WATCHDOG_USEC", "200000");
    stage.configure(&[By::Secret], SYSLOG);
    let mut agent = Agent::start(&stage.home).await;
    manager.wait_for("READY=1").await;
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1").await;
    }
    agent.hang_up().await;
    let reloading = manager.wait_for("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.wait_for("READY=1").await;
    agent.wait_for_event(RELOADED).await;
    stage.home.reconfigure("nonsense");
    agent.hang_up().await;
    manager.wait_for("RELOADING=1").await;
    manager.wait_for("READY=1").await;
    agent.wait_for_event(NOT_RELOADED).await;
    stage.configure(&[By::Secret], SYSLOG);
    stage.assert_all_is_well().await;
    agent.terminate().await;
    manager.wait_for("STOPPING=1").await;
    assert!(agent.exit_status().await.success());
}
