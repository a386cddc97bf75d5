//! Custom tables by `Log-Type`: HTTP Data Collector API (`oms-protocol.md` 5.1), and `PostJsonDataItems`.

use std::time::Duration;
use std::time::SystemTime;

use serde::de::IgnoredAny;
use serde_json::Map;
use serde_json::Value;

use super::directory::Workspace;
use super::encoding;
use super::onboarding::check_skew;
use super::place::Asked;
use super::place::Reply;
use super::rows::Retention;
use super::rows::Row;
use super::rows::Way;
use super::state::State;

const LARGEST_BODY: usize = 30 * 1024 * 1024;
const LARGEST_FIELD: usize = 32 * 1024;
const LONGEST_COLUMN: usize = 45;
const LONGEST_LOG_TYPE: usize = 100;
const RESERVED: [&str; 3] = ["tenant", "TimeGenerated", "RawData"];

/// Answers `/api/logs`.
pub(super) fn collect(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let Some(workspace) = state.owner(&asked.host, &asked.path).cloned() else { return Reply::empty(404) };
    if asked.body.len() > LARGEST_BODY {
        state.ledger.problem(number, format!("the body has {} bytes", asked.body.len()));
        return Reply::empty(404);
    }
    if asked.header("content-encoding").is_some() {
        state.ledger.problem(number, "Content-Encoding is not documented here");
    }
    if let Err(wrong) = authorize(asked, &workspace) {
        state.ledger.problem(number, wrong.clone());
        return Reply::collector_error(403, "InvalidAuthorization", &wrong);
    }
    post(state, number, asked, &workspace.id, Way::Collector, None)
}

fn authorize(asked: &Asked, workspace: &Workspace) -> Result<(), String> {
    let field = |name: &str| asked.header(name).ok_or(format!("there is no {name}"));
    let date = field("x-ms-date")?;
    let moment =
        httpdate::parse_http_date(date).map_err(|_| format!("x-ms-date is no RFC 1123 date: {date}"))?;
    check_skew(moment, asked.now)?;
    let kind = asked.header("content-type").unwrap_or_default();
    let text = format!("POST\n{}\n{kind}\nx-ms-date:{date}\n/api/logs", asked.body.len());
    let expected = format!("SharedKey {}:{}", workspace.id, encoding::signature(&workspace.key, &text));
    match field("authorization")? == expected {
        true => Ok(()),
        false => Err("the signature is wrong: another key, date, length or content type".to_owned()),
    }
}

/// Takes an array of flat objects for the table of the `Log-Type`.
pub(super) fn post(
    state: &mut State,
    number: u64,
    asked: &Asked,
    workspace: &str,
    way: Way,
    agent: Option<&str>,
) -> Reply {
    let refused = |state: &mut State, code: &str, text: String| {
        state.ledger.problem(number, text.clone());
        Reply::collector_error(400, code, &text)
    };
    let table = match table_of(asked) {
        Ok(table) => table,
        Err((code, text)) => return refused(state, code, text),
    };
    let content = asked.content.as_deref().unwrap_or_default();
    if state.settings.retention == Retention::Counts {
        let Ok(items) = serde_json::from_slice::<Vec<IgnoredAny>>(content) else {
            return refused(state, "InvalidDataFormat", "the body is no array".to_owned());
        };
        state.tables.take(workspace, &table, Vec::new(), items.len() as u64, content);
        return Reply::empty(200).rows(items.len() as u64);
    }
    let Ok(items) = serde_json::from_slice::<Vec<Map<String, Value>>>(content) else {
        return refused(state, "InvalidDataFormat", "the body is no array of objects".to_owned());
    };
    let mut rows = Vec::new();
    for item in items {
        match columns_of(&item) {
            Ok(columns) => rows.push(row(state, asked, (workspace, &table), item, columns)),
            Err(wrong) => return refused(state, "InvalidDataFormat", wrong),
        }
    }
    rows.iter_mut().for_each(|row| (row.way, row.agent) = (way, agent.map(str::to_owned)));
    let count = rows.len() as u64;
    state.tables.take(workspace, &table, rows, count, content);
    Reply::empty(200).rows(count)
}

/// Returns the table that the header fields name.
fn table_of(asked: &Asked) -> Result<String, (&'static str, String)> {
    match asked.parameter("api-version").as_deref() {
        Some("2016-04-01") => {}
        None => return Err(("MissingApiVersion", "there is no api-version".to_owned())),
        Some(other) => return Err(("InvalidApiVersion", format!("the api-version is {other}"))),
    }
    let kind = asked.header("content-type");
    if kind != Some("application/json") {
        return Err(("UnsupportedContentType", format!("the Content-Type is {kind:?}")));
    }
    let log_type = asked.header("log-type").unwrap_or_default();
    let plain = log_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match plain && (1..=LONGEST_LOG_TYPE).contains(&log_type.len()) {
        true => Ok(format!("{log_type}_CL")),
        false => Err(("InvalidLogType", format!("the Log-Type is {log_type:?}"))),
    }
}

/// Returns the columns with their types' suffixes.
fn columns_of(item: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut columns = Map::new();
    for (name, value) in item {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || name.is_empty() || name.len() > LONGEST_COLUMN || RESERVED.contains(&name.as_str()) {
            return Err(format!("{name:?} is no name of a column"));
        }
        let suffix = match value {
            Value::Null => continue,
            Value::Bool(_) => "b",
            Value::Number(_) => "d",
            Value::String(text) if is_guid(text) => "g",
            Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => "t",
            Value::String(_) => "s",
            Value::Array(_) | Value::Object(_) => return Err(format!("{name} is not flat")),
        };
        columns.insert(format!("{name}_{suffix}"), value.clone());
    }
    Ok(columns)
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn row(
    state: &mut State,
    asked: &Asked,
    (workspace, table): (&str, &str),
    item: Map<String, Value>,
    mut columns: Map<String, Value>,
) -> Row {
    state.cut((workspace, table), &mut columns, LARGEST_FIELD);
    let named = asked.header("time-generated-field").and_then(|field| item.get(field)?.as_str());
    let (time, time_replaced) = time_generated(named, asked.now);
    columns.insert("TimeGenerated".to_owned(), Value::String(time));
    Row {
        table: table.to_owned(),
        columns,
        wire: Value::Object(item),
        way: Way::Collector,
        agent: None,
        arrived: SystemTime::now(),
        time_replaced,
    }
}

/// Returns the record's own time, or that of its arrival where its own is missing, older than two days or
/// more than one day ahead; and whether it was replaced.
pub(super) fn time_generated(named: Option<&str>, now: SystemTime) -> (String, bool) {
    const DAY: Duration = Duration::from_secs(86_400);
    let arrival = jiff::Timestamp::try_from(now).map(|time| time.to_string()).unwrap_or_default();
    let Some(text) = named else { return (arrival, false) };
    let Ok(own) = text.parse::<jiff::Timestamp>() else { return (arrival, true) };
    match (now - 2 * DAY..=now + DAY).contains(&SystemTime::from(own)) {
        true => (text.to_owned(), false),
        false => (arrival, true),
    }
}
