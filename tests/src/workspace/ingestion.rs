//! Logs Ingestion API (`azure.md` 2.3).

use std::time::SystemTime;

use serde::de::IgnoredAny;
use serde_json::Map;
use serde_json::Value;

use super::custom::time_generated;
use super::directory::Stream;
use super::directory::Workspace;
use super::place::Asked;
use super::place::Reply;
use super::rows::Retention;
use super::rows::Row;
use super::rows::Way;
use super::state::State;

/// Most bytes of a call, compressed and not: 1 MB.
pub const LARGEST_CALL: usize = 1_048_576;
/// Most bytes of a field; what is more is cut off.
pub const LARGEST_FIELD: usize = 64 * 1024;

/// Answers `/dataCollectionRules/{rule}/streams/{stream}`.
pub(super) fn post(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let (workspace, stream) = match target(state, asked) {
        Ok(found) => found,
        Err((status, code, text)) => return refuse(state, number, status, code, &text),
    };
    if asked.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
        return refuse(
            state,
            number,
            415,
            "UnsupportedMediaType",
            "the Content-Type is not application/json",
        );
    }
    if !matches!(asked.header("content-encoding"), None | Some("gzip")) {
        return refuse(state, number, 415, "UnsupportedMediaType", "the Content-Encoding is not gzip");
    }
    let content = match &asked.content {
        Ok(content) => content.clone(),
        Err(wrong) => return refuse(state, number, 400, "InvalidContent", wrong),
    };
    let largest = asked.body.len().max(content.len());
    if largest > LARGEST_CALL {
        let text = format!("{largest} bytes are more than {LARGEST_CALL}");
        return refuse(state, number, 413, "ContentLengthLimitExceeded", &text);
    }
    match state.settings.retention {
        Retention::Counts => match serde_json::from_slice::<Vec<IgnoredAny>>(&content) {
            Ok(items) => {
                state.tables.take(&workspace.id, &stream.table, Vec::new(), items.len() as u64, &content);
                Reply::empty(204).rows(items.len() as u64)
            }
            Err(_) => refuse(state, number, 400, "InvalidPayload", "the body is no array"),
        },
        Retention::Rows => take(state, number, asked, (&workspace, &stream), &content),
    }
}

fn refuse(state: &mut State, number: u64, status: u16, code: &str, text: &str) -> Reply {
    state.ledger.problem(number, text);
    Reply::ingestion_error(status, code, text)
}

type Wrong = (u16, &'static str, String);

/// Returns the workspace and the stream of a request that may be sent there.
fn target(state: &State, asked: &Asked) -> Result<(Workspace, Stream), Wrong> {
    let bearer = asked.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    let holder = bearer.and_then(|token| state.tokens.holder(token, asked.now));
    let holder = holder.ok_or((401, "InvalidToken", "there is no valid token".to_owned()))?;
    let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
    let ["dataCollectionRules", rule, "streams", stream] = segments.as_slice() else {
        return Err((404, "NotFound", format!("there is nothing at {}", asked.path)));
    };
    let Some(workspace) = state.owner(&asked.host, &asked.path) else {
        return Err((404, "NotFound", format!("there is no rule {rule} at {}", asked.host)));
    };
    if holder != (workspace.tenant.as_str(), workspace.client.as_str()) {
        return Err((403, "OperationFailed", format!("{} may not send to {rule}", holder.1)));
    }
    if asked.parameter("api-version").as_deref() != Some("2023-01-01") {
        return Err((400, "InvalidApiVersion", format!("the query is {}", asked.query)));
    }
    match workspace.streams.get(*stream) {
        Some(found) => Ok((workspace.clone(), found.clone())),
        None => Err((400, "InvalidStream", format!("the rule has no stream {stream}"))),
    }
}

fn take(
    state: &mut State,
    number: u64,
    asked: &Asked,
    (workspace, stream): (&Workspace, &Stream),
    content: &[u8],
) -> Reply {
    let items = match serde_json::from_slice::<Value>(content) {
        Ok(Value::Array(items)) => items,
        Ok(Value::Object(_)) => {
            // Known issue of the service: answered as if it were taken, and lost.
            state.ledger.problem(number, "the body is an object, not an array: it is lost");
            return Reply::empty(204);
        }
        _ => return refuse(state, number, 400, "InvalidPayload", "the body is no JSON array"),
    };
    if items.is_empty() {
        state.ledger.problem(number, "the array is empty");
    }
    let mut rows = Vec::new();
    for item in items {
        let Value::Object(fields) = item else {
            return refuse(state, number, 400, "InvalidPayload", "an element is no object");
        };
        rows.push(row(state, number, asked.now, (workspace, stream), fields));
    }
    let count = rows.len() as u64;
    state.tables.take(&workspace.id, &stream.table, rows, count, content);
    Reply::empty(204).rows(count)
}

fn row(
    state: &mut State,
    number: u64,
    now: SystemTime,
    (workspace, stream): (&Workspace, &Stream),
    fields: Map<String, Value>,
) -> Row {
    let mut columns = declared(state, number, stream, &fields);
    state.cut((&workspace.id, &stream.table), &mut columns, LARGEST_FIELD);
    let named = columns.get("TimeGenerated").and_then(Value::as_str);
    if named.is_none() {
        state.ledger.problem(number, "a record has no TimeGenerated");
    }
    let (time, time_replaced) = time_generated(named, now);
    columns.insert("TimeGenerated".to_owned(), Value::String(time));
    Row {
        table: stream.table.clone(),
        columns,
        wire: Value::Object(fields),
        way: Way::Ingestion,
        agent: None,
        arrived: SystemTime::now(),
        time_replaced,
    }
}

/// Returns the columns that the stream declares; others vanish, wrong types become null, both are noted.
fn declared(
    state: &mut State,
    number: u64,
    stream: &Stream,
    fields: &Map<String, Value>,
) -> Map<String, Value> {
    let mut columns = Map::new();
    for (name, value) in fields {
        match stream.columns.get(name) {
            None => state.ledger.problem(number, format!("{} has no column {name}", stream.table)),
            Some(_) if value.is_null() => {}
            Some(kind) if kind.takes(value) => {
                columns.insert(name.clone(), value.clone());
            }
            Some(kind) => {
                state.ledger.problem(number, format!("{}: {name} is {kind:?}, not {value}", stream.table));
            }
        }
    }
    columns
}
