//! `deploy/agent-lite/rule.json` declares exactly the columns that the agent writes, and leads each table's stream on.
//!
//! A stream without a column loses its values silently (Logs Ingestion API), so the two are held together here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use agent_lite::config;
use agent_lite::config::settings::LogsIngestionSettings;
use agent_lite::config::settings::TransportSettings;
use agent_lite::record::Column;
use agent_lite::record::Frames;
use agent_lite::record::Kind;
use agent_lite::record::Pending;
use agent_lite::record::Table;
use agent_lite::record::Timestamp;
use agent_lite::transport::Agent;
use agent_lite::transport::Batch;
use agent_lite::transport::Form;
use agent_lite::transport::Limit;
use agent_lite::transport::Packer;
use common::document::Source;
use serde_json::Value;

/// A table and the numbers of its columns (`record/column.rs`).
const TABLES: [(&str, std::ops::RangeInclusive<u8>); 7] = [
    ("Syslog", 1..=15),
    ("Perf", 16..=23),
    ("App_CL", 24..=31),
    ("Heartbeat", 32..=47),
    ("Operation", 48..=63),
    ("Event", 64..=79),
    ("W3CIISLog", 96..=127),
];

/// Numbers that have 64 bits in Azure Monitor's own table.
const LONG: [Column; 3] = [Column::ScBytes, Column::CsBytes, Column::TimeTaken];

type Columns = BTreeMap<String, String>;

#[test]
fn the_template_declares_exactly_what_the_agent_writes() {
    let rule = rule();
    let settings = settings();
    let declared = rule["properties"]["streamDeclarations"].as_object().unwrap();
    let mut streams = Vec::new();
    for (name, numbers) in TABLES {
        let table: Table = name.parse().unwrap();
        let stream = settings.stream(&table).unwrap();
        assert_eq!(columns(&declared[&stream]["columns"]), written(&table, numbers), "{stream}");
        streams.push(stream);
    }
    streams.sort();
    let mut names: Vec<&String> = declared.keys().collect();
    names.sort();
    assert_eq!(names, streams.iter().collect::<Vec<_>>(), "streams that no table has");
}

#[test]
fn every_stream_leads_to_a_table_of_the_template_with_the_same_columns_or_to_a_built_in_one() {
    let rule = rule();
    let tables: BTreeMap<String, Columns> = template()["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|resource| resource["type"] == "Microsoft.OperationalInsights/workspaces/tables")
        .map(|table| {
            let schema = &table["properties"]["schema"];
            let name = schema["name"].as_str().unwrap();
            assert!(table["name"].as_str().unwrap().ends_with(&format!("/{name}')]")), "{name}");
            (format!("Custom-{name}"), columns(&schema["columns"]))
        })
        .collect();
    let flows = rule["properties"]["dataFlows"].as_array().unwrap();
    let declared = rule["properties"]["streamDeclarations"].as_object().unwrap();
    assert_eq!(flows.len(), declared.len());
    for flow in flows {
        let stream = flow["streams"][0].as_str().unwrap();
        match flow["outputStream"].as_str().unwrap() {
            "Microsoft-Syslog" => assert_eq!(stream, "Custom-AgentLiteSyslog"),
            "Microsoft-Event" => {
                assert_eq!(stream, "Custom-AgentLiteEvent");
                let own = columns(&declared[stream]["columns"])
                    .into_iter()
                    .filter(|(name, _)| name.ends_with("_CF"));
                assert_eq!(own.collect::<Columns>(), tables["Custom-Event"], "columns of our own in Event");
            }
            output => assert_eq!(columns(&declared[stream]["columns"]), tables[output], "{stream}"),
        }
    }
}

fn template() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent-lite/rule.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn rule() -> Value {
    let template = template();
    let resources = template["resources"].as_array().unwrap();
    resources.iter().find(|one| one["type"] == "Microsoft.Insights/dataCollectionRules").unwrap().clone()
}

fn columns(list: &Value) -> Columns {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|column| (text(&column["name"]), text(&column["type"]))).collect()
}

/// The streams of a configuration that says nothing about them.
fn settings() -> LogsIngestionSettings {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "secret\n").unwrap();
    let text = format!(
        "[gateway]\nproxies = [\"http://gateway:8080\"]\n[workspace.main]\ntransport = \"logs-ingestion\"\n\
         endpoint = \"e.westeurope-1.ingest.monitor.azure.com\"\nrule = \"dcr-{}\"\ntenant = \"example.com\"\n\
         client = \"00000000-0000-0000-0000-000000000001\"\nsecret_file = \"secret\"\n",
        "0".repeat(32)
    );
    let file = folder.path().join("agent.toml");
    let config = config::parse(Source { file: &file, text: &text }, "edge7").unwrap();
    match &config.workspaces[0].transport {
        TransportSettings::LogsIngestion(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

/// Writes one record that has every column of a table, and returns what stands in its row.
fn written(table: &Table, numbers: std::ops::RangeInclusive<u8>) -> Columns {
    let mut frames = Frames::default();
    // A line of IIS says where it stood, and stands there whole where it is not as announced.
    let also = if *table == Table::W3cIisLog { &[Column::RawData, Column::FilePath][..] } else { &[] };
    let own = |column: &&Column| numbers.contains(&(**column as u8)) || also.contains(*column);
    let columns = Column::ALL.iter().filter(own);
    columns.fold(frames.begin(Timestamp(0)), |record, column| with(record, *column)).finish();
    let agent = Agent {
        computer: "edge7".to_owned(),
        agent_id: uuid::Uuid::nil(),
        version: "1",
        host_ip: "10.0.0.1".to_owned(),
        machine_uuid: "uuid".to_owned(),
    };
    let batch = Batch { table, number: 1 << 20, first: 0, frames: frames.bytes() };
    let limit = Limit { records: 1, raw: 1_000_000 };
    let parcel = Packer::new().pack(&Form::LogsIngestion, &agent, &batch, &limit);
    let mut body = String::new();
    flate2::read::GzDecoder::new(parcel.body.as_ref()).read_to_string(&mut body).unwrap();
    let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&body).unwrap();
    rows[0].iter().map(|(name, value)| (name.clone(), type_of(value).to_owned())).collect()
}

fn with(record: Pending<'_>, column: Column) -> Pending<'_> {
    match column.kind() {
        Kind::Text => record.text(column, "text"),
        Kind::Json => record.text(column, "[]"),
        Kind::Integer if LONG.contains(&column) => record.integer(column, 1 << 40),
        Kind::Integer => record.integer(column, 1),
        Kind::Real => record.real(column, 0.5),
        Kind::Time => record.time(column, Timestamp(0)),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => "datetime",
        Value::String(_) => "string",
        Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => "int",
        Value::Number(number) if number.is_i64() => "long",
        Value::Number(_) => "real",
        _ => "dynamic",
    }
}
