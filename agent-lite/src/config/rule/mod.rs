//! `[data_collection_rule]`: a rule from elsewhere, what it may do here, and the sources that it becomes.
//!
//! A rule becomes the text of `[source…]` sections ([`render`]), and that text is read and checked as if it stood in
//! the file: what `agent-lite import-dcr` prints is what the agent does with it. Where records can go, which folders
//! are read and where syslog is received is never the rule's to say.

pub mod render;

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use common::document::Problem;
use common::document::Source as Document;
use common::document::decode;
use toml::Spanned;

use self::render::Placement;
use self::render::Rendered;
use super::file;
use super::secret;
use super::settings::Config;
use super::settings::RulePlace;
use super::settings::RuleSettings;
use super::settings::Source;
use super::settings::SourceKind;
use super::settings::SyslogSettings;
use super::settings::Workspace;
use super::sources;
use super::sources::LEGACY_SYSLOG_PORT;
use crate::parse::dcr;
use crate::parse::dcr::Finding;
use crate::transport::RuleBlobAddress;

/// Shortest time between two looks at a rule.
const SHORTEST_POLL: Duration = Duration::from_secs(1);
/// Longest time between two looks, and longest probation.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Most folders that rules may read.
const MOST_DIRECTORIES: usize = 64;
/// Shortest interval of a counter in a rule from elsewhere: what one who writes rules can cost a machine is bounded.
pub const SHORTEST_SAMPLING: Duration = Duration::from_secs(10);

/// Folders of the agent's own.
pub(super) struct Places<'a> {
    pub(super) folder: &'a Path,
    pub(super) state: &'a Path,
    pub(super) spool: Option<&'a Path>,
}

/// Reads the section.
pub(super) fn read(
    written: Option<Spanned<file::DataCollectionRule>>,
    workspaces: &[Workspace],
    document: Document<'_>,
    places: &Places<'_>,
    problems: &mut Vec<Problem>,
) -> Option<RuleSettings> {
    let span = written.as_ref()?.span();
    let written = written?.into_inner();
    let place = place(&written, span.clone(), document, places.folder, problems);
    for (name, time) in [("poll", written.poll.0.0), ("probation", written.probation.0.0)] {
        if !(SHORTEST_POLL..=LONGEST).contains(&time) {
            problems.push(document.problem(span.clone(), format!("`{name}` is from `1s` to `24h`")));
        }
    }
    for workspace in written.destinations.values() {
        if !workspaces.iter().any(|known| known.name == *workspace.get_ref()) {
            let text = format!("there is no `[workspace.{}]`", workspace.get_ref());
            problems.push(document.problem(workspace.span(), text));
        }
    }
    let log_directories = directories(&written.log_directories, span, document, places, problems);
    let destinations = written.destinations.into_iter();
    Some(RuleSettings {
        place: place?,
        poll: written.poll.0.0,
        probation: written.probation.0.0,
        destinations: destinations.map(|(name, workspace)| (name, workspace.into_inner())).collect(),
        log_directories,
        syslog: listeners(written.syslog, places.folder),
    })
}

fn place(
    written: &file::DataCollectionRule,
    span: std::ops::Range<usize>,
    document: Document<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Option<RulePlace> {
    match (&written.file, &written.blob_sas_url_file) {
        (Some(file), None) => Some(RulePlace::File(folder.join(file))),
        (None, Some(file)) => {
            let before = problems.len();
            let text = secret(file, document, folder, problems);
            if problems.len() > before {
                return None;
            }
            let address = RuleBlobAddress::parse(&text, written.cloud.0);
            let wrong =
                |error| problems.push(document.problem(file.span(), format!("`blob_sas_url_file`: {error}")));
            address.map_err(wrong).ok().map(RulePlace::Blob)
        }
        _ => {
            let text = "`[data_collection_rule]` needs `file`, or `blob_sas_url_file`, a file whose first line is a Blob SAS URL, and not both";
            problems.push(document.problem(span, text));
            None
        }
    }
}

/// The folders that a rule may read: never those in which the agent keeps its keys and queues.
fn directories(
    written: &[Spanned<PathBuf>],
    span: std::ops::Range<usize>,
    document: Document<'_>,
    places: &Places<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    if written.len() > MOST_DIRECTORIES {
        problems.push(document.problem(span, format!("more than {MOST_DIRECTORIES} `log_directories`")));
    }
    let own: Vec<PathBuf> = [Some(places.folder), Some(places.state), places.spool]
        .into_iter()
        .flatten()
        .map(|own| absolute(&places.folder.join(own)))
        .collect();
    for directory in written {
        let path = directory.get_ref();
        let wrong = match path {
            path if !is_straight(path) => Some("must be absolute, below `/`, and without `..`".to_owned()),
            path => {
                let real = absolute(path);
                let found = own.iter().find(|own| own.starts_with(&real) || real.starts_with(own));
                found.map(|own| format!("the agent keeps its configuration, keys or queues in `{}`: name folders that hold logs alone", own.display()))
            }
        };
        if let Some(wrong) = wrong {
            problems.push(document.problem(directory.span(), format!("`{}`: {wrong}", path.display())));
        }
    }
    written.iter().map(|directory| directory.get_ref().clone()).collect()
}

/// The real path where there is one: a link must not hide what a folder is.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.canonicalize().unwrap_or(path)
}

/// Returns whether a path is absolute, leads below its root and nowhere back.
fn is_straight(path: &Path) -> bool {
    let named = path.components().any(|part| matches!(part, Component::Normal(_)));
    let back = path.components().any(|part| matches!(part, Component::ParentDir));
    path.is_absolute() && named && !back
}

fn listeners(written: file::RuleSyslog, folder: &Path) -> SyslogSettings {
    let none = written.udp.is_empty() && written.tcp.is_empty() && written.unix.is_empty();
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, LEGACY_SYSLOG_PORT));
    SyslogSettings {
        udp: if none { vec![usual] } else { written.udp },
        tcp: if none { vec![usual] } else { written.tcp },
        unix: written.unix.iter().map(|path| folder.join(path)).collect(),
        facilities: Vec::new(),
        severity: 7,
        levels: std::collections::BTreeMap::new(),
        connections: 256,
        idle: Duration::from_secs(60 * 60),
    }
}

/// A rule that may be used: the configuration with its sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The local configuration and the rule's sources behind its own.
    pub config: Config,
    /// How many of the sources are the rule's.
    pub sources: usize,
    /// What means something to know.
    pub remarks: Vec<Finding>,
}

/// Checks a rule against the local configuration as `check` would, and joins both. A rule is taken whole or not at all:
/// whatever is wrong with it, or cannot be done here, refuses it.
pub fn joined(local: &Config, document: &[u8]) -> Result<Accepted, Vec<String>> {
    let Some(settings) = &local.rule else {
        return Err(vec!["there is no `[data_collection_rule]`".to_owned()]);
    };
    let (rule, report) = dcr::read(document);
    let placement = Placement::Joined { workspaces: &local.workspaces, settings };
    let rendered = render::render(&rule, report, &placement);
    let said = |finding: &Finding| finding.to_string();
    let mut refused: Vec<String> =
        rendered.report.problems.iter().chain(&rendered.report.left_out).map(said).collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    let sources = checked(&rendered, local, settings, &mut refused);
    for source in &sources {
        if local.sources.iter().any(|own| own.name == source.name) {
            refused.push(format!(
                "`[source.{}]` stands in the local configuration already; give it another name",
                source.name
            ));
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut config = local.clone();
    let count = sources.len();
    config.sources.extend(sources);
    Ok(Accepted { config, sources: count, remarks: rendered.report.remarks })
}

/// Reads the text that a rule became with the reader of the configuration itself.
fn checked(
    rendered: &Rendered,
    local: &Config,
    settings: &RuleSettings,
    refused: &mut Vec<String>,
) -> Vec<Source> {
    let document = Document { file: Path::new("data collection rule"), text: &rendered.text };
    let (written, mut problems) = decode::<file::File>(document);
    let written = written.source.unwrap_or_default();
    let mut found = sources::read(
        Some(written),
        Some(settings),
        &local.workspaces,
        document,
        Path::new("/"),
        &mut problems,
    );
    refused.extend(problems.iter().map(|problem| problem.text.clone()));
    for source in &mut found {
        if let SourceKind::Files(files) | SourceKind::Iis(files) = &mut source.kind {
            files.within.clone_from(&settings.log_directories);
        }
    }
    found
}

#[cfg(test)]
mod tests;
