//! The service's own end: what the service manager asks, and what it is told.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use agent_lite_windows::service;
use agent_lite_windows::service::Asked;
use agent_lite_windows::service::State;
use anyhow::Context;
use common::rolling_file::Kept;
use la_gateway::config;
use la_gateway::events;
use la_gateway::events::LogFormat;
use la_gateway::events::LogLevel;
use la_gateway::gateway::reload::Baseline;
use la_gateway::observe::log;
use la_gateway::system;
use tokio::sync::mpsc;
use tracing::error;

use super::SERVICE;
use super::vouch_for;
use crate::cli::EX_CONFIG;
use crate::cli::run;
use crate::cli::run::Prepared;
use crate::cli::run::is_of_the_configuration;
use crate::cli::run::told::Signals;

/// The file of records, and how much of them is kept: half a gigabyte.
const RECORDS: &str = "la-gateway.log";
const KEPT: Kept = Kept { largest: 50 * 1024 * 1024, old: 9 };
/// What the service manager asks and is not taken yet.
const WAITING: usize = 4;
/// The exit code for everything but a wrong configuration.
const FAILED: u32 = 1;

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Is the service until it is stopped.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    FILE.get_or_init(|| file.to_owned());
    service::run(SERVICE.name, main)
        .context("only the service manager can call this; `la-gateway run` is for a console")?;
    Ok(ExitCode::SUCCESS)
}

fn main() {
    let (asked, received) = mpsc::channel(WAITING);
    let ask = move |what| {
        // The last place is the end's: it is never refused because of reloads that wait.
        if what == Asked::Stop || asked.capacity() > 1 {
            let _ = asked.try_send(what);
        }
    };
    if service::attend(SERVICE.name, ask).is_err() {
        return;
    }
    service::report(State::Starting);
    let code = serve_until_stopped(received).err().unwrap_or_default();
    service::report(State::Stopped(code));
}

fn serve_until_stopped(asked: mpsc::Receiver<Asked>) -> Result<(), u32> {
    let file = FILE.get().cloned().unwrap_or_else(system::usual_place);
    // Nothing is written beside a file of a stranger, not even why; `la-gateway service start` says it.
    let logs = vouch_for(&file).map_err(|_| u32::from(EX_CONFIG))?;
    let records = logs.join(RECORDS);
    // Before it is loaded, so that no change in between is lost.
    let before = Baseline::of(Some(&file));
    let config = match config::load(Some(&file)) {
        Ok(config) => config,
        Err(problems) => {
            tell(&records, &problems.0);
            return Err(EX_CONFIG.into());
        }
    };
    let output = log::open_in(&records, KEPT, config.log.format).map_err(|_| FAILED)?;
    let prepared = match Prepared::new(&config, &run::Arguments::default()) {
        Ok(prepared) => prepared,
        Err(error) => {
            tell(&records, &[format!("{error:#}")]);
            return Err(EX_CONFIG.into());
        }
    };
    match run::serve(config, before, prepared, output, || Ok(Signals::Service(asked))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_of_the_configuration(&error) => Err(EX_CONFIG.into()),
        Ok(Err(_)) => Err(FAILED),
        Err(error) => {
            error!(event_id = events::CONFIGURATION.0, "not started: {error:#}");
            Err(FAILED)
        }
    }
}

/// Records why there is no start, where no configuration says how.
fn tell(records: &Path, problems: &[impl std::fmt::Display]) {
    let Ok(output) = log::open_in(records, KEPT, LogFormat::Auto) else { return };
    // What is queued is written when the writer is dropped.
    let Ok(_writer) = log::start(LogLevel::Info, output) else { return };
    for problem in problems {
        error!(event_id = events::CONFIGURATION.0, "not started: {problem}");
    }
}
