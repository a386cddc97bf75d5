//! What the sources of the legacy agent's configuration mean here.

use std::time::Duration;

use super::Unread;
use super::fluent::Element;
use super::patterns::patterns;
use crate::parse::proc::catalogue::Object;
use crate::parse::proc::catalogue::Selection;
use crate::record::Table;

/// What one file has of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Listeners for syslog.
    pub listeners: Vec<Listener>,
    /// Text logs.
    pub logs: Vec<TextLog>,
    /// Performance counters.
    pub counters: Vec<Counters>,
    /// What is not carried over.
    pub unread: Vec<Unread>,
}

/// A listener for syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The line it begins in.
    pub line: usize,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    /// Whether by TCP; else by UDP.
    pub tcp: bool,
}

/// A text log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLog {
    /// The line it begins in.
    pub line: usize,
    /// Absolute paths and patterns.
    pub paths: Vec<String>,
    /// Its custom table.
    pub table: Table,
    /// Whether files are read from their beginning when they are first seen.
    pub from_beginning: bool,
}

/// Some counters of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The line it begins in.
    pub line: usize,
    /// The object.
    pub object: &'static str,
    /// Names of its counters; `*` means all.
    pub counters: Vec<String>,
    /// Patterns; none means all.
    pub instances: Vec<String>,
    /// How often.
    pub every: Duration,
}

/// Where an expression says something that a pattern cannot.
const WIDER: &str =
    "it is no list of names, `.*`, `^` and `$`; all are taken instead, take out what is too much";

/// Reads the elements of a file.
pub fn interpret(elements: &[Element]) -> Found {
    let mut found = Found::default();
    for element in elements {
        match (element.name.as_str(), element.kind()) {
            ("source", "syslog") => listener(element, &mut found),
            ("source", "sudo_tail" | "tail") => text_log(element, &mut found),
            ("source", "oms_omi") => counters(element, &mut found),
            (name, kind) => {
                let what = format!("<{name} {}> {kind}", element.argument).replace(" >", ">");
                found.unread.push(Unread::new(element.line, what, reason(name, kind, element.value("tag"))));
            }
        }
    }
    found
}

/// Says why an element has no counterpart.
fn reason(name: &str, kind: &str, tag: &str) -> &'static str {
    match (name, kind) {
        ("match", kind) if kind.starts_with("out_oms") => "agent-lite sends and queues by itself",
        ("match" | "filter", _) => {
            "agent-lite has no filters and outputs of this kind; its records have their columns already"
        }
        (_, "heartbeat_request") => "agent-lite's topology requests need no setting",
        (_, "oms_heartbeat") => "agent-lite has a heartbeat of its own: [source.heartbeat.default]",
        (_, "monitor_agent") => "see [metrics] and `agent-lite status`",
        (_, "exec") if tag.contains("heartbeat") => {
            "agent-lite has a heartbeat of its own: [source.heartbeat.default]"
        }
        (_, "exec") => "agent-lite runs no programs; let it write a file, and read that",
        (_, "wlm_input" | "dsc_monitor" | "agent_telemetry" | "agent_error" | "auditd_plugin") => {
            "agent-lite has no such solution"
        }
        ("system", _) => "settings of fluentd",
        _ => "agent-lite has no source of this kind",
    }
}

fn listener(element: &Element, found: &mut Found) {
    let port = element.value("port").parse::<u16>();
    let bind = if element.value("bind").is_empty() { "0.0.0.0" } else { element.value("bind") };
    let bind = if bind == "localhost" { "127.0.0.1" } else { bind };
    let is_security = element.value("tag").starts_with("oms.security");
    match (port, bind.parse::<std::net::IpAddr>()) {
        _ if is_security => {
            let why = "security events (CEF, ASA) go to a table of a solution that agent-lite does not serve";
            found.unread.push(Unread::new(element.line, "<source> syslog, tag oms.security", why));
        }
        (Ok(port), Ok(bind)) => {
            let tcp = element.value("protocol_type") == "tcp";
            found.listeners.push(Listener { line: element.line, address: (bind, port).into(), tcp });
        }
        _ => {
            let what = format!("<source> syslog, port {}, bind {bind}", element.value("port"));
            found.unread.push(Unread::new(element.line, what, "that is no port or no address"));
        }
    }
}

fn text_log(element: &Element, found: &mut Found) {
    let tag = element.value("tag");
    let Some(table) = table(tag) else {
        let why = "only tags oms.blob.CustomLog.CUSTOM_LOG_BLOB.NAME_CL_… name a custom table; write a [source.files.NAME] for it";
        let what = format!("<source> {}, tag {tag}", element.kind());
        return found.unread.push(Unread::new(element.line, what, why));
    };
    let mut paths = Vec::new();
    for path in element.value("path").split(',').map(str::trim).filter(|path| !path.is_empty()) {
        let pattern = without_dates(path);
        match path.starts_with('/') && glob::Pattern::new(&pattern).is_ok() {
            true => paths.push(pattern),
            false => {
                found.unread.push(Unread::new(element.line, format!("path {path}"), "it is no absolute path"))
            }
        }
    }
    if paths.is_empty() {
        let what = format!("<source> {}, {table}", element.kind());
        return found.unread.push(Unread::new(element.line, what, "it has no path"));
    }
    let format = element.value("format");
    if !matches!(format, "" | "none") {
        let line = element.parameter("format").map_or(element.line, |format| format.line);
        let why = "a row is a whole line here; take it apart in the workspace, or set `record` for rows of several lines";
        found.unread.push(Unread::new(line, format!("format {format}"), why));
    }
    let from_beginning = element.value("read_from_head") == "true";
    found.logs.push(TextLog { line: element.line, paths, table, from_beginning });
}

/// Returns the table of `oms.blob.CustomLog.CUSTOM_LOG_BLOB.<Name>_CL_<workspace>.*`.
fn table(tag: &str) -> Option<Table> {
    let (_, rest) = tag.split_once("CUSTOM_LOG_BLOB.")?;
    let (name, _) = rest.rsplit_once("_CL_")?;
    format!("{name}_CL").parse().ok().filter(|table| matches!(table, Table::Custom(_)))
}

/// Replaces what strftime would by `*`: `app-%Y%m%d.log` is `app-*.log`.
fn without_dates(path: &str) -> String {
    let mut pattern = String::new();
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => match letters.next() {
                Some('%') => pattern.push('%'),
                _ if pattern.ends_with('*') => {}
                _ => pattern.push('*'),
            },
            letter => pattern.push(letter),
        }
    }
    pattern
}

fn counters(element: &Element, found: &mut Found) {
    let name = element.value("object_name");
    let Some(object) = Object::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)) else {
        let why = "agent-lite has no such performance object: docs/counters.md";
        return found.unread.push(Unread::new(element.line, format!("object_name {name}"), why));
    };
    let counters = names(object, &wider(element, "counter_name_regex", &mut found.unread));
    if counters.is_empty() {
        let why = format!("{} has no such counter here: docs/counters.md", object.name());
        let what = format!("counter_name_regex {}", element.value("counter_name_regex"));
        return found.unread.push(Unread::new(element.line, what, why));
    }
    let mut instances = wider(element, "instance_regex", &mut found.unread);
    if instances.iter().any(|pattern| pattern == "*") {
        instances.clear();
    }
    let written = element.value("interval");
    let every = interval(written);
    if every.is_none() && !written.is_empty() {
        let why = "it is no time of a second to a day; 60s are taken instead";
        found.unread.push(Unread::new(element.line, format!("interval {written}"), why));
    }
    let every = every.unwrap_or(Duration::from_secs(60));
    found.counters.push(Counters { line: element.line, object: object.name(), counters, instances, every });
}

/// Returns the names of an object's counters that fit; `*` for all.
fn names(object: Object, wanted: &[String]) -> Vec<String> {
    if wanted.iter().any(|pattern| pattern == "*") {
        return vec!["*".to_owned()];
    }
    let fits = |at: usize, pattern: &String| {
        let selection = Selection::new(object.name(), std::slice::from_ref(pattern), &[]);
        selection.is_ok_and(|selection| selection.has_counter(at))
    };
    let known = object.counters().iter().enumerate();
    let meant = known.filter(|(at, _)| wanted.iter().any(|pattern| fits(*at, pattern)));
    meant.map(|(_, name)| (*name).to_owned()).collect()
}

/// Returns the patterns of a key's expression; all, with a note, where there are none that say the same.
fn wider(element: &Element, key: &str, unread: &mut Vec<Unread>) -> Vec<String> {
    let Some(parameter) = element.parameter(key).filter(|parameter| !parameter.value.is_empty()) else {
        return vec!["*".to_owned()];
    };
    patterns(&parameter.value).unwrap_or_else(|| {
        unread.push(Unread::new(parameter.line, format!("{key} {}", parameter.value), WIDER));
        vec!["*".to_owned()]
    })
}

/// Reads `60s`, `5m`, `1h` or seconds.
fn interval(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}
