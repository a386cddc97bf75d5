use super::super::write::CUT;
use super::*;
use crate::record::Frames;
use crate::record::Timestamp;
use crate::record::Value;
use crate::record::frame_at;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use uuid::Uuid;

const TIME: Timestamp = Timestamp(1_795_346_175_227_000);
const EVENT: Timestamp = Timestamp(1_795_346_175_000_000);
const LEGACY: Form = Form::LogAnalyticsAgent { workspace: String::new() };

pub(in crate::transport) fn agent() -> Agent {
    Agent {
        computer: "vm \"1\"".to_owned(),
        agent_id: Uuid::from_u128(7),
        version: "0.1.0",
        host_ip: "10.0.0.4".to_owned(),
        machine_uuid: Uuid::nil().to_string(),
    }
}

/// Returns what a row must say, written the slow way.
pub(in crate::transport) fn oracle(
    form: &Form,
    table: &Table,
    time: Timestamp,
    values: &[(Column, Value<'_>)],
    sequence: i64,
) -> Json {
    let found = |wanted| values.iter().find(|(column, _)| *column == wanted).map(|(_, value)| *value);
    match (form, table) {
        (Form::LogAnalyticsAgent { .. }, Table::Syslog) => legacy_syslog(time, &found),
        (Form::LogAnalyticsAgent { .. }, Table::Perf) => json!({
            "Timestamp": iso(time, true), "Host": agent().computer,
            "ObjectName": text(found(Column::ObjectName)), "InstanceName": text(found(Column::InstanceName)),
            "Collections": [{"CounterName": text(found(Column::CounterName)),
                             "Value": number(found(Column::CounterValue))}],
        }),
        (Form::LogAnalyticsAgent { .. }, Table::Event | Table::W3cIisLog) => {
            columns(form, table, time, values, sequence)
        }
        (Form::LogAnalyticsAgent { .. }, _) => legacy_other(table, time, values),
        (form, table) => columns(form, table, time, values, sequence),
    }
}

fn legacy_syslog<'a>(time: Timestamp, found: &impl Fn(Column) -> Option<Value<'a>>) -> Json {
    let or = |column, other: &str| found(column).map_or(other.to_owned(), |value| text(Some(value)));
    let host = or(Column::HostName, &agent().computer);
    let own = if host == agent().computer { agent().host_ip } else { "Unknown IP".to_owned() };
    let Some(Value::Time(event)) = found(Column::EventTime).or(Some(Value::Time(time))) else { panic!() };
    let severity = or(Column::SeverityLevel, "");
    let mut row = json!({
        "ident": or(Column::ProcessName, ""), "Timestamp": iso(time, true), "EventTime": iso(event, true),
        "Host": host, "HostIP": or(Column::HostIp, &own), "Message": or(Column::SyslogMessage, ""),
        "Facility": or(Column::Facility, ""),
        "Severity": if severity == "warning" { "warn" } else { &severity },
    });
    if let Some(Value::Integer(process)) = found(Column::ProcessId) {
        row["ProcessId"] = process.to_string().into();
    }
    row
}

fn legacy_other(table: &Table, time: Timestamp, values: &[(Column, Value<'_>)]) -> Json {
    let mut row = json!({"Timestamp": iso(time, true), "Computer": agent().computer});
    for (column, value) in values {
        let name = match (table, column) {
            (Table::Heartbeat, Column::ComputerPrivateIps) => "ComputerPrivateIps",
            (Table::Heartbeat, Column::VmUuid | Column::ComputerEnvironment) => continue,
            (Table::Operation, Column::OperationCategory) => "Category",
            (Table::Operation, Column::OperationKey) => continue,
            _ => column.name(),
        };
        row[name] = match value {
            Value::Time(time) => iso(*time, true).into(),
            value => text(Some(*value)).into(),
        };
    }
    if *table == Table::Heartbeat && row.get("Version").is_none() {
        row["Version"] = "0.1.0".into();
    }
    row
}

fn columns(
    form: &Form,
    table: &Table,
    time: Timestamp,
    values: &[(Column, Value<'_>)],
    sequence: i64,
) -> Json {
    let collector = *form != Form::LogsIngestion;
    let mut row = Map::new();
    row.insert("Computer".into(), agent().computer.into());
    for (column, value) in values {
        let name = if collector && *column == Column::RawData { "Message" } else { column.name() };
        if *column != Column::InstalledDate {
            row.insert(name.into(), plain(*value, collector));
        }
    }
    let id = Json::from(agent().agent_id.to_string());
    let more = match table {
        Table::Syslog => syslog_defaults(&row, time, collector),
        Table::Event => vec![("SourceSystem", json!("OpsManager"))],
        Table::Perf => vec![("SourceSystem", json!("Linux")), ("CounterPath", counter_path(&row))],
        Table::Heartbeat => vec![
            ("SourceSystem", json!("Linux")),
            ("SourceComputerId", id),
            ("ComputerIP", json!("10.0.0.4")),
        ],
        Table::Operation => vec![("SourceSystem", json!("Linux")), ("SourceComputerId", id)],
        Table::W3cIisLog => {
            vec![("SourceSystem", json!("Linux")), ("AgentId", id), ("Seq", sequence.into())]
        }
        Table::Custom(_) => vec![("AgentId", id), ("Seq", sequence.into())],
    };
    row.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if !collector {
        let name = if *table == Table::Event { "EventTime_CF" } else { "EventTime" };
        row.entry(name).or_insert_with(|| iso(time, collector).into());
    }
    row.insert(
        if collector { "CollectionTime" } else { "TimeGenerated" }.into(),
        iso(time, collector).into(),
    );
    row.into()
}

fn syslog_defaults(row: &Map<String, Json>, time: Timestamp, collector: bool) -> Vec<(&'static str, Json)> {
    let own = row.get("HostName").is_none_or(|host| *host == agent().computer);
    let mut more = vec![("SourceSystem", json!("Linux")), ("CollectorHostName", agent().computer.into())];
    for (name, value) in [
        ("EventTime", iso(time, collector)),
        ("HostName", agent().computer),
        ("HostIP", if own { agent().host_ip } else { "Unknown IP".to_owned() }),
    ] {
        if !row.contains_key(name) {
            more.push((name, value.into()));
        }
    }
    more
}

fn counter_path(row: &Map<String, Json>) -> Json {
    let part = |name: &str| row.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let instance = match part("InstanceName") {
        empty if empty.is_empty() => empty,
        instance => format!("({instance})"),
    };
    format!(r"\\{}\{}{instance}\{}", agent().computer, part("ObjectName"), part("CounterName")).into()
}

fn plain(value: Value<'_>, collector: bool) -> Json {
    match value {
        Value::Text(text) => text.into(),
        Value::Integer(value) => value.into(),
        Value::Real(value) => value.into(),
        Value::Time(time) => iso(time, collector).into(),
        Value::Json(json) if collector => json.into(),
        Value::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
    }
}

fn text(value: Option<Value<'_>>) -> String {
    match value {
        Some(Value::Text(text) | Value::Json(text)) => text.to_owned(),
        _ => String::new(),
    }
}

fn number(value: Option<Value<'_>>) -> String {
    let Some(Value::Real(value)) = value else { panic!("a number") };
    value.to_string()
}

fn iso(time: Timestamp, milliseconds: bool) -> String {
    let time = jiff::Timestamp::from_microsecond(time.0).unwrap();
    match (milliseconds, time.subsec_microsecond()) {
        (false, 0) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        (false, part) if part % 1000 != 0 => time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        _ => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    }
}

/// Puts a record into frames, value by value.
pub(in crate::transport) fn frame(frames: &mut Frames, time: Timestamp, values: &[(Column, Value<'_>)]) {
    let mut record = frames.begin(time);
    for (column, value) in values {
        record = match value {
            Value::Text(text) | Value::Json(text) => record.text(*column, text),
            Value::Integer(value) => record.integer(*column, *value),
            Value::Real(value) => record.real(*column, *value),
            Value::Time(time) => record.time(*column, *time),
        };
    }
    record.finish();
}

fn row(form: &Form, table: &str, values: &[(Column, Value<'_>)]) -> (Row, String) {
    let mut frames = Frames::default();
    frame(&mut frames, TIME, values);
    let record = Record::decode(frame_at(frames.bytes()).unwrap().payload).unwrap();
    let (agent, mut out) = (agent(), Vec::new());
    let shape = Shape::new(form, &agent, &table.parse().unwrap());
    let row = shape.write(&record, (5 << 20) + 3, shape.largest_field(), &mut out);
    (row, String::from_utf8(out).unwrap())
}

fn json_row(form: &Form, table: &str, values: &[(Column, Value<'_>)]) -> Json {
    let (row, text) = row(form, table, values);
    assert_eq!(row, Row::Whole);
    serde_json::from_str(&text).unwrap()
}

const SYSLOG: &[(Column, Value<'_>)] = &[
    (Column::EventTime, Value::Time(EVENT)),
    (Column::HostName, Value::Text("db7")),
    (Column::Facility, Value::Text("local0")),
    (Column::SeverityLevel, Value::Text("warning")),
    (Column::ProcessName, Value::Text("myapp")),
    (Column::ProcessId, Value::Integer(77)),
    (Column::SyslogMessage, Value::Text("hello \"via\"\tudp")),
];
const PERF: &[(Column, Value<'_>)] = &[
    (Column::ObjectName, Value::Text("Logical Disk")),
    (Column::InstanceName, Value::Text("/")),
    (Column::CounterName, Value::Text("% Used Space")),
    (Column::CounterValue, Value::Real(72.0)),
];
const HEARTBEAT: &[(Column, Value<'_>)] = &[
    (Column::OsType, Value::Text("Linux")),
    (Column::OsName, Value::Text("Debian")),
    (Column::OsMajorVersion, Value::Text("12")),
    (Column::OsMinorVersion, Value::Text("9")),
    (Column::Category, Value::Text("Agent")),
    (Column::ScAgentChannel, Value::Text("Direct")),
    (Column::ComputerPrivateIps, Value::Json("[\"10.0.0.4\"]")),
    (Column::InstalledDate, Value::Time(EVENT)),
    (Column::Version, Value::Text("0.1.0")),
    (Column::VmUuid, Value::Text("u")),
];
const OPERATION: &[(Column, Value<'_>)] = &[
    (Column::Solution, Value::Text("agent-lite")),
    (Column::OperationCategory, Value::Text("Data Collection")),
    (Column::OperationStatus, Value::Text("Warning")),
    (Column::Detail, Value::Text("queue 90 % full")),
];
const IIS: &[(Column, Value<'_>)] = &[
    (Column::FilePath, Value::Text("/iis/W3SVC1/u_ex261123.log")),
    (Column::CsUriStem, Value::Text("/a%20b")),
    (Column::SPort, Value::Integer(443)),
    (Column::ScStatus, Value::Text("404")),
    (Column::ScBytes, Value::Integer(5_000_000_000)),
    (Column::CustomFields, Value::Json("{\"X-Forwarded-For\":\"10.1.1.1\"}")),
    (Column::RawData, Value::Text("a line")),
];
const CUSTOM: &[(Column, Value<'_>)] =
    &[(Column::FilePath, Value::Text("/var/log/app.log")), (Column::RawData, Value::Text("line\n two"))];

#[test]
fn the_legacy_agents_items_are_as_they_were_seen() {
    let (ms, event) = ("2026-11-22T11:16:15.227Z", "2026-11-22T11:16:15.000Z");
    let computer = agent().computer;
    assert_eq!(
        json_row(&LEGACY, "Syslog", SYSLOG),
        json!({"ident": "myapp", "Timestamp": ms, "EventTime": event, "Host": "db7", "HostIP": "Unknown IP",
               "Message": "hello \"via\"\tudp", "ProcessId": "77", "Facility": "local0", "Severity": "warn"})
    );
    assert_eq!(
        json_row(&LEGACY, "Perf", PERF),
        json!({"Timestamp": ms, "Host": computer, "ObjectName": "Logical Disk", "InstanceName": "/",
               "Collections": [{"CounterName": "% Used Space", "Value": "72"}]})
    );
    assert_eq!(
        json_row(&LEGACY, "Heartbeat", HEARTBEAT),
        json!({"Timestamp": ms, "Computer": computer, "OSType": "Linux", "OSName": "Debian", "OSMajorVersion": "12",
               "OSMinorVersion": "9", "Category": "Agent", "SCAgentChannel": "Direct",
               "ComputerPrivateIps": "[\"10.0.0.4\"]", "InstalledDate": event, "Version": "0.1.0"})
    );
    assert_eq!(
        json_row(&LEGACY, "Operation", OPERATION),
        json!({"Timestamp": ms, "Computer": computer, "Solution": "agent-lite", "Category": "Data Collection",
               "OperationStatus": "Warning", "Detail": "queue 90 % full"})
    );
    assert_eq!(row(&LEGACY, "App_CL", CUSTOM), (Row::Whole, "line\n two\r\n".to_owned()));
}

#[test]
fn the_columns_are_those_of_the_tables() {
    let (time, event) = ("2026-11-22T11:16:15.227Z", "2026-11-22T11:16:15Z");
    let (computer, id) = (agent().computer, agent().agent_id.to_string());
    let form = &Form::LogsIngestion;
    assert_eq!(
        json_row(form, "Syslog", SYSLOG),
        json!({"TimeGenerated": time, "EventTime": event, "Computer": computer, "HostName": "db7",
               "HostIP": "Unknown IP", "CollectorHostName": computer, "Facility": "local0",
               "SeverityLevel": "warning", "ProcessName": "myapp", "ProcessID": 77,
               "SyslogMessage": "hello \"via\"\tudp", "SourceSystem": "Linux"})
    );
    assert_eq!(
        json_row(form, "Perf", PERF),
        json!({"TimeGenerated": time, "EventTime": time, "Computer": computer, "SourceSystem": "Linux", "ObjectName": "Logical Disk",
               "InstanceName": "/", "CounterName": "% Used Space", "CounterValue": 72.0,
               "CounterPath": "\\\\vm \"1\"\\Logical Disk(/)\\% Used Space"})
    );
    assert_eq!(
        json_row(form, "Heartbeat", HEARTBEAT),
        json!({"TimeGenerated": time, "EventTime": time, "Computer": computer, "SourceComputerId": id, "ComputerIP": "10.0.0.4",
               "SourceSystem": "Linux", "OSType": "Linux", "OSName": "Debian", "OSMajorVersion": "12",
               "OSMinorVersion": "9", "Category": "Agent", "SCAgentChannel": "Direct",
               "ComputerPrivateIPs": ["10.0.0.4"], "Version": "0.1.0", "VMUUID": "u"})
    );
    assert_eq!(
        json_row(form, "App_CL", CUSTOM),
        json!({"TimeGenerated": time, "EventTime": time, "Computer": computer, "AgentId": id, "Seq": 5_242_883,
               "FilePath": "/var/log/app.log", "RawData": "line\n two"})
    );
    assert_eq!(
        json_row(&Form::DataCollector, "App_CL", CUSTOM),
        json!({"CollectionTime": time, "Computer": computer, "AgentId": id, "Seq": 5_242_883,
               "FilePath": "/var/log/app.log", "Message": "line\n two"})
    );
}

#[test]
fn a_request_to_iis_has_the_tables_columns_and_its_own_fields_by_every_way() {
    let (time, id) = ("2026-11-22T11:16:15.227Z", agent().agent_id.to_string());
    let row = |form: &Form| json_row(form, "W3CIISLog", IIS);
    let mut expected = json!({
        "TimeGenerated": time, "EventTime": time, "Computer": agent().computer, "AgentId": id, "SourceSystem": "Linux",
        "Seq": 5_242_883, "FilePath": "/iis/W3SVC1/u_ex261123.log", "csUriStem": "/a%20b", "sPort": 443,
        "scStatus": "404", "scBytes": 5_000_000_000_i64, "CustomFields": {"X-Forwarded-For": "10.1.1.1"},
        "RawData": "a line",
    });
    assert_eq!(row(&Form::LogsIngestion), expected);
    let columns = expected.as_object_mut().unwrap();
    columns.retain(|name, _| !matches!(name.as_str(), "TimeGenerated" | "EventTime" | "RawData"));
    columns.insert("CollectionTime".into(), time.into());
    columns.insert("Message".into(), "a line".into());
    columns.insert("CustomFields".into(), "{\"X-Forwarded-For\":\"10.1.1.1\"}".into());
    assert_eq!(row(&Form::DataCollector), expected);
    assert_eq!(row(&LEGACY), expected);
}

#[test]
fn an_event_has_the_computer_that_made_it_and_its_time_in_a_column_that_arrival_does_not_change() {
    let event = [
        (Column::Computer, Value::Text("dc1.example")),
        (Column::EventId, Value::Integer(7036)),
        (Column::EventData, Value::Text("<DataItem/>")),
    ];
    let time = "2026-11-22T11:16:15.227Z";
    let mut row = json!({"Computer": "dc1.example", "EventID": 7036, "EventData": "<DataItem/>", "SourceSystem": "OpsManager", "CollectionTime": time});
    assert_eq!(json_row(&Form::DataCollector, "Event", &event), row);
    assert_eq!(json_row(&LEGACY, "Event", &event), row);
    row.as_object_mut().unwrap().remove("CollectionTime");
    (row["TimeGenerated"], row["EventTime_CF"]) = (time.into(), time.into());
    assert_eq!(json_row(&Form::LogsIngestion, "Event", &event), row);
    assert_eq!(json_row(&LEGACY, "Event", &event[1..])["Computer"], agent().computer);
}

#[test]
fn objects_of_the_data_collector_are_flat() {
    let row = json_row(&Form::DataCollector, "Heartbeat", HEARTBEAT);
    assert_eq!(row["ComputerPrivateIPs"], "[\"10.0.0.4\"]");
    let nested = row.as_object().unwrap().iter().find(|(_, value)| value.is_array() || value.is_object());
    assert_eq!(nested, None);
}

#[test]
fn json_that_is_none_is_written_as_text_and_spoils_nothing() {
    let broken = [(Column::ComputerPrivateIps, Value::Json("[\"10.0"))];
    assert_eq!(json_row(&Form::LogsIngestion, "Heartbeat", &broken)["ComputerPrivateIPs"], "[\"10.0");
}

#[test]
fn a_counter_without_a_value_is_no_item() {
    assert_eq!(row(&LEGACY, "Perf", &PERF[..3]).0, Row::Nothing);
    assert_eq!(row(&Form::LogsIngestion, "Perf", &PERF[..3]).0, Row::Whole);
}

#[test]
fn a_text_has_the_services_size_in_bytes() {
    let long = "ä".repeat(20_000);
    let values = [(Column::RawData, Value::Text(long.as_str()))];
    assert_eq!(row(&Form::LogsIngestion, "App_CL", &values).0, Row::Whole);
    let (cut, text) = row(&Form::DataCollector, "App_CL", &values);
    let json: Json = serde_json::from_str(&text).unwrap();
    let kept = json["Message"].as_str().unwrap();
    assert_eq!(cut, Row::Cut);
    assert!(kept.len() <= 32 * 1024 && kept.len() > 32 * 1024 - 3 && kept.ends_with(CUT));
}
