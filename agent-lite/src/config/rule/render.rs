//! A rule as our own configuration: the text of `[source…]` sections.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use self::text::list;
use self::text::plain_name;
use self::text::quoted;
use self::text::row;
use self::text::short;
use super::SHORTEST_SAMPLING;
use super::is_straight;
use crate::config::settings::RuleSettings;
use crate::config::settings::SyslogSettings;
use crate::config::settings::TransportSettings;
use crate::config::settings::Workspace;
use crate::config::sources::counters;
use crate::config::values::FACILITIES;
use crate::config::values::SEVERITIES;
use crate::events::OneLine;
use crate::parse::dcr::Counter;
use crate::parse::dcr::Destination;
use crate::parse::dcr::LogFiles;
use crate::parse::dcr::Report;
use crate::parse::dcr::Rule;
use crate::parse::dcr::streams;
use crate::record::Table;
use crate::system;

mod text;

/// What the sources of a rule are called behind their kind.
const NAME: &str = "dcr";

/// For whom a rule is written down.
pub enum Placement<'a> {
    /// For the running agent: its workspaces, its listeners, its folders.
    Joined {
        /// The workspaces that there are.
        workspaces: &'a [Workspace],
        /// What a rule may do.
        settings: &'a RuleSettings,
    },
    /// For a person who reads it before it is used.
    Printed,
}

/// A rule as configuration.
pub struct Rendered {
    /// `[source…]` sections.
    pub text: String,
    /// What is to be said of the rule.
    pub report: Report,
    /// The workspaces that the text names, and their GUIDs where the rule has them.
    pub workspaces: BTreeMap<String, Option<String>>,
}

/// Writes a rule down. What stands in the report already is kept, and what is found here is added.
pub fn render(rule: &Rule, report: Report, placement: &Placement<'_>) -> Rendered {
    let mut writer = Writer { rule, placement, text: String::new(), report, workspaces: BTreeMap::new() };
    let mut names: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for destination in &rule.destinations {
        let taken: Vec<String> = names.values().flatten().cloned().collect();
        names.insert(&destination.name, writer.workspace(destination, &taken));
    }
    for (destination, name) in
        rule.destinations.iter().zip(rule.destinations.iter().map(|one| names.get(one.name.as_str())))
    {
        match name {
            Some(Some(name)) => {
                drop(writer.workspaces.insert(name.clone(), destination.workspace_id.clone()))
            }
            _ => writer.report.problem(&destination.path, unknown_destination(&destination.name)),
        }
    }
    writer.syslog(&names);
    writer.performance(&names);
    writer.files(&names);
    writer.iis(&names);
    writer.events(&names);
    Rendered { text: writer.text, report: writer.report, workspaces: writer.workspaces }
}

fn unknown_destination(name: &str) -> String {
    let name = OneLine(name);
    format!(
        "no workspace here is meant by `{name}`: none has its GUID or name; say which one by `destinations = {{ \"{name}\" = \"WORKSPACE\" }}` in `[data_collection_rule]`"
    )
}

struct Writer<'a> {
    rule: &'a Rule,
    placement: &'a Placement<'a>,
    text: String,
    report: Report,
    workspaces: BTreeMap<String, Option<String>>,
}

type Names<'a> = BTreeMap<&'a str, Option<String>>;

impl Writer<'_> {
    /// Returns the workspace that a destination means: as the local configuration says, else by GUID, else by name.
    fn workspace(&self, destination: &Destination, taken: &[String]) -> Option<String> {
        let Placement::Joined { workspaces, settings } = self.placement else {
            return Some(plain_name(&destination.name, taken));
        };
        if let Some(said) = settings.destinations.get(&destination.name) {
            return Some(said.clone());
        }
        let has_id = |workspace: &&Workspace| {
            destination.workspace_id.is_some() && id_of(workspace) == destination.workspace_id.as_deref()
        };
        let by_id = workspaces.iter().find(has_id);
        // A GUID that is another's is never overruled by a name.
        let by_name = || {
            workspaces.iter().find(|workspace| {
                let id = id_of(workspace);
                let same = id.is_none()
                    || destination.workspace_id.is_none()
                    || id == destination.workspace_id.as_deref();
                workspace.name == destination.name && same
            })
        };
        by_id.or_else(by_name).map(|workspace| workspace.name.clone())
    }

    /// Returns the workspaces of a stream: of every flow that takes it.
    fn targets(&self, stream: &str, names: &Names<'_>) -> Vec<String> {
        let flows = self.rule.flows.iter().filter(|flow| flow.streams.iter().any(|known| known == stream));
        let mut targets: Vec<String> = flows
            .flat_map(|flow| &flow.destinations)
            .filter_map(|name| names.get(name.as_str()).cloned().flatten())
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    fn begin(&mut self, kind: &str, name: &str, paths: &[&str], targets: &[String]) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        for path in paths {
            self.line(format_args!("# {}", OneLine(path)));
        }
        self.line(format_args!("[source.{kind}.{name}]"));
        self.line(format_args!("workspaces = {}", list(targets)));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }

    fn syslog(&mut self, names: &Names<'_>) {
        let targets = self.targets(streams::SYSLOG, names);
        if self.rule.syslog.is_empty() || targets.is_empty() {
            return;
        }
        let paths: Vec<&str> = self.rule.syslog.iter().map(|source| source.path.as_str()).collect();
        self.begin("syslog", NAME, &paths, &targets);
        let usual = SyslogListeners::usual();
        let listeners = match self.placement {
            Placement::Joined { settings, .. } => SyslogListeners::of(&settings.syslog),
            Placement::Printed => usual,
        };
        for (key, values) in [("udp", &listeners.udp), ("tcp", &listeners.tcp), ("unix", &listeners.unix)] {
            if !values.is_empty() {
                self.line(format_args!("{key} = {}", list(values)));
            }
        }
        let mut levels: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for source in &self.rule.syslog {
            for facility in &source.facilities {
                levels.entry(*facility).or_default().extend(&source.levels);
            }
        }
        self.line(format_args!("[source.syslog.{NAME}.levels]"));
        for (facility, mut severities) in levels {
            severities.sort_unstable();
            severities.dedup();
            let names: Vec<String> = severities
                .iter()
                .filter_map(|level| SEVERITIES.get(usize::from(*level)))
                .map(|name| (*name).to_owned())
                .collect();
            if let Some(facility) = FACILITIES.get(usize::from(facility)) {
                self.line(format_args!("{facility} = {}", list(&names)));
            }
        }
    }

    fn performance(&mut self, names: &Names<'_>) {
        let targets = self.targets(streams::PERF, names);
        let rule = self.rule;
        let mut rows = Vec::new();
        for source in &rule.performance {
            let every = source.every;
            if matches!(self.placement, Placement::Joined { .. }) && every < SHORTEST_SAMPLING {
                let text = format!(
                    "a rule from elsewhere samples every {} s at most often; the local configuration may do more",
                    SHORTEST_SAMPLING.as_secs()
                );
                self.report.problem(&source.path, text);
            }
            // A counter stands in one row of its object, instance and interval.
            let mut grouped: Vec<(&str, &str, Vec<String>)> = Vec::new();
            for counter in &source.counters {
                let Some((object, instance)) = self.known(counter) else { continue };
                match grouped.iter_mut().find(|(one, other, _)| (*one, *other) == (object, instance)) {
                    Some((_, _, counters)) => counters.push(counter.counter.clone()),
                    None => grouped.push((object, instance, vec![counter.counter.clone()])),
                }
            }
            rows.extend(
                grouped
                    .into_iter()
                    .map(|(object, instance, counters)| row(object, instance, &counters, every)),
            );
        }
        if rows.is_empty() || targets.is_empty() {
            return;
        }
        let paths: Vec<&str> = rule.performance.iter().map(|source| source.path.as_str()).collect();
        self.begin("performance", NAME, &paths, &targets);
        self.line(format_args!("counters = ["));
        rows.iter().for_each(|row| self.line(format_args!("  {row},")));
        self.line(format_args!("]"));
    }

    /// Returns object and instance of a counter that there is on this system.
    fn known<'c>(&mut self, counter: &'c Counter) -> Option<(&'c str, &'c str)> {
        let instance = counter.instance.as_deref().unwrap_or("*");
        match counters::check(&counter.object, std::slice::from_ref(&counter.counter), &[]) {
            Ok(()) => Some((&counter.object, instance)),
            Err(unknown) => {
                self.report.leave_out(&counter.path, format!("not on this system: {unknown}"));
                None
            }
        }
    }

    fn files(&mut self, names: &Names<'_>) {
        let rule = self.rule;
        let mut called: BTreeMap<String, usize> = BTreeMap::new();
        for source in &rule.files {
            let targets = self.targets(&source.stream, names);
            self.fence(source);
            let Some(table) = self.table(source) else { continue };
            if targets.is_empty() {
                continue;
            }
            // The name is that of the positions in the files: it must not change with the order in the rule.
            let count = called.entry(table.name().to_owned()).or_default();
            *count += 1;
            let name = match *count {
                1 => format!("{NAME}-{table}"),
                count => format!("{NAME}-{table}-{count}"),
            };
            self.begin("files", &short(&name), &[&source.path], &targets);
            let patterns: Vec<String> = source.patterns.iter().map(|(_, pattern)| pattern.clone()).collect();
            self.line(format_args!("paths = {}", list(&patterns)));
            self.line(format_args!("table = {}", quoted(table.name())));
            if let Some(start) = &source.record_start {
                self.line(format_args!("record = {}", quoted(start)));
            }
        }
    }

    /// The table of a custom stream: the flow's output stream, else the stream's own name.
    fn table(&mut self, source: &LogFiles) -> Option<Table> {
        let flows = self.rule.flows.iter().filter(|flow| flow.streams.contains(&source.stream));
        let mut outputs = flows.map(|flow| flow.output.as_ref().unwrap_or(&source.stream));
        let stream = outputs.next().unwrap_or(&source.stream);
        if outputs.any(|other| other != stream) {
            let text = "its data flows name different tables: give each a stream of its own";
            self.report.problem(&source.path, text);
        }
        let table = stream.strip_prefix("Custom-").unwrap_or_default().parse::<Table>().ok();
        let table = table.filter(|table| matches!(table, Table::Custom(_)));
        if table.is_none() {
            let text = format!(
                "`{}` names no custom table: write `outputStream: \"Custom-…_CL\"` in its data flow",
                OneLine(stream)
            );
            self.report.problem(&source.path, text);
        }
        table
    }

    fn iis(&mut self, names: &Names<'_>) {
        let targets = self.targets(streams::IIS, names);
        let (mut directories, mut paths) = (Vec::new(), Vec::new());
        for source in &self.rule.iis {
            if source.directories.is_empty() {
                let text = "needs `logDirectories` here: where IIS writes is not looked for";
                self.report.leave_out(&source.path, text);
            }
            for (path, directory) in &source.directories {
                let directory = directory.trim_end_matches(system::parts_names);
                self.open(path, &format!("{directory}/"));
                match directory.contains(['*', '?', '[']) {
                    true => paths.push(format!("{directory}/*.log")),
                    false => directories.push(directory.to_owned()),
                }
            }
        }
        if targets.is_empty() || directories.is_empty() && paths.is_empty() {
            return;
        }
        let rule = self.rule;
        let sources: Vec<&str> = rule.iis.iter().map(|source| source.path.as_str()).collect();
        self.begin("iis", NAME, &sources, &targets);
        for (key, values) in [("directories", &directories), ("paths", &paths)] {
            if !values.is_empty() {
                self.line(format_args!("{key} = {}", list(values)));
            }
        }
    }

    fn fence(&mut self, source: &LogFiles) {
        source.patterns.iter().for_each(|(path, pattern)| self.open(path, pattern));
    }

    /// Files lie below folders that the local configuration opens to rules.
    fn open(&mut self, path: &str, pattern: &str) {
        if system::split_pattern(pattern).is_none() {
            let text = format!("not on this system: `{}` {}", OneLine(pattern), system::BEGIN_OF_PATTERN);
            return self.report.leave_out(path, text);
        }
        let Placement::Joined { settings, .. } = self.placement else { return };
        let plain = pattern.find(['*', '?', '[']).and_then(|at| pattern.get(..at)).unwrap_or(pattern);
        let folder = plain.rsplit_once(system::parts_names).map_or("", |(folder, _)| folder);
        let open = settings.log_directories.iter().any(|open| Path::new(folder).starts_with(open));
        if !open || !is_straight(Path::new(pattern)) {
            let text = format!(
                "`{}` does not lie below one of the `log_directories` of `[data_collection_rule]`",
                OneLine(pattern)
            );
            self.report.problem(path, text);
        }
    }

    /// Windows events, where there are any.
    fn events(&mut self, names: &Names<'_>) {
        let targets = self.targets(streams::EVENT, names);
        let rule = self.rule;
        if cfg!(not(windows)) {
            for source in &rule.events {
                self.report
                    .leave_out(&source.path, "not on this system: only Windows has channels of events");
            }
            return;
        }
        let mut queries: Vec<String> = Vec::new();
        for (channel, query) in rule.events.iter().flat_map(|source| &source.queries) {
            let query = format!("{channel}!{query}");
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        if targets.is_empty() || queries.is_empty() {
            return;
        }
        let sources: Vec<&str> = rule.events.iter().map(|source| source.path.as_str()).collect();
        self.begin("windows_events", NAME, &sources, &targets);
        self.line(format_args!("queries = {}", list(&queries)));
    }
}

struct SyslogListeners {
    udp: Vec<String>,
    tcp: Vec<String>,
    unix: Vec<String>,
}

impl SyslogListeners {
    fn of(settings: &SyslogSettings) -> Self {
        Self {
            udp: settings.udp.iter().map(ToString::to_string).collect(),
            tcp: settings.tcp.iter().map(ToString::to_string).collect(),
            unix: settings.unix.iter().map(|path| path.display().to_string()).collect(),
        }
    }

    fn usual() -> Self {
        let usual = vec![format!("127.0.0.1:{}", super::LEGACY_SYSLOG_PORT)];
        Self { udp: usual.clone(), tcp: usual, unix: Vec::new() }
    }
}

fn id_of(workspace: &Workspace) -> Option<&str> {
    match &workspace.transport {
        TransportSettings::LogAnalyticsAgent { workspace, .. }
        | TransportSettings::DataCollector { workspace, .. } => Some(workspace),
        TransportSettings::LogsIngestion(_) => None,
    }
}
