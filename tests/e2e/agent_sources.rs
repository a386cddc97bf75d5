//! Every source by every transport, field by field, and each record where it belongs and nowhere else.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;

use end_to_end::agent::Agent;
use end_to_end::workspace::Row;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::COMPUTER;
use crate::agent_stage::SYSLOG;

/// All sources but syslog; `{home}` is the agent's folder.
const OTHERS: &str = r#"
[source.files.plain]
paths = ["{home}/plain.log"]
table = "App_CL"
from = "beginning"
flush_after = "100ms"
[source.files.timed]
paths = ["{home}/timed.log"]
table = "App_CL"
record = "YYYY-MM-DD HH:MM:SS"
from = "beginning"
flush_after = "100ms"
[source.performance.default]
counters = [
  { object = "Memory", counters = ["Available MBytes Memory", "% Used Memory"], every = "1s" },
  { object = "Processor", counters = ["% Processor Time"], instances = ["_Total"], every = "1s" },
  { object = "System", counters = ["Uptime"], every = "1s" },
]
[source.heartbeat.default]
every = "1h"
"#;

/// A message as it is sent, and what it says.
struct Sent {
    wire: String,
    host: &'static str,
    facility: &'static str,
    severity: &'static str,
    process: &'static str,
    pid: Option<i64>,
    message: String,
    time: Timestamp,
}

/// The files' records: path and text.
const RECORDS: [(&str, &str); 5] = [
    ("plain.log", "first line"),
    ("plain.log", "zweite Zeile: ä€😀 \"quoted\" \\ and\ta tab"),
    ("plain.log", "the last line has no end"),
    ("timed.log", "2026-01-02 03:04:05 java.lang.Exception: broken\n\tat a.b(C.java:1)\n\tat d.e(F.java:2)"),
    ("timed.log", "2026-01-02 03:04:06 fine again"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_reaches_every_workspace_by_every_transport_field_by_field() {
    let stage = AgentStage::new(By::ALL.len()).await;
    stage.configure(&By::ALL, &format!("{SYSLOG}{}", OTHERS.replace("{home}", &home(&stage))));
    for name in ["plain.log", "timed.log"] {
        let of_file = RECORDS.iter().filter(|(file, _)| *file == name).map(|(_, text)| *text);
        stage.home.write(name, of_file.collect::<Vec<_>>().join("\n"));
    }
    stage.onboard(0).await;
    let began = Timestamp::now();
    let agent = Agent::start(&stage.home).await;
    let sent = send_all(&agent).await;
    let address = own_address(&stage).await;
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_syslog(&stage, number, by, &sent, &address, began).await;
        assert_files(&stage, number, by).await;
        assert_heartbeat(&stage, number, by, &address).await;
        assert_operation(&stage, number, by).await;
    }
    assert_performance(&stage).await;
    stage.assert_all_is_well().await;
    for number in 0..By::ALL.len() {
        assert_eq!(stage.fake.count(stage.id(number), "App_CL"), RECORDS.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_source_go_to_its_workspaces_and_to_no_other() {
    let stage = AgentStage::new(By::ALL.len()).await;
    let syslog = |name: &str, to: &str| {
        format!("[source.syslog.{name}]\nunix = [\"{name}.sock\"]\nworkspaces = [{to}]\n")
    };
    let sources = [
        syslog("first", "\"w0\""),
        syslog("middle", "\"w1\", \"w2\""),
        syslog("last", "\"w3\""),
        syslog("all", "\"w3\", \"w0\", \"w2\", \"w1\""),
    ];
    stage.configure(&By::ALL, &sources.concat());
    stage.onboard(0).await;
    let agent = Agent::start(&stage.home).await;
    let socket = UnixDatagram::unbound().expect("a socket");
    for listening in agent.listening() {
        for number in 0..200 {
            let message = format!("<13>app: {}-seq={number}", listening.source.replace("syslog.", ""));
            socket.send_to(message.as_bytes(), &listening.place).expect("a datagram sent");
        }
    }
    let expected = [&["all", "first"][..], &["all", "middle"], &["all", "middle"], &["all", "last"]];
    for (number, series) in expected.into_iter().enumerate() {
        let table = By::ALL[number].table("Syslog");
        stage.fake.wait_for_rows(stage.id(number), &table, 400).await;
        for name in ["all", "first", "middle", "last"] {
            let sequence = stage.fake.sequence(stage.id(number), &table, name);
            let whole = if series.contains(&name) { 200 } else { 0 };
            assert_eq!((sequence.distinct(), sequence.doubled()), (whole, 0), "{name} in w{number}");
            assert!(sequence.missing(whole).is_empty());
        }
    }
    stage.assert_all_is_well().await;
}

fn home(stage: &AgentStage) -> String {
    stage.home.path().display().to_string()
}

/// Sends a message of each kind to each socket.
async fn send_all(agent: &Agent) -> Vec<Sent> {
    let now = Timestamp::now().round(jiff::Unit::Millisecond).expect("a time in range");
    let messages = |way: &str| messages(way, now);
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let unix = UnixDatagram::unbound().expect("a socket");
    let mut all = Vec::new();
    for sent in messages("udp") {
        udp.send_to(sent.wire.as_bytes(), agent.udp()).await.expect("a datagram sent");
        all.push(sent);
    }
    for sent in messages("unix") {
        unix.send_to(sent.wire.as_bytes(), agent.unix()).expect("a datagram sent");
        all.push(sent);
    }
    for (way, counted) in [("lines", false), ("octets", true)] {
        let mut stream = TcpStream::connect(agent.tcp()).await.expect("a source that listens");
        for sent in messages(way) {
            let frame = match counted {
                true => format!("{} {}", sent.wire.len(), sent.wire),
                false => format!("{}\n", sent.wire),
            };
            stream.write_all(frame.as_bytes()).await.expect("a message sent");
            all.push(sent);
        }
        stream.shutdown().await.expect("an orderly end");
    }
    all
}

/// Returns a message of RFC 3164 and one of RFC 5424; a line of TCP is the only frame that must be one line.
fn messages(way: &str, now: Timestamp) -> [Sent; 2] {
    let second = Timestamp::from_second(now.as_second()).expect("a time in range");
    let old = second.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %e %H:%M:%S");
    let modern = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let first = format!("{way}: 'su root' failed, ä€ \"quoted\"");
    let last =
        format!("[x@1 a=\"b\"] {way}: ready{}", if way == "lines" { "" } else { "\nand a second line" });
    // A process of this machine names no host at a unix socket.
    let (host, named) = if way == "unix" { (COMPUTER, "") } else { ("switch3", "switch3 ") };
    [
        Sent {
            wire: format!("<34>{old} {named}su[77]: {first}"),
            host,
            facility: "auth",
            severity: "crit",
            process: "su",
            pid: Some(77),
            message: first,
            time: second,
        },
        Sent {
            wire: format!("<165>1 {modern} router9 app - - {last}"),
            host: "router9",
            facility: "local4",
            severity: "notice",
            process: "app",
            pid: None,
            message: last,
            time: now,
        },
    ]
}

/// Returns the address of this machine as heartbeats tell it.
async fn own_address(stage: &AgentStage) -> String {
    let rows = stage.fake.wait_for_rows(stage.id(0), "Heartbeat", 1).await;
    let first = rows[0].columns["ComputerPrivateIPs"].get(0).and_then(Value::as_str).unwrap_or("Unknown IP");
    first.to_owned()
}

async fn assert_syslog(
    stage: &AgentStage,
    number: usize,
    by: By,
    sent: &[Sent],
    address: &str,
    began: Timestamp,
) {
    let messages: Vec<&str> = sent.iter().map(|sent| sent.message.as_str()).collect();
    for row in stage.wait_for_messages(number, &by.table("Syslog"), &messages).await {
        let message = row.message();
        let sent = sent.iter().find(|sent| sent.message == message).expect("one of ours");
        let columns = without_times(&row, by, began);
        assert_eq!(columns, expected(by, sent, address), "by {by:?}");
        let time = ["EventTime", "EventTime_t"].iter().find_map(|name| row.columns.get(*name));
        assert_eq!(time.and_then(Value::as_str).map(timestamp), Some(sent.time), "{message}");
    }
}

/// Returns the columns of a message, all but the times.
fn expected(by: By, sent: &Sent, address: &str) -> Map<String, Value> {
    let mut columns = json!({
        "HostName": sent.host, "HostIP": address, "Facility": sent.facility, "SeverityLevel": sent.severity,
        "ProcessName": sent.process, "SyslogMessage": sent.message, "SourceSystem": "Linux",
    });
    let columns = columns.as_object_mut().expect("an object");
    match by {
        // The service makes it of the host's name.
        By::Certificate => drop(columns.insert("Computer".to_owned(), sent.host.into())),
        By::Key | By::Secret | By::Application => {
            columns.insert("Computer".to_owned(), COMPUTER.into());
            columns.insert("CollectorHostName".to_owned(), COMPUTER.into());
        }
    }
    columns.extend(sent.pid.map(|pid| ("ProcessID".to_owned(), pid.into())));
    named(by, columns)
}

/// Returns columns by the names that the transport's tables have.
fn named(by: By, columns: &Map<String, Value>) -> Map<String, Value> {
    let suffix = |value: &Value| if value.is_number() { "d" } else { "s" };
    let name = |name: &str, value: &Value| match by {
        By::Key => format!("{name}_{}", suffix(value)),
        By::Certificate | By::Secret | By::Application => name.to_owned(),
    };
    columns.iter().map(|(column, value)| (name(column, value), value.clone())).collect()
}

/// Takes the times out, which are the record's own and not the service's.
fn without_times(row: &Row, by: By, began: Timestamp) -> Map<String, Value> {
    let mut columns = row.columns.clone();
    let time = columns.remove("TimeGenerated").expect("a time");
    let time = timestamp(time.as_str().expect("a text"));
    let tolerance = jiff::SignedDuration::from_millis(1);
    assert!((began - tolerance..=Timestamp::now()).contains(&time), "{time} in {row:?}");
    assert!(!row.time_replaced, "{row:?}");
    if by == By::Key {
        assert!(columns.remove("CollectionTime_t").is_some(), "{row:?}");
    }
    columns.retain(|name, _| !name.starts_with("EventTime"));
    columns
}

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|_| panic!("{text} is no time"))
}

/// A blob has lines only: what the four calls carry beside them is the file, the computer and no time.
async fn assert_files(stage: &AgentStage, number: usize, by: By) {
    let expected = RECORDS.map(|(_, text)| text.to_owned());
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let rows = stage.wait_for_messages(number, "App_CL", &expected).await;
    for row in &rows {
        let (name, text) = RECORDS.iter().find(|(_, text)| *text == row.message()).expect("one of ours");
        let path = stage.home.path().join(name).display().to_string();
        let mut columns = row.columns.clone();
        let generated = columns.remove("TimeGenerated").expect("a time");
        let message = if by == By::Key { "Message" } else { "RawData" };
        let mut expected = json!({ "Computer": COMPUTER, "FilePath": path, message: text });
        let expected = expected.as_object_mut().expect("an object");
        let mut expected = named(by, expected);
        if by != By::Certificate {
            let (id, sequence) = if by == By::Key { ("AgentId_g", "Seq_d") } else { ("AgentId", "Seq") };
            expected.insert(id.to_owned(), agent_id(stage).into());
            assert!(columns.remove(sequence).is_some_and(|number| number.is_i64()), "{row:?}");
        }
        columns.remove("CollectionTime_t");
        let told = ["EventTime", "EventTime_t"].iter().find_map(|name| columns.remove(*name));
        let time = match by {
            By::Certificate => None,
            By::Key => time_of(text),
            // Without a time in the line it is the one of the reading.
            _ => time_of(text).or_else(|| generated.as_str().map(timestamp)),
        };
        assert_eq!(told.as_ref().and_then(Value::as_str).map(timestamp), time, "{text} by {by:?}");
        assert_eq!(columns, expected, "by {by:?}");
    }
    if by != By::Certificate {
        let name = if by == By::Key { "Seq_d" } else { "Seq" };
        let mut numbers: Vec<i64> = rows.iter().filter_map(|row| row.columns[name].as_i64()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), rows.len(), "each record has a number of its own");
    }
}

/// Returns the time at the beginning of a record, in this machine's zone.
fn time_of(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.get(..19)?).ok()?;
    time.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
}

/// Returns the GUID that every transport but the onboarded one has.
fn agent_id(stage: &AgentStage) -> String {
    let text =
        std::fs::read_to_string(stage.home.path().join("state/agent-id")).expect("the agent's own GUID");
    text.trim().to_owned()
}

async fn assert_heartbeat(stage: &AgentStage, number: usize, by: By, address: &str) {
    let rows = stage.fake.wait_for_rows(stage.id(number), &by.table("Heartbeat"), 1).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let name = |column: &str| if by == By::Key { format!("{column}_s") } else { column.to_owned() };
    let version = stage.home.command(&["--version"]).await.stdout;
    let texts =
        [("Computer", COMPUTER), ("OSType", "Linux"), ("Category", "Agent"), ("SCAgentChannel", "Direct")];
    for (column, text) in texts.into_iter().chain([("SourceSystem", "Linux")]) {
        assert_eq!(row.text(&name(column)), text);
    }
    assert!(version.trim().ends_with(row.text(&name("Version"))), "{version}");
    assert!(!row.text(&name("OSName")).is_empty());
    if by != By::Certificate {
        let (id, uuid) =
            if by == By::Key { ("SourceComputerId_g", "VMUUID_g") } else { ("SourceComputerId", "VMUUID") };
        assert_eq!((row.text(id), row.text(uuid).len()), (agent_id(stage).as_str(), 36));
        let told = row.columns.get(&name("ComputerIP")).and_then(Value::as_str);
        assert_eq!(told.unwrap_or("Unknown IP"), address);
        return;
    }
    assert_eq!(row.columns["SourceComputerId"], json!(stage.fake.agents(stage.id(number))[0].guid));
}

async fn assert_operation(stage: &AgentStage, number: usize, by: By) {
    let rows = stage.fake.wait_for_rows(stage.id(number), &by.table("Operation"), 1).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let name = |column: &str| if by == By::Key { format!("{column}_s") } else { column.to_owned() };
    for (column, text) in [
        ("Computer", COMPUTER),
        ("Solution", "agent-lite"),
        ("OperationCategory", "Agent"),
        ("OperationStatus", "Success"),
        ("Detail", "agent-lite has started for the first time"),
        ("SourceSystem", "Linux"),
    ] {
        assert_eq!(row.text(&name(column)), text, "by {by:?}");
    }
}

/// What was sampled first is the same everywhere: one row a counter.
async fn assert_performance(stage: &AgentStage) {
    let mut of_first: Option<BTreeMap<[String; 3], f64>> = None;
    for (number, by) in By::ALL.into_iter().enumerate() {
        let rows = stage.fake.wait_for_rows(stage.id(number), &by.table("Perf"), 8).await;
        let name = |column: &str| if by == By::Key { format!("{column}_s") } else { column.to_owned() };
        let time = timestamp(rows[0].text("TimeGenerated")).as_millisecond();
        let at_first = |row: &&Row| timestamp(row.text("TimeGenerated")).as_millisecond() == time;
        let mut counters = BTreeMap::new();
        for row in rows.iter().filter(at_first) {
            assert_eq!((row.text(&name("Computer")), row.text(&name("SourceSystem"))), (COMPUTER, "Linux"));
            let key = ["ObjectName", "InstanceName", "CounterName"]
                .map(|column| row.text(&name(column)).to_owned());
            let value = if by == By::Key { "CounterValue_d" } else { "CounterValue" };
            let value = row.columns[value].as_f64().expect("a number");
            if by != By::Certificate {
                let [object, instance, counter] = &key;
                let path = format!("\\\\{COMPUTER}\\{object}({instance})\\{counter}");
                assert_eq!(row.text(&name("CounterPath")), path);
            }
            assert!(counters.insert(key, value).is_none(), "twice in one sampling: {row:?}");
        }
        let names: Vec<&str> = counters.keys().map(|[_, _, counter]| counter.as_str()).collect();
        assert_eq!(names, ["% Used Memory", "Available MBytes Memory", "% Processor Time", "Uptime"]);
        assert_eq!(*of_first.get_or_insert_with(|| counters.clone()), counters, "by {by:?}");
    }
}
