//! The commands beside the running agent: check, status, tail, drain.

use std::os::unix::net::UnixDatagram;

use end_to_end::agent::Agent;
use end_to_end::record::Log;
use end_to_end::workspace::Fault;
use serde_json::Value;
use serde_json::json;

use crate::agent_gateways::open;
use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::agent_stage::LOOK_AGAIN;
use crate::agent_stage::SYSLOG;
use crate::agent_stage::free_address;
use crate::agent_stage::gateway;
use crate::agent_stage::list;

/// A configuration file with a mistake in each part.
const MISTAKES: &str = r#"
[gateway]
proxies = ["http://edge7:hunter2@gateway:99999"]
[spool]
seal_after = "5"
[workspace.w0]
transport = "data-collector"
id = "not-a-guid"
key_file = "nowhere.key"
cap = "1KiB"
[source.syslog.local]
udp = ["127.0.0.1:0"]
workspaces = ["w7"]
[source.heartbeat.default]
evry = "60s"
"#;

/// Sends one message.
fn send(agent: &Agent, text: &str) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(format!("<13>app: {text}").as_bytes(), agent.unix()).expect("a datagram sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_what_would_be_done_or_every_problem_at_once() {
    let stage = AgentStage::new(2).await;
    let proxies = ["http://edge7:hunter2@gateway.example:8080".to_owned()];
    let narrow = SYSLOG.replace(".local]", ".narrow]\nworkspaces = [\"w1\"]");
    let heartbeat = "[source.heartbeat.default]\n";
    stage.configure_through(&proxies, "", &[By::Secret, By::Key], &format!("{narrow}{heartbeat}"));
    let good = stage.home.command(&["check"]).await;
    assert_eq!((good.exit, good.stderr.as_str()), (0, ""), "{}", good.stdout);
    let lines: Vec<&str> = good.stdout.lines().collect();
    let [first, gateway, rest @ ..] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(*first, "the configuration is right");
    assert!(gateway.contains("gateway.example:8080") && !gateway.contains("hunter2"), "{gateway}");
    let expected = ["w0", "w1"].map(|name| format!("workspace  {name}"));
    assert_eq!(rest[..2], expected);
    assert_eq!(
        rest[2..],
        ["source     syslog.narrow to w1", "source     heartbeat.default to every workspace"]
    );
    assert!(!stage.home.path().join("state").exists(), "check makes nothing");

    stage.home.reconfigure(MISTAKES);
    let bad = stage.home.command(&["check"]).await;
    assert_eq!((bad.exit, bad.stdout.as_str()), (78, ""), "{}", bad.stderr);
    let file = stage.home.config().display().to_string();
    let said = ["3:", "5:", "8:", "9:", "10:", "13:", "15:"].map(|line| format!("{file}:{line}"));
    let missing: Vec<&String> = said.iter().filter(|place| !bad.stderr.contains(*place)).collect();
    assert!(missing.is_empty() || missing == [&said[3]], "{missing:?} in {}", bad.stderr);
    assert!(bad.stderr.contains("nowhere.key") && !bad.stderr.contains("hunter2"), "{}", bad.stderr);

    let frame = stage.frame();
    let ways = [By::Certificate, By::Key, By::Secret, By::Application];
    let cases = [
        (0, "", "", "this agent is not onboarded: agent-lite onboard -w"),
        (1, "w1.key", "no key!", "`key_file`"),
        (3, "application.key", "no key!", "application.key"),
        (2, "azure.pem", "no authority!", "azure.pem"),
    ];
    for (way, name, text, said) in cases {
        let way = stage.way(usize::from(way == 1), ways[way]);
        if !name.is_empty() {
            stage.secret(name, text);
        }
        let frame = match name {
            "azure.pem" => frame.replace(&format!("{:?}", stage.pki.authority_file()), "\"azure.pem\""),
            _ => frame.clone(),
        };
        stage.home.reconfigure(&format!("[gateway]\nproxies = [\"gw\"]\n{frame}[workspace.w0]\n{way}\n"));
        let bad = stage.home.command(&["check"]).await;
        assert_eq!((bad.exit, bad.stdout.as_str()), (78, ""), "{}", bad.stderr);
        assert!(bad.stderr.contains(said), "{said}: {}", bad.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_queues_deliveries_and_troubles_and_its_exit_code_is_1_in_trouble() {
    let stage = AgentStage::new(2).await;
    stage.configure(&[By::Secret, By::Key], SYSLOG);
    let alone = stage.home.command(&["status"]).await;
    assert!(alone.exit == 1 && alone.stderr.contains("no agent answers at"), "{alone:?}");
    let agent = Agent::start(&stage.home).await;
    let fault = stage.fake.fault(Fault::status(500).of(stage.id(1)));
    (0..5).for_each(|number| send(&agent, &format!("seq={number}")));
    stage.fake.wait_for_rows(stage.id(0), "Syslog", 5).await;
    let troubled = |status: &Value| list(status, "workspaces")[1]["trouble"].as_str().map(str::to_owned);
    let trouble = stage.wait_for_status("a trouble of w1", troubled).await;
    assert!(trouble.contains("500"), "{trouble}");
    let status = stage.wait_for_status("w0 has delivered", |status| {
        let delivered = list(status, "workspaces")[0]["delivered"] == json!(6);
        delivered.then(|| status.clone())
    });
    let status = status.await;
    let [first, second] = list(&status, "workspaces") else { panic!("{status}") };
    assert_eq!(
        (&first["transport"], &second["transport"]),
        (&json!("logs-ingestion"), &json!("data-collector"))
    );
    assert_eq!((&first["queue_records"], &first["trouble"]), (&json!(0), &Value::Null));
    assert_eq!((&second["queue_records"], &second["delivered"]), (&json!(6), &json!(0)));
    assert!(second["queue_bytes"].as_u64() > Some(0) && second["queue_oldest"].is_string(), "{second}");
    assert!(second["last_delivery"].is_null() && first["last_delivery"].is_string(), "{status}");
    assert_eq!(list(&status, "sources")[0]["collected"], json!(5));
    assert_eq!(status["gateway"], json!(format!("gateway 1 {}", stage.gateway.proxy_url())));
    for (arguments, exit) in [(&["status"][..], 1), (&["status", "--json"], 1)] {
        assert_eq!(stage.home.command(arguments).await.exit, exit);
    }
    let text = stage.home.command(&["status"]).await.stdout;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let row_of =
        |name: &str| rows.iter().find(|row| row.first() == Some(&name)).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(row_of("w1")[1..5], ["data-collector", "0", "-", "6"], "{text}");
    assert_eq!(row_of("syslog.local")[1..], ["5", "-"], "{text}");
    assert!(text.contains("w1 takes nothing: ") && text.contains("500"), "{text}");
    // As often as it is asked for, until the reader goes away; an agent that is gone is said so.
    let (_watching, shown) = stage.home.start(&["status", "--watch", "100ms"]);
    let tables = |shown: &Log| shown.lines().iter().filter(|line| line.starts_with("WORKSPACE")).count();
    shown.wait_for("a second table", |shown| (tables(shown) > 1).then_some(())).await;
    stage.fake.clear(fault);
    stage.fake.wait_for_rows(stage.id(1), "AgentLiteSyslog_CL", 5).await;
    stage.assert_all_is_well().await;
    assert_eq!(stage.home.command(&["status"]).await.exit, 0);
}

/// Runs `tail` while messages are sent; returns its lines and how many were sent.
async fn tail(stage: &AgentStage, agent: &Agent, from: usize, arguments: &[&str]) -> (Vec<String>, usize) {
    let all = [&["tail"], arguments].concat();
    let mut running = std::pin::pin!(stage.home.command(&all));
    let mut sent = from;
    loop {
        tokio::select! {
            outcome = &mut running => {
                assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
                return (outcome.stdout.lines().map(str::to_owned).collect(), sent);
            }
            () = tokio::time::sleep(LOOK_AGAIN) => send(agent, &format!("seq={sent}")),
        }
        sent += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_shows_records_as_they_are_collected_and_takes_none_of_them() {
    let stage = AgentStage::new(1).await;
    stage.configure(&[By::Secret], &format!("{SYSLOG}[source.heartbeat.default]\nevery = \"1s\"\n"));
    let agent = Agent::start(&stage.home).await;
    let (lines, sent) = tail(&stage, &agent, 0, &["-n", "3", "--json", "--source", "syslog"]).await;
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut numbers: Vec<u64> = Vec::new();
    for line in &lines {
        assert_eq!((&line["source"], &line["table"]), (&json!("syslog.local"), &json!("Syslog")));
        assert!(line["time"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()), "{line}");
        let message = line["columns"]["SyslogMessage"].as_str().expect("a message");
        numbers.push(message.strip_prefix("seq=").and_then(|number| number.parse().ok()).expect("a number"));
    }
    assert!(numbers.len() == 3 && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    let (lines, sent) = tail(&stage, &agent, sent, &["-n", "1", "--source", "heartbeat."]).await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.contains(" heartbeat.default Heartbeat ") && line.contains("Category=\"Agent\""), "{line}");
    let (lines, sent) = tail(&stage, &agent, sent, &["-n", "2"]).await;
    assert_eq!(lines.len(), 2);
    stage.fake.wait_for_rows(stage.id(0), "Syslog", sent as u64).await;
    let sequence = stage.fake.sequence(stage.id(0), "Syslog", "");
    assert_eq!((sequence.missing(sent as u64), sequence.doubled()), (vec![], 0));
    stage.assert_all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_with_the_same_state_folder_ends_at_once_and_leaves_the_first_alone() {
    let stage = AgentStage::new(1).await;
    stage.configure(&[By::Secret], SYSLOG);
    let agent = Agent::start(&stage.home).await;
    let second = stage.home.command(&["run"]).await;
    assert!(second.exit != 0 && second.stderr.contains("another agent-lite runs"), "{second:?}");
    send(&agent, "seq=0");
    stage.wait_for_messages(0, "Syslog", &["seq=0"]).await;
    let status = stage.home.command(&["status"]).await;
    assert_eq!(status.exit, 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_ends_when_the_queues_are_empty_and_gives_up_when_it_takes_too_long() {
    let stage = AgentStage::new(1).await;
    let address = free_address();
    stage.configure_through(&[format!("http://{address}")], "", &[By::Secret], SYSLOG);
    let agent = Agent::start(&stage.home).await;
    (0..3).for_each(|number| send(&agent, &format!("seq={number}")));
    let waiting = |status: &Value| (list(status, "workspaces")[0]["queue_records"] == json!(4)).then_some(());
    stage.wait_for_status("all records in the queue", waiting).await;
    let given_up = stage.home.command(&["drain", "--within", "1s"]).await;
    assert_eq!(given_up.exit, 1, "{given_up:?}");
    assert!(given_up.stderr.contains("4 records still wait"), "{given_up:?}");
    let _back = gateway(&stage.fake, open(&format!("address = \"{address}\""))).await;
    let drained = stage.home.command(&["drain"]).await;
    assert_eq!(drained.exit, 0, "{drained:?}");
    assert!(drained.stdout.ends_with("every queue is empty\n"), "{drained:?}");
    stage.wait_for_messages(0, "Syslog", &["seq=0", "seq=1", "seq=2"]).await;
    stage.assert_all_is_well().await;
}
