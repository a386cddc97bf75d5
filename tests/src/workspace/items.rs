//! `PostJsonDataItems`: items with an envelope, and custom JSON (`oms-protocol.md` 3.1 to 3.3).

use std::time::SystemTime;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::custom;
use super::place::Asked;
use super::place::Reply;
use super::rows::Retention;
use super::rows::Row;
use super::rows::Way;
use super::schema::ITEMS;
use super::schema::ItemKind;
use super::schema::OPAQUE;
use super::state::Agent;
use super::state::State;

const DATA_FIELDS: [&str; 3] = ["DataItems", "DataType", "IPName"];

/// Returns the agent of a request with the fields of `oms-protocol.md` 3.2, or 403.
pub(super) fn known_agent(state: &mut State, number: u64, asked: &Asked) -> Result<Agent, Reply> {
    let Some(agent) = state.agent(asked).filter(|agent| asked.host.starts_with(&agent.workspace)).cloned()
    else {
        state.ledger.problem(number, "the certificate is not known here");
        return Err(Reply::empty(403));
    };
    state.used(asked);
    if asked.header("content-type") != Some("application/json") {
        state.ledger.problem(number, "the Content-Type is not application/json");
    }
    match asked.header("x-request-id").map(str::to_owned) {
        Some(id) if id.len() == 36 => {
            if !state.ledger.new_request_id(&id) {
                state.ledger.problem(number, "the X-Request-ID came before");
            }
        }
        _ => state.ledger.problem(number, "X-Request-ID is no UUID"),
    }
    Ok(agent)
}

/// Answers `OperationalData.svc/PostJsonDataItems`.
pub(super) fn post(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let agent = match known_agent(state, number, asked) {
        Ok(agent) => agent,
        Err(reply) => return reply,
    };
    if !matches!(asked.header("content-encoding"), None | Some("deflate")) {
        state.ledger.problem(number, "the Content-Encoding is not deflate");
    }
    let content = match asked.content.as_deref() {
        Ok(content) => content,
        Err(wrong) => return malformed(state, number, wrong),
    };
    if asked.header("log-type").is_some() || asked.parameter("api-version").is_some() {
        return custom::post(state, number, asked, &agent.workspace, Way::CustomJson, Some(&agent.guid));
    }
    match state.settings.retention {
        Retention::Counts => count_only(state, number, content, &agent),
        Retention::Rows => take(state, number, content, &agent),
    }
}

/// Answers `DiagnosticsDataService.svc/PostJsonDataItems`.
pub(super) fn diagnostics(state: &mut State, number: u64, asked: &Asked) -> Reply {
    if let Err(reply) = known_agent(state, number, asked) {
        return reply;
    }
    let content = asked.content.as_deref().unwrap_or_default();
    match serde_json::from_slice::<Value>(content) {
        Ok(body) if body.get("DataItems").is_some_and(Value::is_array) => Reply::empty(200),
        _ => malformed(state, number, "the diagnostics have no DataItems"),
    }
}

fn malformed(state: &mut State, number: u64, wrong: &str) -> Reply {
    state.ledger.problem(number, wrong);
    Reply::empty(400)
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "DataType")]
    data_type: String,
    #[serde(rename = "DataItems")]
    items: Vec<IgnoredAny>,
}

fn count_only(state: &mut State, number: u64, content: &[u8], agent: &Agent) -> Reply {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(content) else {
        return malformed(state, number, "the body is no envelope");
    };
    let kind = ITEMS.iter().find(|kind| kind.data_type == envelope.data_type);
    let table = kind.map_or(envelope.data_type.as_str(), |kind| kind.table);
    let count = envelope.items.len() as u64;
    state.tables.take(&agent.workspace, table, Vec::new(), count, content);
    Reply::empty(200).rows(count)
}

fn take(state: &mut State, number: u64, content: &[u8], agent: &Agent) -> Reply {
    let (data_type, solution, items) = match open(content) {
        Ok(envelope) => envelope,
        Err(wrong) => return malformed(state, number, &wrong),
    };
    if items.is_empty() {
        state.ledger.problem(number, "DataItems is empty");
    }
    let kind = ITEMS.iter().find(|kind| kind.data_type == data_type);
    match kind {
        Some(kind) if !kind.solution.eq_ignore_ascii_case(&solution) => {
            state.ledger.problem(number, format!("{data_type} comes with the IPName {solution}"));
        }
        None if !OPAQUE.contains(&data_type.as_str()) => {
            state.ledger.problem(number, format!("nobody knows the DataType {data_type}"));
        }
        _ => {}
    }
    let mut rows = Vec::new();
    for item in &items {
        let Some(fields) = item.as_object() else {
            return malformed(state, number, "an item is no object");
        };
        let Some(kind) = kind else {
            rows.push(row(&data_type, fields.clone(), item, agent));
            continue;
        };
        kind.wrong(fields).into_iter().for_each(|text| state.ledger.problem(number, text));
        let columns = normalised(kind, fields, agent).into_iter();
        rows.extend(columns.map(|columns| row(kind.table, columns, item, agent)));
    }
    let (count, table) = (rows.len() as u64, kind.map_or(data_type.as_str(), |kind| kind.table));
    state.tables.take(&agent.workspace, table, rows, count, content);
    Reply::empty(200).rows(count)
}

/// Returns DataType, IPName and DataItems of an envelope that has these and nothing else.
fn open(content: &[u8]) -> Result<(String, String, Vec<Value>), String> {
    let envelope: Map<String, Value> =
        serde_json::from_slice(content).map_err(|_| "the body is no JSON object".to_owned())?;
    let mut names: Vec<&str> = envelope.keys().map(String::as_str).collect();
    names.sort_unstable();
    if names != DATA_FIELDS {
        return Err(format!("the envelope has the fields {names:?}"));
    }
    let text = |name: &str| envelope[name].as_str().map(str::to_owned).ok_or(format!("{name} is no text"));
    let items = envelope["DataItems"].as_array().ok_or("DataItems is no array")?;
    Ok((text("DataType")?, text("IPName")?, items.clone()))
}

fn row(table: &str, columns: Map<String, Value>, item: &Value, agent: &Agent) -> Row {
    Row {
        table: table.to_owned(),
        columns,
        wire: item.clone(),
        way: Way::Items,
        agent: Some(agent.guid.clone()),
        arrived: SystemTime::now(),
        time_replaced: false,
    }
}

/// Returns the rows of one item by the columns' names.
fn normalised(kind: &ItemKind, item: &Map<String, Value>, agent: &Agent) -> Vec<Map<String, Value>> {
    let mut base = Map::new();
    base.insert("SourceSystem".to_owned(), json!("Linux"));
    let mut counters = Vec::new();
    for (name, value) in item {
        let (column, value) = match (kind.table, name.as_str()) {
            (_, "Timestamp") => ("TimeGenerated", value.clone()),
            ("Syslog", "ident") => ("ProcessName", value.clone()),
            ("Syslog", "Severity") => ("SeverityLevel", value.clone()),
            ("Syslog", "Message") => ("SyslogMessage", value.clone()),
            ("Syslog", "ProcessId") => ("ProcessID", number(value)),
            ("Syslog", "Host") => ("HostName", value.clone()),
            ("Perf", "Host") => ("Computer", value.clone()),
            ("Perf", "Collections") => {
                counters = value.as_array().cloned().unwrap_or_default();
                continue;
            }
            ("Operation", "Category") => ("OperationCategory", value.clone()),
            ("Heartbeat", "ComputerPrivateIps") => ("ComputerPrivateIPs", json_in(value)),
            (_, other) => (other, value.clone()),
        };
        base.insert(column.to_owned(), value);
    }
    match kind.table {
        "Syslog" => {
            let host = base.get("HostName").cloned().unwrap_or_default();
            base.insert("Computer".to_owned(), host);
        }
        "Heartbeat" => {
            base.insert("SourceComputerId".to_owned(), json!(agent.guid));
        }
        _ => {}
    }
    match kind.table {
        "Perf" => counters.iter().map(|counter| with_counter(&base, counter)).collect(),
        _ => vec![base],
    }
}

fn with_counter(base: &Map<String, Value>, counter: &Value) -> Map<String, Value> {
    let mut columns = base.clone();
    columns.insert("CounterName".to_owned(), counter["CounterName"].clone());
    columns.insert("CounterValue".to_owned(), number(&counter["Value"]));
    columns
}

fn number(value: &Value) -> Value {
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<serde_json::Number>(text).ok());
    parsed.map_or(Value::Null, Value::Number)
}

fn json_in(value: &Value) -> Value {
    value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
