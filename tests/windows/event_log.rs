//! Channels of the event log, of a double of its library that lies beside the program: what the real service does beside
//! the script stands in `deploy/windows/README.md`.

use std::fs;
use std::io::Write;

use end_to_end::agent::Agent;
use serde_json::Value;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;
use crate::by_drive;
use crate::stage;

/// Adds events to a channel of the double.
fn append(stage: &AgentStage, channel: &str, records: std::ops::RangeInclusive<u64>) {
    let mut file =
        fs::File::options().append(true).create(true).open(stage.home.path().join("script.tsv")).unwrap();
    for record in records {
        let now = jiff::Timestamp::now();
        writeln!(
            file,
            "event\t{channel}\t{record}\tApp\t<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>\
             <System><Provider Name='Pump'/><EventID Qualifiers='1'>7</EventID><Level>2</Level><Task>3</Task>\
             <TimeCreated SystemTime='{now}'/><EventRecordID>{record}</EventRecordID><Channel>{channel}</Channel>\
             <Computer>plc9</Computer><Security UserID='S-1-5-18'/></System><EventData><Data>{channel} {record}</Data></EventData></Event>"
        )
        .unwrap();
    }
}

/// Starts a stage whose agent reads three channels; nobody may read the one in the middle.
async fn with_channels() -> AgentStage {
    let mut stage = stage().await;
    let script = stage.home.write(
        "script.tsv",
        "message\tPump\t7\tThe pump stands still.\nfail\tSecret\tsubscribe\t5\t100000\nmost\tApplication\t3\n",
    );
    stage.home.set_variable("WEVTAPI_SCRIPT", &by_drive(&script));
    stage.home.set_variable("WINEDLLOVERRIDES", "wevtapi=n");
    stage.configure(
        &[By::Secret],
        "[source.windows_events.some]\nqueries = [\"System\", \"Secret!*\", \"Application!*\"]\nfrom = \"beginning\"\n",
    );
    stage
}

fn of_source<'a>(status: &'a Value, key: &str) -> &'a Value {
    let sources = status["sources"].as_array().unwrap();
    &sources.iter().find(|source| source["name"] == "windows_events.some").unwrap()[key]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn events_of_channels_arrive_once_over_a_restart_and_one_that_fails_stops_no_other() {
    let stage = with_channels().await;
    append(&stage, "System", 1..=5);
    append(&stage, "Application", 1..=10);
    let mut agent = Agent::start(&stage.home).await;
    let rows = stage.fake.wait_for_rows(stage.id(0), "Event", 15).await;
    let row = rows.iter().find(|row| row.columns["ParameterXml"] == "<Param>System 1</Param>").unwrap();
    for (column, text) in [
        ("Computer", "plc9"),
        ("Source", "Pump"),
        ("EventLog", "System"),
        ("EventLevelName", "Error"),
        ("UserName", "NT AUTHORITY\\SYSTEM"),
        ("RenderedDescription", "The pump stands still."),
    ] {
        assert_eq!(row.text(column), text, "{row:?}");
    }
    assert_eq!((row.columns["EventID"].as_i64(), row.time_replaced), (Some(7), false));
    let trouble = |status: &Value| {
        let notes = of_source(status, "notes").as_array()?;
        notes
            .iter()
            .find_map(|note| note.as_str().filter(|note| note.starts_with("Secret: ")).map(str::to_owned))
    };
    let trouble = stage.wait_for_status("what is in the way of a channel", trouble).await;
    assert!(trouble.contains("Event Log Readers"), "{trouble}");
    append(&stage, "System", 6..=6);
    stage.fake.wait_for_rows(stage.id(0), "Event", 16).await;
    let bookmarks = stage.home.path().join("state/positions/windows_events.some.json");
    let saved = |_: &Value| fs::read_to_string(&bookmarks).ok().filter(|text| text.contains("RecordId='6'"));
    stage.wait_for_status("the bookmark is written down", saved).await;
    agent.kill9().await;

    // Two were overwritten while the agent was away.
    append(&stage, "System", 9..=9);
    let _agent = Agent::start(&stage.home).await;
    let rows = stage.fake.wait_for_rows(stage.id(0), "Event", 17).await;
    assert!(rows.iter().any(|row| row.columns["ParameterXml"] == "<Param>System 9</Param>"));
    let missed = |status: &Value| of_source(status, "losses")["missed"].as_u64();
    assert_eq!(stage.wait_for_status("missed events", missed).await, 2);
    assert_eq!(stage.fake.count(stage.id(0), "Event"), 17, "no event twice");
}
