//! Streams, destinations and what joins them.

use super::Destination;
use super::Flow;
use super::LONGEST_NAME;
use super::Rule;
use super::json::Json;
use super::report::Members;
use super::report::Report;
use super::report::quoted;
use super::streams;

/// Azure's limits of one rule.
const MOST_DESTINATIONS: usize = 10;
const MOST_FLOWS: usize = 10;
const MOST_STREAMS: usize = 20;
const MOST_COLUMNS: usize = 300;
const LONGEST_TRANSFORMATION: usize = 15_360;
const LONGEST_RESOURCE: usize = 1024;

const COLUMN_TYPES: [&str; 7] = ["string", "int", "long", "real", "boolean", "dynamic", "datetime"];
/// The columns of a text log that this agent fills.
const FILLED: [&str; 5] = ["TimeGenerated", "RawData", "FilePath", "Computer", "EventTime"];
/// Destinations that are no workspace.
const OTHERS: [&str; 10] = [
    "azureMonitorMetrics",
    "monitoringAccounts",
    "eventHubs",
    "eventHubsDirect",
    "storageAccounts",
    "storageBlobsDirect",
    "storageTablesDirect",
    "microsoftFabric",
    "azureDataExplorer",
    "eventHub",
];

/// Reads `streamDeclarations` and returns the names.
pub(super) fn declarations(members: &mut Members<'_>, report: &mut Report) -> Vec<String> {
    let Some(found) = members.take("streamDeclarations") else { return Vec::new() };
    let path = members.at("streamDeclarations");
    let Json::Members(streams) = found else {
        report.problem(&path, format!("must be an object, not {}", found.kind()));
        return Vec::new();
    };
    if streams.len() > MOST_STREAMS {
        report.problem(&path, format!("declares {} streams, {MOST_STREAMS} are the most", streams.len()));
    }
    let mut names: Vec<String> = Vec::new();
    for (name, stream) in streams.iter().take(MOST_STREAMS) {
        let path = format!("{path}.{}", quoted(name));
        if names.contains(name) {
            report.problem(&path, "stands there twice");
        }
        if !is_custom(name) {
            report.problem(&path, "a declared stream's name is `Custom-` and letters, digits, `-` and `_`");
        }
        names.push(name.clone());
        columns(&path, stream, report);
    }
    names
}

fn columns(path: &str, stream: &Json, report: &mut Report) {
    let Some(mut stream) = Members::of(path, stream, report) else { return };
    for (path, column) in stream.list("columns", MOST_COLUMNS, report) {
        let Some(mut column) = Members::of(&path, column, report) else { continue };
        let name = column.needed_text("name", LONGEST_NAME, report);
        let kind = column.needed_text("type", LONGEST_NAME, report);
        if let Some(kind) = kind.filter(|kind| !COLUMN_TYPES.contains(kind)) {
            let text = format!("{} is no type of a column: {}", quoted(kind), COLUMN_TYPES.join(", "));
            report.problem(&column.at("type"), text);
        }
        if let Some(name) = name.filter(|name| !FILLED.contains(name)) {
            report.remark(
                &path,
                format!("the column {} stays empty: lines are not taken apart here", quoted(name)),
            );
        }
        column.end(report);
    }
    stream.end(report);
}

/// Returns whether a name is that of a custom stream.
pub(super) fn is_custom(name: &str) -> bool {
    let rest = name.strip_prefix("Custom-").unwrap_or_default();
    let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    plain && !rest.is_empty() && name.len() <= 128
}

/// Reads `destinations`.
pub(super) fn destinations(path: &str, found: &Json, rule: &mut Rule, report: &mut Report) {
    let Some(mut members) = Members::of(path, found, report) else { return };
    for (path, one) in members.list("logAnalytics", MOST_DESTINATIONS, report) {
        let Some(mut one) = Members::of(&path, one, report) else { continue };
        let name = one.needed_text("name", LONGEST_NAME, report);
        one.text("workspaceResourceId", LONGEST_RESOURCE, report);
        let id = one.text("workspaceId", LONGEST_NAME, report);
        let workspace_id = id.and_then(|id| uuid::Uuid::try_parse(id).ok());
        if id.is_some() && workspace_id.is_none() {
            report.problem(&one.at("workspaceId"), "is no GUID");
        }
        let Some(name) = name else { continue };
        if rule.destinations.iter().any(|known| known.name == name) {
            report.problem(&path, format!("two destinations are called {}", quoted(name)));
        }
        let workspace_id = workspace_id.map(|id| id.to_string());
        rule.destinations.push(Destination { path, name: name.to_owned(), workspace_id });
        one.end(report);
    }
    for name in OTHERS {
        if members.take(name).is_some() {
            report.leave_out(&members.at(name), "this agent sends to Log Analytics workspaces only");
        }
    }
    members.end(report);
}

/// Reads `dataFlows`.
pub(super) fn flows(members: &mut Members<'_>, rule: &mut Rule, report: &mut Report) {
    for (path, one) in members.list("dataFlows", MOST_FLOWS, report) {
        let Some(mut one) = Members::of(&path, one, report) else { continue };
        let streams = one.texts("streams", (MOST_STREAMS, LONGEST_NAME), report);
        let streams: Vec<String> = streams.into_iter().map(|(_, name)| name.to_owned()).collect();
        if streams.is_empty() {
            report.problem(&path, "needs `streams`");
        }
        transformation(&mut one, report);
        let output = one.text("outputStream", LONGEST_NAME, report).map(str::to_owned);
        output_of(&one, &streams, output.as_deref(), report);
        if one.take("builtInTransform").is_some() {
            report.leave_out(&one.at("builtInTransform"), NO_TRANSFORMATION);
        }
        one.ignore(&["captureOverflow"]);
        let mut destinations = Vec::new();
        let named = one.texts("destinations", (MOST_DESTINATIONS, LONGEST_NAME), report);
        if named.is_empty() {
            report.problem(&path, "needs `destinations`");
        }
        for (path, name) in named {
            match rule.destinations.iter().any(|known| known.name == name) {
                true => destinations.push(name.to_owned()),
                // One of another kind was said above.
                false if report.left_out.iter().any(|known| known.path.contains(".destinations.")) => {}
                false => report
                    .problem(&path, format!("no workspace in `destinations` is called {}", quoted(name))),
            }
        }
        one.end(report);
        rule.flows.push(Flow { path, streams, destinations, output });
    }
}

const NO_TRANSFORMATION: &str = "transformations are made by Azure's ingestion, not by an agent: rows would arrive as if there were none. Put it into the rule that this workspace's `rule` names, or into a workspace transformation, and write `source` here";

fn transformation(flow: &mut Members<'_>, report: &mut Report) {
    let at = flow.at("transformKql");
    let Some(found) = flow.take("transformKql") else { return };
    match found {
        Json::Text(text) if text.len() > LONGEST_TRANSFORMATION => {
            report.problem(&at, format!("has {} bytes, {LONGEST_TRANSFORMATION} are the most", text.len()));
        }
        Json::Text(text) if text.trim() == "source" => {}
        Json::Text(text) => {
            report.leave_out(&at, format!("the KQL is {}: {NO_TRANSFORMATION}", quoted(text.trim())))
        }
        other => report.problem(&at, format!("must be a text, not {}", other.kind())),
    }
}

/// A table other than the stream's own is for custom streams only.
fn output_of(flow: &Members<'_>, streams: &[String], output: Option<&str>, report: &mut Report) {
    let Some(output) = output else { return };
    let right = streams.iter().all(|stream| match is_custom(stream) {
        true => is_custom(output),
        false => stream == output,
    });
    if !right {
        let text = format!(
            "{} is another table than the stream's: that takes a transformation, which {NO_TRANSFORMATION}",
            quoted(output)
        );
        report.leave_out(&flow.at("outputStream"), text);
    }
}

/// Says which sources no flow takes.
pub(super) fn untaken(rule: &Rule, report: &mut Report) {
    let taken = |stream: &str| rule.flows.iter().any(|flow| flow.streams.iter().any(|known| known == stream));
    let sources = [
        (streams::SYSLOG, rule.syslog.iter().map(|source| &source.path).collect::<Vec<_>>()),
        (streams::PERF, rule.performance.iter().map(|source| &source.path).collect()),
        (streams::EVENT, rule.events.iter().map(|source| &source.path).collect()),
        (streams::IIS, rule.iis.iter().map(|source| &source.path).collect()),
    ];
    let files = rule.files.iter().map(|source| (source.stream.as_str(), vec![&source.path]));
    for (stream, paths) in sources.into_iter().chain(files) {
        for path in paths.into_iter().filter(|_| !taken(stream)) {
            report.leave_out(path, format!("no data flow takes its stream {}", quoted(stream)));
        }
    }
}
