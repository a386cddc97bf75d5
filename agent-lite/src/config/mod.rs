//! The configuration file: read, checked, all problems reported at once.
//!
//! [`load`] gives either a [`Config`] that can be run or every problem in it. It binds nothing, looks nothing
//! up, and reads no file but the configuration, `proxy_conf` and secrets. The keys, their defaults and their
//! units stand in `deploy/agent-lite/agent.toml`.

pub mod settings;

pub mod edit;
mod file;
mod gateway;
mod sources;
mod values;
mod workspaces;

use std::path::Path;
use std::path::PathBuf;

pub use common::document::Problem;
pub use common::document::Problems;
pub use common::document::Source;
use common::document::decode;
use common::document::read_file;

use self::settings::Config;
use self::settings::LogSettings;
use self::settings::SpoolSettings;
pub use self::values::FACILITIES;
pub use self::values::GATEWAY_PORT;
pub use self::values::SEVERITIES;
use crate::system;

/// Smallest and largest segment of a queue, in bytes: 64 KiB to 4 MiB.
pub const SEGMENT: std::ops::RangeInclusive<u64> = 64 * 1024..=4 * 1024 * 1024;

/// Loads a configuration: the named file, else the one in its usual place. `host` is this machine's own name.
pub fn load(named: Option<&Path>, host: &str) -> Result<Config, Problems> {
    let usual = system::usual_place();
    let file = named.unwrap_or(&usual);
    let text = read_file(file).map_err(|mut problem| {
        if named.is_none() {
            problem.text.push_str("; `agent-lite onboard` writes it");
        }
        Problems(vec![problem])
    })?;
    parse(Source { file, text: &text }, host)
}

/// Reads the text of a configuration file, and the secrets it names.
pub fn parse(source: Source<'_>, host: &str) -> Result<Config, Problems> {
    let (written, mut problems) = decode::<file::File>(source);
    let folder = source.file.parent().unwrap_or(Path::new(""));
    let state = folder.join(written.agent.state.unwrap_or_else(system::usual_state));
    let gateway = gateway::read(written.gateway, source, folder, &mut problems);
    let workspaces = workspaces::read(written.workspace, source, folder, &mut problems);
    let sources = sources::read(written.source, &workspaces, source, folder, &mut problems);
    let computer = computer(written.agent.computer, host, source, &mut problems);
    let spool = spool(written.spool, folder, &state, source, &mut problems);
    let metrics = metrics(written.metrics, source, &mut problems);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| (problem.file != source.file, problem.place));
        return Err(Problems(problems));
    }
    Ok(Config {
        gateway,
        azure_ca: written.azure.ca.map(|ca| folder.join(ca)),
        computer,
        state,
        clones: written.agent.clones,
        host_root: folder.join(written.agent.host_root.as_deref().unwrap_or(Path::new("/"))),
        spool,
        workspaces,
        sources,
        metrics,
        log: LogSettings { format: written.log.format, level: written.log.level },
    })
}

fn computer(
    written: Option<toml::Spanned<String>>,
    host: &str,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> String {
    let Some(written) = written else { return host.to_owned() };
    let name = written.get_ref();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if name.is_empty() || name.len() > 255 || !plain {
        let text = format!("`{name}` is no name of a machine; write letters, digits, `-`, `.` and `_`");
        problems.push(source.problem(written.span(), text));
    }
    name.clone()
}

fn spool(
    written: file::Spool,
    folder: &Path,
    state: &Path,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> SpoolSettings {
    let segment = written.segment.get_ref().0.0;
    if !SEGMENT.contains(&segment) {
        let text = "a segment of the queue has from `64KiB` to `4MiB`";
        problems.push(source.problem(written.segment.span(), text));
    }
    SpoolSettings {
        folder: written.folder.map_or_else(|| state.join("spool"), |named| folder.join(named)),
        sync: written.sync.0.0,
        seal_after: written.seal_after.0.0,
        segment,
    }
}

fn metrics(
    written: Option<toml::Spanned<file::Metrics>>,
    source: Source<'_>,
    problems: &mut Vec<Problem>,
) -> Option<std::net::SocketAddr> {
    let written = written?;
    let address = written.get_ref().address;
    if !address.ip().is_loopback() {
        let text = format!("the metrics have no password, so `{address}` must be a loopback address");
        problems.push(source.problem(written.span(), text));
    }
    Some(address)
}

/// Reads a secret from a file: its first line.
fn secret(
    file: &toml::Spanned<PathBuf>,
    source: Source<'_>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> common::secret::Secret {
    let path = folder.join(file.get_ref());
    let text = match read_file(&path) {
        Ok(text) => system::unsealed(text).map_err(|error| format!("{}: {error}", path.display())),
        Err(problem) => Err(problem.to_string()),
    };
    let text = match text {
        Ok(text) => text,
        Err(problem) => {
            problems.push(source.problem(file.span(), problem));
            return common::secret::Secret::new(String::new());
        }
    };
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        problems.push(source.problem(file.span(), format!("{}: its first line is empty", path.display())));
    }
    common::secret::Secret::new(line.to_owned())
}

#[cfg(test)]
mod tests;
