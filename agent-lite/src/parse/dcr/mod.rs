//! A data collection rule (DCR), Azure Monitor's document of what an agent collects and where it goes.
//!
//! [`read`] takes the rule as Azure shows it: the resource with its `properties`, as its REST API and the portal's
//! JSON view give it, or the properties alone, as `az monitor data-collection rule show` does. It is strict: an unknown
//! member is a problem, a member that stands twice is one, and so is whatever is more than Azure's own limits. What is
//! right for Azure and not to be done by this agent is gathered apart, each with its reason.

mod flows;
mod json;
mod report;
mod sources;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::report::Finding;
pub use self::report::Report;

use self::json::Json;
use self::report::Members;
use self::report::quoted;

/// Largest document: 512 KiB. Azure's limits leave room for less than half of it.
pub const LARGEST_RULE: usize = 512 * 1024;
/// Longest name of anything.
const LONGEST_NAME: usize = 260;

/// What an agent has to know of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Syslog.
    pub syslog: Vec<Syslog>,
    /// Performance counters.
    pub performance: Vec<Performance>,
    /// Windows events.
    pub events: Vec<WindowsEvents>,
    /// Custom text logs.
    pub files: Vec<LogFiles>,
    /// IIS logs.
    pub iis: Vec<IisLogs>,
    /// Workspaces.
    pub destinations: Vec<Destination>,
    /// What goes where.
    pub flows: Vec<Flow>,
}

/// Facilities and levels that are collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Its place in the document.
    pub path: String,
    /// Facilities by their numbers.
    pub facilities: Vec<u8>,
    /// Severities by their numbers, 0 (emerg) to 7 (debug).
    pub levels: Vec<u8>,
}

/// Counters with one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performance {
    /// Its place in the document.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// What.
    pub counters: Vec<Counter>,
}

/// `\Object(Instance)\Counter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its place in the document.
    pub path: String,
    /// The object.
    pub object: String,
    /// The instance; none where the specifier has none, which is all.
    pub instance: Option<String>,
    /// The counter.
    pub counter: String,
}

/// Queries of the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsEvents {
    /// Its place in the document.
    pub path: String,
    /// Channel and XPath.
    pub queries: Vec<(String, String)>,
}

/// Text files of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFiles {
    /// Its place in the document.
    pub path: String,
    /// Its stream, `Custom-…`.
    pub stream: String,
    /// Path and pattern of each.
    pub patterns: Vec<(String, String)>,
    /// The form of the time at a record's beginning; none: a line is a record.
    pub record_start: Option<String>,
}

/// IIS logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IisLogs {
    /// Its place in the document.
    pub path: String,
    /// Path and folder of each; none: where IIS writes.
    pub directories: Vec<(String, String)>,
}

/// A workspace by the rule's own name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its place in the document.
    pub path: String,
    /// The name.
    pub name: String,
    /// The workspace's GUID, lower case, where the rule says it.
    pub workspace_id: Option<String>,
}

/// Streams that go to destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its place in the document.
    pub path: String,
    /// The streams.
    pub streams: Vec<String>,
    /// The destinations' names.
    pub destinations: Vec<String>,
    /// The stream of the table, where it is another.
    pub output: Option<String>,
}

/// The streams of the sources that have only one.
pub mod streams {
    /// Syslog.
    pub const SYSLOG: &str = "Microsoft-Syslog";
    /// Performance counters.
    pub const PERF: &str = "Microsoft-Perf";
    /// Windows events.
    pub const EVENT: &str = "Microsoft-Event";
    /// IIS logs.
    pub const IIS: &str = "Microsoft-W3CIISLog";
}

/// Members of the resource around the properties.
const ENVELOPE: &[&str] = &[
    "id",
    "name",
    "type",
    "location",
    "tags",
    "etag",
    "identity",
    "systemData",
    "sku",
    "resourceGroup",
    "apiVersion",
    "$schema",
];
/// Members of the properties that say nothing to an agent.
const ABOUT: &[&str] = &[
    "description",
    "dataCollectionEndpointId",
    "immutableId",
    "provisioningState",
    "metadata",
    "endpoints",
    "ingestionQuotas",
    "references",
];
/// Members of the properties for somebody else.
const FOR_OTHERS: &[&str] = &["agentSettings", "directDataSources", "transformations"];

/// Reads a document: the rule as far as it can be read, and what is to be said of it.
pub fn read(bytes: &[u8]) -> (Rule, Report) {
    let (mut rule, mut report) = (Rule::default(), Report::default());
    match document(bytes) {
        Err(text) => report.problem("$", text),
        Ok(document) => whole(&document, &mut rule, &mut report),
    }
    (rule, report)
}

fn document(bytes: &[u8]) -> Result<Json, String> {
    if bytes.len() > LARGEST_RULE {
        return Err(format!("the document has {} bytes, {LARGEST_RULE} are the most", bytes.len()));
    }
    // The mark that Windows tools write.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("the document is UTF-16; save it as UTF-8".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("line {line} is not UTF-8; save the document as UTF-8")
    })?;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        // The reader's own words quote nothing of the document.
        _ if error.line() > 0 => format!("is no JSON: line {}, column {}", error.line(), error.column()),
        _ => "is no JSON".to_owned(),
    })
}

fn whole(document: &Json, rule: &mut Rule, report: &mut Report) {
    let Some(mut resource) = Members::of("$", document, report) else { return };
    if resource.take("resources").is_some() {
        let text = "is a template of several resources; give the rule itself: the portal's JSON view, or `az monitor data-collection rule show`";
        return report.problem("$", text);
    }
    kind(resource.text("kind", LONGEST_NAME, report), report);
    resource.ignore(ENVELOPE);
    match resource.take("properties") {
        None => properties(resource, rule, report),
        Some(inner) => {
            resource.end(report);
            if let Some(inner) = Members::of("$.properties", inner, report) {
                properties(inner, rule, report);
            }
        }
    }
}

fn kind(kind: Option<&str>, report: &mut Report) {
    match kind {
        None | Some("Linux" | "Windows" | "All") => {}
        Some(other) => {
            let text =
                format!("{} is no kind of rule for an agent: `Linux`, `Windows` or none are", quoted(other));
            report.problem("$.kind", text);
        }
    }
}

fn properties(mut members: Members<'_>, rule: &mut Rule, report: &mut Report) {
    members.ignore(ABOUT);
    for name in FOR_OTHERS {
        if members.take(name).is_some() {
            report.leave_out(
                &members.at(name),
                "is not for this agent: what it has, its own configuration says",
            );
        }
    }
    let declared = flows::declarations(&mut members, report);
    match members.take("destinations") {
        Some(found) => flows::destinations(&members.at("destinations"), found, rule, report),
        None => report.problem(&members.path, "needs `destinations`"),
    }
    match members.take("dataSources") {
        Some(found) => sources::read(&members.at("dataSources"), found, rule, report),
        None => report.problem(&members.path, "needs `dataSources`: a rule without any is not for an agent"),
    }
    flows::flows(&mut members, rule, report);
    members.end(report);
    for files in rule.files.iter().filter(|files| !declared.contains(&files.stream)) {
        let text = format!("`streamDeclarations` does not declare {}", quoted(&files.stream));
        report.problem(&files.path, text);
    }
    flows::untaken(rule, report);
}
