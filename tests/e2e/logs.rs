//! Records: to the journal with fields of its own, as text that nothing forges, and repeats counted exactly.

use std::net::SocketAddr;
use std::process::Stdio;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::program;
use end_to_end::journal::FakeJournal;
use end_to_end::patience::patiently;
use end_to_end::text_line::TextLine;
use end_to_end::wire;
use tokio::net::TcpStream;

use crate::hostile_text::strange_rows;
use crate::stage::ANYONE;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::lonely_address;

/// Refusals of one reason and address: far more than are written.
const FLOOD: u64 = 1_500;
const AT_ONCE: u64 = 100;

/// A gateway whose addresses the test chooses, since it does not tell them as JSON.
struct Quiet {
    gateway: Gateway,
    proxy: SocketAddr,
    admin: SocketAddr,
}

impl Quiet {
    fn start(log: &str) -> Self {
        let address = lonely_address();
        let (proxy, admin) = (SocketAddr::new(address.into(), 18080), SocketAddr::new(address.into(), 18180));
        let text = format!(
            "[[listener]]\naddress = \"{proxy}\"\n[admin]\naddress = \"{admin}\"\n[log]\n{log}\n{ANYONE}"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Config::new(&text).write(folder.path());
        Self { gateway: Gateway::spawn(&["--config".as_ref(), path.as_os_str()], folder), proxy, admin }
    }

    async fn refused(&self, target: &str) -> SocketAddr {
        let mut client = RawClient::connect(self.proxy).await;
        let address = client.address();
        client.send(&connect_request(target, &[])).await;
        assert_refusal(&client.refusal().await.expect("an answer"), 403);
        address
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.expect("the admin listener");
        let headers = [("Host", "admin.example"), ("Connection", "close")];
        wire::send_head(&mut stream, "GET /metrics", &headers, 0).await;
        wire::read_answer_until_close(&mut stream).await.expect("an answer").text().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_gets_fields_of_its_own_from_within_the_sandbox_also_after_it_was_away() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("socket");
    let journal = FakeJournal::start(&socket);
    let mut quiet =
        Quiet::start(&format!("format = \"journald\"\njournal_socket = \"{}\"", socket.display()));
    let is = |field: &'static str, value: &str| {
        let value = value.to_owned();
        move |entry: &end_to_end::journal::Entry| entry.get(field) == Some(&value)
    };
    let started = journal.wait_for("the admin listener", is("KIND", "admin")).await;
    assert_eq!(
        (&*started["EVENT_ID"], &*started["PRIORITY"], &*started["MESSAGE"]),
        ("101", "6", "listening")
    );
    let client = quiet.refused("evil.example:443").await;
    let denied = journal.wait_for("a refusal", is("CLIENT", &client.to_string())).await;
    let wanted = [
        ("EVENT_ID", "105"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "la-gateway"),
        ("TARGET", "access"),
        ("REASON", "host_denied"),
        ("HOST", "evil.example"),
        ("ROLE", "agents"),
        ("MESSAGE", "no rule allows this host"),
    ];
    for (field, value) in wanted {
        assert_eq!(denied.get(field).map(String::as_str), Some(value), "{field} in {denied:?}");
    }
    assert_eq!(denied.get("USER"), None, "an empty field is left out");
    for row in strange_rows() {
        let mut client = RawClient::connect(quiet.proxy).await;
        client.send(&row.bytes).await;
        client.refusal().await;
    }
    let forged =
        journal.entries().iter().filter(|entry| entry.get("EVENT_ID").is_some_and(|id| id == "101")).count();
    assert_eq!(forged, 2, "a client has written an entry of its own");

    drop(journal);
    quiet.refused("while-away.example:443").await;
    patiently("a count of what the journal did not take", async {
        while quiet.metrics().await.contains("\nla_gateway_log_records_dropped_total 0\n") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let journal = FakeJournal::start(&socket);
    let client = quiet.refused("back.example:443").await;
    journal.wait_for("a refusal after the journal came back", is("CLIENT", &client.to_string())).await;
    quiet.gateway.terminate();
    assert!(quiet.gateway.exit_status().await.success());
    journal.wait_for("the last word", is("EVENT_ID", "102")).await;
    assert_eq!(quiet.gateway.log().lines(), [""; 0], "nothing went to standard output");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_itself_it_writes_to_the_journal_where_its_output_leads_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("socket");
    let journal = FakeJournal::start(&socket);
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[log]\njournal_socket = \"{}\"\n{ANYONE}",
        socket.display()
    );
    let path = Config::new(&text).write(folder.path());
    // As systemd does it: device and inode of the stream that is standard error.
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM; exec \"$0\" --config \"$1\"";
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]).arg(program()).arg(&path).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().expect("the gateway starts");
    let entry =
        journal.wait_for("a listener", |entry| entry.get("KIND").is_some_and(|kind| kind == "proxy")).await;
    assert_eq!(entry["SYSLOG_IDENTIFIER"], "la-gateway");
    child.kill().await.expect("a child of our own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_journal_it_writes_lines_with_priorities_and_says_so() {
    let quiet = Quiet::start("format = \"journald\"\njournal_socket = \"/nowhere/socket\"");
    let log = quiet.gateway.log();
    let line = log
        .wait_for("a complaint", |log| log.lines().into_iter().find(|line| line.contains("/nowhere/socket")))
        .await;
    let line = line.strip_prefix("<4>").expect("a priority");
    assert_eq!(TextLine::read(line).field("event_id"), Some("100"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_sends_a_line_of_text_is_a_record_with_the_fields_it_should_have() {
    let mut quiet = Quiet::start("format = \"text\"\nlevel = \"debug\"");
    let log = quiet.gateway.log();
    log.wait_for("it listens", |log| log.lines().iter().any(|line| line.contains("metrics=")).then_some(()))
        .await;
    for row in strange_rows() {
        let mut client = RawClient::connect(quiet.proxy).await;
        client.send(&row.bytes).await;
        client.refusal().await;
    }
    quiet.gateway.terminate();
    assert!(quiet.gateway.exit_status().await.success());
    let log = quiet.gateway.log();
    log.wait_for("the last word", |log| {
        log.lines().iter().any(|line| line.contains("event_id=102")).then_some(())
    })
    .await;
    let records: Vec<TextLine> = log.lines().iter().map(|line| TextLine::read(line)).collect();
    let access: Vec<_> = records.iter().filter(|record| record.target == "access").collect();
    assert!(access.len() > 20, "{}", access.len());
    let names = |record: &TextLine| record.fields.iter().map(|field| field.0.clone()).collect::<Vec<_>>();
    assert!(access.iter().all(|record| names(record) == names(access[0])), "a client has added a field");
    assert_eq!(records.iter().filter(|record| record.field("event_id") == Some("101")).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_flood_left_unwritten_is_told_to_the_last_record() {
    let limits = "[limits]\nconnects_per_second = 10000\nburst = 10000\nrequests_per_second_per_address = 10000\n\
         request_burst_per_address = 10000\n";
    let mut stage = Stage::good(Config::new(&format!("{ANYONE}{limits}"))).await;
    for _ in 0..FLOOD / AT_ONCE {
        let mut clients = Vec::new();
        for _ in 0..AT_ONCE {
            let mut client = RawClient::connect(stage.gateway.proxy()).await;
            client.send(&connect_request("evil.example:443", &[])).await;
            clients.push(client);
        }
        for client in clients {
            assert_refusal(&client.refusal().await.expect("an answer"), 403);
        }
    }
    stage.gateway.terminate();
    assert!(stage.gateway.exit_status().await.success());
    stage.gateway.wait_for_record("the last word", |record| record.event_id() == Some(102)).await;
    let records = stage.gateway.log().records();
    let denied: Vec<_> = records.iter().filter(|record| record.is("reason", "host_denied")).collect();
    let written = denied.iter().filter(|record| record.is_access()).count() as u64;
    let suppressed: u64 = denied.iter().map(|record| record.number("suppressed")).sum();
    assert!(written < FLOOD, "{written}");
    assert_eq!(written + suppressed, FLOOD);
    let told: Vec<_> = denied.iter().filter(|record| record.event_id() == Some(150)).collect();
    assert!(!told.is_empty(), "the end tells what the last record could not");
    assert!(told.iter().all(|record| record.is("level", "WARN")), "{told:?}");
}
