//! Files of Windows' event logs become rows of Event, field by field, by every transport.

use end_to_end::agent::Agent;
use end_to_end::workspace::Row;
use end_to_end::workspace::Way;
use serde_json::Value;
use serde_json::json;

use crate::agent_stage::AgentStage;
use crate::agent_stage::By;

/// Seven events of a Security log of 2016, written by Windows.
const LOG: &[u8] = include_bytes!("../data/security.evtx");
const EVENTS: u64 = 7;

fn table(by: By) -> String {
    match by {
        By::Secret | By::Application => "Event".to_owned(),
        By::Certificate | By::Key => "AgentLiteEvent_CL".to_owned(),
    }
}

fn configure(stage: &AgentStage, ways: &[By]) {
    let home = stage.home.path().display();
    stage.configure(
        ways,
        &format!("[source.evtx.carried]\npaths = [\"{home}/carried/*.evtx\"]\nlook = \"50ms\"\n"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carried_over_event_log_reaches_every_workspace_field_by_field_and_once() {
    let stage = AgentStage::new(By::ALL.len()).await;
    configure(&stage, &By::ALL);
    stage.onboard(0).await;
    std::fs::create_dir(stage.home.path().join("carried")).expect("a folder of our own");
    stage.home.write("carried/security.evtx", LOG);
    let agent = Agent::start(&stage.home).await;
    for (number, by) in By::ALL.into_iter().enumerate() {
        let rows = stage.fake.wait_for_rows(stage.id(number), &table(by), EVENTS).await;
        assert_first(&rows[0], by);
        let ids: Vec<i64> =
            rows.iter().filter_map(|row| row.columns[&name(by, "EventID", "d")].as_i64()).collect();
        assert_eq!(ids.len(), EVENTS as usize);
        assert_eq!(ids[..2], [5152, 4611], "in the order of the log");
    }
    // A copy of it under another name has nothing new.
    stage.home.write("carried/copy.evtx", LOG);
    stage.home.write("carried/none.evtx", "no event log");
    let unreadable = |status: &Value| {
        let sources = status["sources"].as_array()?;
        let losses = &sources.iter().find(|source| source["name"] == "evtx.carried")?["losses"];
        losses["unreadable"].as_u64().filter(|count| *count == 1)
    };
    stage.wait_for_status("the file that is none", unreadable).await;
    drop(agent);
    let _agent = Agent::start(&stage.home).await;
    stage.wait_for_status("the file that is none, again", unreadable).await;
    for (number, by) in By::ALL.into_iter().enumerate() {
        assert_eq!(stage.fake.count(stage.id(number), &table(by)), EVENTS, "by {by:?}");
    }
    stage.fake.assert_no_problems();
}

/// Returns the name that a transport gives a column.
fn name(by: By, column: &str, suffix: &str) -> String {
    match by {
        By::Key | By::Certificate => format!("{column}_{suffix}"),
        By::Secret | By::Application => column.to_owned(),
    }
}

fn assert_first(row: &Row, by: By) {
    let time = "2016-06-29T15:24:34.346Z";
    let texts = [
        ("Computer", "temporal"),
        ("Source", "Microsoft-Windows-Security-Auditing"),
        ("EventLog", "Security"),
        ("EventLevelName", "Audit Failure"),
        ("UserName", "N/A"),
        ("SourceSystem", "OpsManager"),
    ];
    for (column, text) in texts {
        assert_eq!(row.text(&name(by, column, "s")), text, "by {by:?}");
    }
    for (column, number) in [("EventID", 5152), ("EventLevel", 0), ("EventCategory", 12809)] {
        assert_eq!(row.columns[&name(by, column, "d")], json!(number), "{column} by {by:?}");
    }
    let parameters = row.text(&name(by, "ParameterXml", "s"));
    assert!(parameters.starts_with("<Param>0</Param><Param>-</Param><Param>%%14592</Param>"), "{parameters}");
    let data = row.text(&name(by, "EventData", "s"));
    let beginning = format!(
        "<DataItem type=\"System.XmlData\" time=\"{time}\"><EventData xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\"><Data Name=\"ProcessId\">0</Data>"
    );
    assert!(data.starts_with(&beginning) && data.ends_with("</EventData></DataItem>"), "{data}");
    // The service replaces so old a time; it stands beside.
    assert!(row.time_replaced, "{row:?}");
    let kept = match by {
        By::Key | By::Certificate => "CollectionTime_t",
        By::Secret | By::Application => "EventTime_CF",
    };
    assert_eq!(row.text(kept), time);
    let way = match by {
        By::Certificate => Way::CustomJson,
        By::Key => Way::Collector,
        By::Secret | By::Application => Way::Ingestion,
    };
    assert_eq!(row.way, way);
    assert!(row.columns.get(&name(by, "RenderedDescription", "s")).is_none(), "a file has no messages");
}
