//! `[source.KIND.NAME]`: where records come from.

#[cfg_attr(unix, path = "sources/counters/linux.rs")]
#[cfg_attr(windows, path = "sources/counters/windows.rs")]
mod counters;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::document::Problem;
use common::document::Source as Document;
use toml::Spanned;

use super::file;
use super::settings::ChannelQuery;
use super::settings::CounterSettings;
use super::settings::Encoding;
use super::settings::EvtxSettings;
use super::settings::FilesSettings;
use super::settings::HeartbeatSettings;
use super::settings::PerformanceSettings;
use super::settings::RecordStart;
use super::settings::Source;
use super::settings::SourceKind;
use super::settings::SyslogSettings;
use super::settings::WindowsEventsSettings;
use super::settings::Workspace;
use crate::record::Table;
use crate::system;

/// The port of the legacy agent's syslog listener.
const LEGACY_SYSLOG_PORT: u16 = 25224;
/// Most channels with their queries of one source (as Azure Monitor's limit of a rule).
const MOST_QUERIES: usize = 100;
/// Shortest interval of a performance counter.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Where IIS writes the logs of sites unless it is told otherwise.
const USUAL_IIS: Option<&str> =
    if cfg!(windows) { Some("C:/inetpub/logs/LogFiles/W3SVC*/*.log") } else { None };
/// How long a line that a vanished file ends in waits for its end.
const IIS_FLUSH: Duration = Duration::from_secs(5);

/// Gathers the sources and what is wrong with them.
struct Reader<'a> {
    workspaces: &'a [Workspace],
    document: Document<'a>,
    folder: &'a Path,
    problems: &'a mut Vec<Problem>,
    sources: Vec<Source>,
}

pub(super) fn read(
    written: Option<file::Sources>,
    workspaces: &[Workspace],
    document: Document<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<Source> {
    let Some(written) = written else { return usual() };
    let mut reader = Reader { workspaces, document, folder, problems, sources: Vec::new() };
    each(written.syslog, |name, span, settings| reader.syslog(&name, span, settings));
    each(written.files, |name, span, settings| reader.files(&name, span, settings));
    each(written.evtx, |name, span, settings| reader.evtx(&name, span, settings));
    each(written.windows_events, |name, span, settings| reader.windows_events(&name, span, settings));
    each(written.iis, |name, span, settings| reader.iis(&name, span, settings));
    each(written.performance, |name, span, settings| reader.performance(&name, span, settings));
    each(written.heartbeat, |name, span, settings| {
        let kind = SourceKind::Heartbeat(HeartbeatSettings { every: settings.every.0.0 });
        reader.push("heartbeat", &name, span, &settings.workspaces, kind);
    });
    reader.sources
}

fn each<T>(written: BTreeMap<String, Spanned<T>>, mut one: impl FnMut(String, std::ops::Range<usize>, T)) {
    for (name, value) in written {
        let span = value.span();
        one(name, span, value.into_inner());
    }
}

/// What is collected when nothing is said: what the legacy agent would.
fn usual() -> Vec<Source> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, LEGACY_SYSLOG_PORT));
    let syslog = SyslogSettings {
        udp: vec![local],
        tcp: vec![local],
        unix: Vec::new(),
        facilities: Vec::new(),
        severity: 7,
        connections: 256,
        idle: Duration::from_secs(60 * 60),
    };
    let kinds = [
        ("syslog.local", SourceKind::Syslog(syslog)),
        ("performance.default", SourceKind::Performance(PerformanceSettings { counters: counters::usual() })),
        ("heartbeat.default", SourceKind::Heartbeat(HeartbeatSettings { every: Duration::from_secs(60) })),
    ];
    // Where there are no unix sockets nobody sends syslog to a program of the same machine.
    let usual = |(name, _): &(&str, SourceKind)| system::HAS_UNIX_SOCKETS || *name != "syslog.local";
    let source =
        |(name, kind): (&str, SourceKind)| Source { name: name.to_owned(), workspaces: Vec::new(), kind };
    kinds.into_iter().filter(usual).map(source).collect()
}

impl Reader<'_> {
    fn problem(&mut self, span: std::ops::Range<usize>, text: impl Into<String>) {
        self.problems.push(self.document.problem(span, text));
    }

    fn push(
        &mut self,
        kind_name: &str,
        name: &str,
        span: std::ops::Range<usize>,
        workspaces: &[Spanned<String>],
        kind: SourceKind,
    ) {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if name.is_empty() || name.len() > 64 || !plain {
            self.problem(span, "a source's name has letters, digits, `-` and `_`");
        }
        for wanted in workspaces {
            if !self.workspaces.iter().any(|workspace| workspace.name == *wanted.get_ref()) {
                self.problem(wanted.span(), format!("there is no `[workspace.{}]`", wanted.get_ref()));
            }
        }
        let workspaces = workspaces.iter().map(|name| name.get_ref().clone()).collect();
        self.sources.push(Source { name: format!("{kind_name}.{name}"), workspaces, kind });
    }

    fn syslog(&mut self, name: &str, span: std::ops::Range<usize>, written: file::Syslog) {
        if written.udp.is_empty() && written.tcp.is_empty() && written.unix.is_empty() {
            self.problem(
                span.clone(),
                "a syslog source needs `udp`, `tcp` or `unix`, as in `udp = [\"127.0.0.1:25224\"]`",
            );
        }
        if !system::HAS_UNIX_SOCKETS && !written.unix.is_empty() {
            let text = "`unix`: this system has no unix sockets for datagrams; use `udp` or `tcp`";
            self.problem(span.clone(), text);
        }
        if written.connections == 0 {
            self.problem(span.clone(), "`connections` is 1 at least");
        }
        let kind = SourceKind::Syslog(SyslogSettings {
            udp: written.udp,
            tcp: written.tcp,
            unix: written.unix.iter().map(|path| self.folder.join(path)).collect(),
            facilities: written.facilities.values().map(|facility| facility.0.to_owned()).collect(),
            severity: written.severity.0.0,
            connections: usize::from(written.connections),
            idle: written.idle.0.0,
        });
        self.push("syslog", name, span, &written.workspaces, kind);
    }

    fn files(&mut self, name: &str, span: std::ops::Range<usize>, written: file::Files) {
        if written.paths.is_empty() {
            self.problem(
                span.clone(),
                "a source of files needs `paths`, as in `paths = [\"/var/log/app/*.log\"]`",
            );
        }
        self.patterns(&written.paths);
        let table = match &written.table {
            Some(table) if matches!(table.get_ref().0, Table::Custom(_)) => table.get_ref().0.clone(),
            Some(table) => {
                self.problem(table.span(), "text logs go to a custom table: its name ends in `_CL`");
                return;
            }
            None => {
                self.problem(
                    span,
                    "a source of files needs `table`, the custom table, as in `table = \"App_CL\"`",
                );
                return;
            }
        };
        let kind = SourceKind::Files(FilesSettings {
            paths: written.paths.iter().map(|path| path.get_ref().clone()).collect(),
            table,
            record: written.record.0.0,
            encoding: written.encoding,
            from: written.from,
            look: written.look.0.0,
            flush_after: written.flush_after.0.0,
        });
        self.push("files", name, span, &written.workspaces, kind);
    }

    fn patterns(&mut self, paths: &[Spanned<String>]) {
        for path in paths {
            let pattern = path.get_ref();
            let wrong = match glob::Pattern::new(pattern) {
                Err(error) => Some(error.msg.to_owned()),
                Ok(_) if system::split_pattern(pattern).is_none() => {
                    Some(system::BEGIN_OF_PATTERN.to_owned())
                }
                Ok(_) => None,
            };
            if let Some(wrong) = wrong {
                self.problem(path.span(), format!("`{pattern}`: {wrong}"));
            }
        }
    }

    fn iis(&mut self, name: &str, span: std::ops::Range<usize>, written: file::Iis) {
        self.patterns(&written.paths);
        for directory in &written.directories {
            let name = directory.get_ref();
            // A drive or a share of Windows may stand alone.
            if system::split_pattern(&format!("{name}/")).is_none() {
                self.problem(directory.span(), format!("`{name}`: {}", system::BEGIN_OF_PATTERN));
            }
        }
        let inside = |directory: &Spanned<String>| {
            format!(
                "{}/**/*.log",
                glob::Pattern::escape(directory.get_ref().trim_end_matches(system::parts_names))
            )
        };
        let mut paths: Vec<String> = written.directories.iter().map(inside).collect();
        paths.extend(written.paths.iter().map(|path| path.get_ref().clone()));
        if paths.is_empty() {
            match USUAL_IIS {
                Some(usual) => paths.push(usual.to_owned()),
                None => self.problem(
                    span.clone(),
                    "a source of IIS logs needs `directories` or `paths` on this system, as in \
                     `directories = [\"/srv/iis/LogFiles\"]`",
                ),
            }
        }
        let kind = SourceKind::Iis(FilesSettings {
            paths,
            table: Table::W3cIisLog,
            record: RecordStart::W3cLine,
            encoding: Encoding::CodePage(written.encoding.0.0),
            from: written.from,
            look: written.look.0.0,
            flush_after: IIS_FLUSH,
        });
        self.push("iis", name, span, &written.workspaces, kind);
    }

    fn evtx(&mut self, name: &str, span: std::ops::Range<usize>, written: file::Evtx) {
        if written.paths.is_empty() {
            self.problem(
                span.clone(),
                "a source of event log files needs `paths`, as in `paths = [\"/srv/carried/*.evtx\"]`",
            );
        }
        self.patterns(&written.paths);
        let kind = SourceKind::Evtx(EvtxSettings {
            paths: written.paths.iter().map(|path| path.get_ref().clone()).collect(),
            look: written.look.0.0,
            largest: written.largest.0.0,
        });
        self.push("evtx", name, span, &written.workspaces, kind);
    }

    fn windows_events(&mut self, name: &str, span: std::ops::Range<usize>, written: file::WindowsEvents) {
        if cfg!(not(windows)) {
            let text = "only Windows has channels of events: run agent-lite there, or carry the logs over as files and read them here by `[source.evtx.NAME]`, as in `paths = [\"/srv/carried/*.evtx\"]`";
            return self.problem(span, text);
        }
        if written.queries.is_empty() {
            let text = "a source of Windows events needs `queries`, as in `queries = [\"System!*[System[Level<=3]]\"]`";
            self.problem(span.clone(), text);
        }
        if written.queries.len() > MOST_QUERIES {
            self.problem(
                span.clone(),
                format!("a source has at most {MOST_QUERIES} `queries`; make another source"),
            );
        }
        let mut queries: Vec<ChannelQuery> = Vec::new();
        for query in &written.queries {
            let wanted = &query.get_ref().0.0;
            match queries.contains(wanted) {
                true => self
                    .problem(query.span(), format!("`{}!{}` is there twice", wanted.channel, wanted.query)),
                false => queries.push(wanted.clone()),
            }
        }
        let kind = SourceKind::WindowsEvents(WindowsEventsSettings { queries, from: written.from });
        self.push("windows_events", name, span, &written.workspaces, kind);
    }

    fn performance(&mut self, name: &str, span: std::ops::Range<usize>, written: file::Performance) {
        let mut chosen = Vec::new();
        for counter in &written.counters {
            let at = counter.span();
            let counter = counter.get_ref();
            if counter.every.0.0 < SHORTEST_INTERVAL {
                self.problem(at.clone(), "`every` is `1s` at least");
            }
            if let Err(wrong) = counters::check(&counter.object, &counter.counters, &counter.instances) {
                self.problem(at, wrong);
            }
            chosen.push(CounterSettings {
                object: counter.object.clone(),
                counters: counter.counters.clone(),
                instances: counter.instances.clone(),
                every: counter.every.0.0,
            });
        }
        if written.counters.is_empty() {
            chosen = counters::usual();
        }
        let kind = SourceKind::Performance(PerformanceSettings { counters: chosen });
        self.push("performance", name, span, &written.workspaces, kind);
    }
}
