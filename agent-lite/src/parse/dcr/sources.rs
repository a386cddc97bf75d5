//! `dataSources`.

use std::time::Duration;

use super::Counter;
use super::IisLogs;
use super::LONGEST_NAME;
use super::LogFiles;
use super::Performance;
use super::Rule;
use super::Syslog;
use super::WindowsEvents;
use super::flows::is_custom;
use super::json::Json;
use super::report::Members;
use super::report::Report;
use super::report::quoted;
use super::streams;

/// Azure's limits of one rule.
const MOST_SOURCES: usize = 10;
const MOST_SPECIFIERS: usize = 100;
const MOST_QUERIES: usize = 100;
/// Twenty may be chosen; the portal lists all there are.
const MOST_FACILITIES: usize = 32;
const MOST_PATTERNS: usize = 20;
const MOST_DIRECTORIES: usize = 20;
const LONGEST_PATTERN: usize = 1024;
const LONGEST_QUERY: usize = 8 * 1024;
const LONGEST_CHANNEL: usize = 256;
/// The seconds between two samplings, as Azure takes them.
const INTERVALS: std::ops::RangeInclusive<i64> = 1..=1800;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const LEVELS: [&str; 8] = ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Info", "Debug"];
/// The forms of time that Azure lists, but `ISO 8601`.
const TIMES: [&str; 8] = [
    "YYYY-MM-DD HH:MM:SS",
    "M/D/YYYY HH:MM:SS AM/PM",
    "Mon DD, YYYY HH:MM:SS",
    "yyMMdd HH:mm:ss",
    "ddMMyy HH:mm:ss",
    "MMM d hh:mm:ss",
    "dd/MMM/yyyy:HH:mm:ss zzz",
    "yyyy-MM-ddTHH:mm:ssK",
];
/// Sources that Azure knows and this agent has not.
const OTHERS: [(&str, &str); 8] = [
    ("extensions", "extensions are parts of the Azure Monitor Agent"),
    ("windowsFirewallLogs", "logs of the Windows firewall are not collected"),
    ("prometheusForwarder", "Prometheus metrics are not collected"),
    ("platformTelemetry", "platform metrics are Azure's own"),
    ("performanceCountersOTel", "metrics in OpenTelemetry's form are not collected"),
    ("dataImports", "event hubs are not read"),
    ("etwProviders", "ETW providers are not read"),
    ("otelLogs", "logs in OpenTelemetry's form are not collected"),
];

/// Reads all kinds.
pub(super) fn read(path: &str, found: &Json, rule: &mut Rule, report: &mut Report) {
    let Some(mut members) = Members::of(path, found, report) else { return };
    let mut count = 0;
    let mut specifiers = 0;
    let mut each = |name: &str, members: &mut Members<'_>, report: &mut Report, one: &mut One<'_>| {
        for (path, value) in members.list(name, MOST_SOURCES, report) {
            count += 1;
            let Some(mut source) = Members::of(&path, value, report) else { continue };
            source.text("name", LONGEST_NAME, report);
            if let Some(found) =
                source.take("transformKql").filter(|found| **found != Json::Text("source".into()))
            {
                let text = format!("a transformation at the source ({}) is not made here", found.kind());
                report.leave_out(&source.at("transformKql"), text);
            }
            one(&mut source, report);
            source.end(report);
        }
    };
    each("syslog", &mut members, report, &mut |source, report| rule.syslog.extend(syslog(source, report)));
    each("performanceCounters", &mut members, report, &mut |source, report| {
        let found = performance(source, report);
        specifiers += found.as_ref().map_or(0, |found| found.counters.len());
        rule.performance.extend(found);
    });
    each("windowsEventLogs", &mut members, report, &mut |source, report| {
        rule.events.extend(events(source, report))
    });
    each("logFiles", &mut members, report, &mut |source, report| rule.files.extend(files(source, report)));
    each("iisLogs", &mut members, report, &mut |source, report| rule.iis.extend(iis(source, report)));
    if count > MOST_SOURCES {
        report.problem(path, format!("has {count} sources, {MOST_SOURCES} are the most"));
    }
    if specifiers > MOST_SPECIFIERS {
        report.problem(path, format!("has {specifiers} counters, {MOST_SPECIFIERS} are the most"));
    }
    for (name, why) in OTHERS {
        if members.take(name).is_some_and(|found| *found != Json::List(Vec::new())) {
            report.leave_out(&members.at(name), why);
        }
    }
    members.end(report);
}

type One<'a> = dyn FnMut(&mut Members<'_>, &mut Report) + 'a;

/// Takes the streams of a source that must have this one; others are left out.
fn has_stream(source: &mut Members<'_>, stream: &str, report: &mut Report) -> bool {
    let found = source.texts("streams", (MOST_SOURCES, LONGEST_NAME), report);
    if found.is_empty() {
        report.problem(&source.path, format!("needs `streams`, as in `[\"{stream}\"]`"));
    }
    for (path, other) in found.iter().filter(|(_, found)| *found != stream) {
        report.leave_out(path, format!("the stream {} is not made here, only `{stream}` is", quoted(other)));
    }
    found.iter().any(|(_, found)| *found == stream)
}

fn syslog(source: &mut Members<'_>, report: &mut Report) -> Option<Syslog> {
    let wanted = has_stream(source, streams::SYSLOG, report);
    let mut facilities = Vec::new();
    for (path, name) in source.texts("facilityNames", (MOST_FACILITIES, LONGEST_NAME), report) {
        let number = (0..).zip(FACILITIES).find(|(_, known)| known.eq_ignore_ascii_case(name));
        match (name, number) {
            ("*", _) => facilities.extend(0..24),
            (_, Some((number, _))) => facilities.push(number),
            ("mark" | "nopri", None) => {
                report.remark(&path, format!("{} is a syslog daemon's own and is never sent", quoted(name)));
            }
            (_, None) => report.problem(
                &path,
                format!("{} is no facility: {}, or `*`", quoted(name), FACILITIES.join(", ")),
            ),
        }
    }
    let mut levels = Vec::new();
    for (path, name) in source.texts("logLevels", (MOST_SOURCES, LONGEST_NAME), report) {
        let number = (0..).zip(LEVELS).find(|(_, known)| known.eq_ignore_ascii_case(name));
        match (name, number) {
            ("*", _) => levels.extend(0..8),
            (_, Some((number, _))) => levels.push(number),
            (_, None) => {
                report.problem(&path, format!("{} is no level: {}, or `*`", quoted(name), LEVELS.join(", ")))
            }
        }
    }
    for (list, name) in [(&mut facilities, "facilityNames"), (&mut levels, "logLevels")] {
        list.sort_unstable();
        list.dedup();
        if list.is_empty() {
            report.problem(&source.path, format!("needs `{name}`, as in `[\"*\"]`"));
        }
    }
    wanted.then(|| Syslog { path: source.path.clone(), facilities, levels })
}

fn performance(source: &mut Members<'_>, report: &mut Report) -> Option<Performance> {
    let wanted = has_stream(source, streams::PERF, report);
    let at = source.at("samplingFrequencyInSeconds");
    let every = match source.take("samplingFrequencyInSeconds") {
        Some(Json::Whole(seconds)) if INTERVALS.contains(seconds) => *seconds,
        Some(_) => {
            report
                .problem(&at, format!("is a whole number from {} to {}", INTERVALS.start(), INTERVALS.end()));
            60
        }
        None => {
            report.problem(&source.path, "needs `samplingFrequencyInSeconds`");
            60
        }
    };
    let mut counters = Vec::new();
    for (path, text) in source.texts("counterSpecifiers", (MOST_SPECIFIERS, LONGEST_PATTERN), report) {
        match specifier(text) {
            Some((object, instance, counter)) => counters.push(Counter {
                path,
                object: object.to_owned(),
                instance: instance.map(str::to_owned),
                counter: counter.to_owned(),
            }),
            None => report.problem(
                &path,
                format!("{} is no counter: write `\\Object(Instance)\\Counter`", quoted(text)),
            ),
        }
    }
    if counters.is_empty() {
        report.problem(&source.path, "needs `counterSpecifiers`");
    }
    let every = Duration::from_secs(every.unsigned_abs());
    wanted.then(|| Performance { path: source.path.clone(), every, counters })
}

/// Takes `\Object(Instance)\Counter` apart; the first `\` may be missing, and the instance.
fn specifier(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let text = text.strip_prefix('\\').unwrap_or(text);
    // An instance may hold anything, also parentheses and `\`.
    let (object, instance, counter) = match text.split_once('(') {
        Some((object, rest)) if !object.contains('\\') => {
            let (instance, counter) = rest.rsplit_once(")\\")?;
            (object, Some(instance), counter)
        }
        _ => {
            let (object, counter) = text.split_once('\\')?;
            (object, None, counter)
        }
    };
    let plain = |name: &str| !name.trim().is_empty() && !name.contains('\\');
    let right = plain(object) && plain(counter) && instance.is_none_or(|instance| !instance.is_empty());
    right.then_some((object, instance, counter))
}

fn events(source: &mut Members<'_>, report: &mut Report) -> Option<WindowsEvents> {
    let wanted = has_stream(source, streams::EVENT, report);
    let mut queries = Vec::new();
    for (path, text) in source.texts("xPathQueries", (MOST_QUERIES, LONGEST_QUERY), report) {
        match text.split_once('!') {
            Some((channel, query)) if is_channel(channel) && !query.trim().is_empty() => {
                queries.push((channel.to_owned(), query.to_owned()));
            }
            _ => report.problem(
                &path,
                format!(
                    "{} is no query: write `Channel!XPath`, as in `System!*[System[(Level=1)]]`",
                    quoted(text)
                ),
            ),
        }
    }
    if queries.is_empty() {
        report.problem(&source.path, "needs `xPathQueries`");
    }
    wanted.then(|| WindowsEvents { path: source.path.clone(), queries })
}

/// A channel's name, which is never the path of a file.
fn is_channel(name: &str) -> bool {
    let plain =
        |letter: char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_' | '/' | '.' | '(' | ')');
    (1..=LONGEST_CHANNEL).contains(&name.len())
        && name.chars().all(plain)
        && !name.contains("..")
        && !name.starts_with('/')
}

fn files(source: &mut Members<'_>, report: &mut Report) -> Option<LogFiles> {
    let mut found = source.texts("streams", (MOST_SOURCES, LONGEST_NAME), report);
    let stream = match (found.pop(), found.is_empty()) {
        (Some((_, stream)), true) if is_custom(stream) => Some(stream.to_owned()),
        _ => {
            report.problem(&source.path, "needs one stream, as in `streams: [\"Custom-App_CL\"]`");
            None
        }
    };
    let texts = source.texts("filePatterns", (MOST_PATTERNS, LONGEST_PATTERN), report);
    let patterns: Vec<(String, String)> =
        texts.into_iter().map(|(path, text)| (path, text.to_owned())).collect();
    if patterns.is_empty() {
        report.problem(&source.path, "needs `filePatterns`");
    }
    let format = source.needed_text("format", LONGEST_NAME, report);
    match format {
        None | Some("text") => {}
        Some("json") => report.leave_out(
            &source.at("format"),
            "JSON in files is not taken apart into columns here; `text` keeps each line in RawData",
        ),
        Some(other) => {
            report.problem(&source.at("format"), format!("{} is no format: `text` or `json`", quoted(other)))
        }
    }
    let record_start = settings(source, report);
    let taken = format == Some("text");
    stream.filter(|_| taken).map(|stream| LogFiles {
        path: source.path.clone(),
        stream,
        patterns,
        record_start,
    })
}

/// Reads `settings.text.recordStartTimestampFormat`.
fn settings(source: &mut Members<'_>, report: &mut Report) -> Option<String> {
    let found = source.take("settings")?;
    let mut settings = Members::of(&source.at("settings"), found, report)?;
    let inner = settings.take("text");
    let path = settings.at("text");
    settings.end(report);
    let mut text = Members::of(&path, inner?, report)?;
    let format = text.text("recordStartTimestampFormat", LONGEST_NAME, report);
    let at = text.at("recordStartTimestampFormat");
    text.end(report);
    match format? {
        "ISO 8601" => {
            report.remark(&at, "`ISO 8601` is what Azure writes where a line is a record, and is read so; for records of several lines it has `yyyy-MM-ddTHH:mm:ssK`");
            None
        }
        known if TIMES.contains(&known) => Some(known.to_owned()),
        other => {
            report.problem(
                &at,
                format!("{} is no form of time: `ISO 8601`, `{}`", quoted(other), TIMES.join("`, `")),
            );
            None
        }
    }
}

fn iis(source: &mut Members<'_>, report: &mut Report) -> Option<IisLogs> {
    let wanted = has_stream(source, streams::IIS, report);
    let texts = source.texts("logDirectories", (MOST_DIRECTORIES, LONGEST_PATTERN), report);
    let directories = texts.into_iter().map(|(path, text)| (path, text.to_owned())).collect();
    wanted.then(|| IisLogs { path: source.path.clone(), directories })
}
