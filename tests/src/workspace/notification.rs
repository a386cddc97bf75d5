//! The last call of a blob upload: what was committed becomes rows.

use std::time::SystemTime;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::custom::time_generated;
use super::place::Asked;
use super::rows::Retention;
use super::rows::Row;
use super::rows::Way;
use super::state::Agent;
use super::state::State;

const ENVELOPE: [&str; 4] = ["DataItems", "DataType", "IPName", "metadata-TimeZoneId"];
const ITEM: [&str; 5] = ["BlobUrl", "Etag", "FileSize", "OriginalDataTypeId", "StartOffset"];

/// Checks a notification and takes the lines it speaks of; returns how many.
pub(super) fn take(state: &mut State, number: u64, asked: &Asked, agent: &Agent) -> Result<u64, String> {
    let body: Map<String, Value> =
        serde_json::from_slice(&asked.body).map_err(|_| "the body is no JSON object".to_owned())?;
    let items = body.get("DataItems").and_then(Value::as_array).cloned().unwrap_or_default();
    let item = items.first().and_then(Value::as_object).filter(|_| items.len() == 1);
    let item = item.ok_or("there is not one item")?;
    same_fields(&body, &ENVELOPE)?;
    same_fields(item, &ITEM)?;
    if body["DataType"] != "BLOB_UPLOAD_NOTIFICATION"
        || body["IPName"] != ""
        || !body[ENVELOPE[3]].is_string()
    {
        return Err("DataType, IPName or metadata-TimeZoneId is another".to_owned());
    }
    let text = |name: &str| item[name].as_str().unwrap_or_default();
    let size =
        |name: &str| item[name].as_u64().map(|size| size as usize).ok_or(format!("{name} is no number"));
    let (start, end) = (size("StartOffset")?, size("FileSize")?);
    let url = text("BlobUrl").strip_prefix("https://").unwrap_or_default();
    let (_, path) = url.split_once('/').ok_or(format!("the BlobUrl is {url}"))?;
    let path = format!("/{}", percent_encoding::percent_decode_str(path).decode_utf8_lossy());
    let blob = state.blobs.get(&path).ok_or(format!("the BlobUrl is not known: {path}"))?;
    let kind = format!("CUSTOM_LOG_BLOB.{}_{}", blob.table, blob.workspace);
    if text("OriginalDataTypeId") != kind || blob.guid != agent.guid {
        return Err(format!("the blob is of {kind} by {}", blob.guid));
    }
    if text("Etag") != blob.etag {
        return Err(format!("the Etag is {}, not {}", text("Etag"), blob.etag));
    }
    if end != blob.content.len() || !blob.ends.contains(&start) || start >= end {
        return Err(format!("{start} to {end} are not the bytes that were sent: {:?}", blob.ends));
    }
    if start < blob.notified {
        state.ledger.problem(number, format!("bytes {start} to {} were notified before", blob.notified));
    } else if start > blob.notified {
        let text = format!("bytes {} to {start} were never notified: these lines are lost", blob.notified);
        state.ledger.problem(number, text);
    }
    rows_of(state, number, asked, (&path, start, end))
}

fn rows_of(
    state: &mut State,
    number: u64,
    asked: &Asked,
    (path, start, end): (&str, usize, usize),
) -> Result<u64, String> {
    let Some(blob) = state.blobs.get_mut(path) else { return Err("the blob is gone".to_owned()) };
    blob.notified = end;
    let content = blob.content[start..end].to_vec();
    let (workspace, table) = (blob.workspace.clone(), blob.table.clone());
    let (host, guid, file) = (blob.host.clone(), blob.guid.clone(), blob.file_path.clone());
    let text = std::str::from_utf8(&content).map_err(|_| "the blob's text is not in UTF-8".to_owned())?;
    let Some(whole) = text.strip_suffix("\r\n") else {
        return Err("the blob's text does not end with CR LF".to_owned());
    };
    let lines = whole.split("\r\n");
    let count = lines.clone().count() as u64;
    if whole.split("\r\n").any(str::is_empty) {
        state.ledger.problem(number, "the blob has an empty line");
    }
    let time = time_generated(None, asked.now).0;
    let row = |line: &str| Row {
        table: table.clone(),
        columns: columns(line, &time, &host, &file),
        wire: json!(line),
        way: Way::Blob,
        agent: Some(guid.clone()),
        arrived: SystemTime::now(),
        time_replaced: false,
    };
    let rows = match state.settings.retention {
        Retention::Rows => lines.map(row).collect(),
        Retention::Counts => Vec::new(),
    };
    state.tables.take(&workspace, &table, rows, count, &content);
    Ok(count)
}

fn columns(line: &str, time: &str, host: &str, file: &str) -> Map<String, Value> {
    let columns = [("TimeGenerated", time), ("RawData", line), ("Computer", host), ("FilePath", file)];
    columns.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn same_fields(object: &Map<String, Value>, expected: &[&str]) -> Result<(), String> {
    let mut names: Vec<&str> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    match names == expected {
        true => Ok(()),
        false => Err(format!("the fields are {names:?}, not {expected:?}")),
    }
}
