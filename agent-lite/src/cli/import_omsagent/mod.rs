//! `agent-lite import-omsagent`: the legacy agent's set-up as a configuration of this one.
//!
//! `tree` finds and reads the files, `plan` joins what several workspaces have in common, `text` writes it with the
//! place that each value came from, `identity` takes certificates over. What is not carried over is listed.

mod identity;
mod plan;
mod text;
mod tree;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use agent_lite::config;
use agent_lite::config::settings::Config;
use agent_lite::events::OneLine;
use agent_lite::system;
use anyhow::anyhow;
use anyhow::bail;
use common::document::Source;

use self::text::Passwords;
use self::tree::SetUp;
use super::onboard::files::write;

/// Where the legacy agent has its files.
const USUAL_FOLDER: &str = "/etc/opt/microsoft/omsagent";

/// What is read, and what becomes of it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The legacy agent's folder, or the root of a copied tree with it
    #[arg(value_name = "DIR", default_value = USUAL_FOLDER)]
    folder: PathBuf,
    /// Write the configuration into a new file instead of showing it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Take certificates and GUIDs over, too, so that no onboarding is needed; the legacy agent must not run again
    #[arg(long, requires = "write")]
    identity: bool,
    /// The gateway, in place of the legacy agent's proxy; several in order
    #[arg(short = 'p', long = "proxy", value_name = "PROXY")]
    proxies: Vec<String>,
    /// The state folder [default: /var/lib/agent-lite]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// The roots that vouch for Azure, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    azure_ca: Option<PathBuf>,
    /// What rsyslog hands to the legacy agent [default: etc/rsyslog.d/95-omsagent.conf of the tree]
    #[arg(long, value_name = "FILE")]
    rsyslog: Option<PathBuf>,
    /// The same for syslog-ng [default: etc/syslog-ng/syslog-ng.conf of the tree]
    #[arg(long, value_name = "FILE")]
    syslog_ng: Option<PathBuf>,
}

/// Something that is not carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    /// File and line.
    place: String,
    what: String,
    why: String,
}

/// Shows the configuration or writes it.
pub(super) fn import(what: &Arguments, host: &str) -> anyhow::Result<ExitCode> {
    let set_up = tree::read(what)?;
    let passwords = if what.write.is_some() { Passwords::Written } else { Passwords::LeftInTheirFile };
    let text = text::text(&set_up, what, passwords);
    let place = what.write.as_deref().map_or_else(system::usual_place, Path::to_path_buf);
    let source = Source { file: &place, text: &text };
    let config = config::parse(source, host).map_err(|problems| {
        anyhow!("what was read makes no configuration; nothing was written:\n{problems}")
    })?;
    match &what.write {
        None => show(&text),
        Some(file) => write_all(file, &text, &config, &set_up, what)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn show(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn write_all(
    file: &Path,
    text: &str,
    config: &Config,
    set_up: &SetUp,
    what: &Arguments,
) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{}: it is there already; name a new file, or move it away", file.display());
    }
    let identities = if what.identity { identity::all(set_up) } else { Vec::new() };
    if what.identity {
        identity::take_over(config, &identities)?;
    }
    write(file, text, 0o600)?;
    println!("{}: written, and it is right", file.display());
    for left in &set_up.left {
        println!("not carried over: {}: {}: {}", OneLine(&left.place), OneLine(&left.what), left.why);
    }
    for workspace in &set_up.workspaces {
        println!("workspace {}: {}", workspace.id, identity::sentence(&workspace.id, &identities));
    }
    if identities.iter().any(|(_, outcome)| outcome.is_ok()) {
        let state = config.state.display();
        println!("the state folder must belong to the service's user: chown -R agent-lite: {state}");
    }
    println!("stop the legacy agent for good before agent-lite starts: both listen for the same messages");
    Ok(())
}
