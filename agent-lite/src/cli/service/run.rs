//! The service's own end: what the service manager asks, and what it is told.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use agent_lite::agent::StartError;
use agent_lite::collect::machine::Machine;
use agent_lite::config;
use agent_lite::config::settings::LogFormat;
use agent_lite::config::settings::LogLevel;
use agent_lite::config::settings::LogSettings;
use agent_lite::events::Event;
use agent_lite::events::say;
use agent_lite::system;
use agent_lite_windows::service;
use agent_lite_windows::service::Asked;
use anyhow::Context;
use tokio::sync::mpsc;

use super::SERVICE;
use crate::cli::EX_CONFIG;
use crate::cli::log;
use crate::cli::run::Signal;
use crate::cli::run::State;
use crate::cli::run::serve;
use crate::cli::run::told::Signals;

/// How the log is where no configuration says it.
const ANY_LOG: LogSettings = LogSettings { format: LogFormat::Text, level: LogLevel::Info };
/// Signals that wait.
const WAITING: usize = 4;
/// The exit code for everything but a wrong configuration.
const FAILED: u32 = 1;

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Is the service until it is stopped.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    FILE.get_or_init(|| file.to_owned());
    service::run(SERVICE.name, main)
        .context("only the service manager can call this; `agent-lite run` is for a console")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the service manager, where it has started the agent.
pub(in crate::cli) fn tell(state: State) {
    match state {
        State::Ready => service::report(service::State::Running),
        State::Reloading => {}
        State::Stopping => service::report(service::State::Stopping),
    }
}

fn main() {
    let (signals, received) = mpsc::channel(WAITING);
    let asked = move |asked| {
        let signal = match asked {
            Asked::Stop => Signal::Stop,
            Asked::Reload => Signal::Reload,
        };
        // The last place is the end's: it is never refused because of reloads that wait, and a second one adds nothing.
        if matches!(signal, Signal::Stop) || signals.capacity() > 1 {
            let _ = signals.try_send(signal);
        }
    };
    if service::attend(SERVICE.name, asked).is_err() {
        return;
    }
    service::report(service::State::Starting);
    let code = serve_until_stopped(received).err().unwrap_or_default();
    service::report(service::State::Stopped(code));
}

fn serve_until_stopped(signals: mpsc::Receiver<Signal>) -> Result<(), u32> {
    let file = FILE.get().cloned().unwrap_or_else(system::usual_place);
    // Nothing is written beside a file of a stranger, not even why; `agent-lite service start` says it.
    if system::vouch_for(&file).is_err() {
        return Err(EX_CONFIG.into());
    }
    let machine = Machine::ask();
    let config = match config::load(Some(&file), &machine.hostname) {
        Ok(config) => config,
        Err(problems) => {
            // Without a configuration there is no state folder: the log is beside the file that is wrong.
            let _ = log::start_in(&file.with_extension("log"), ANY_LOG);
            problems.0.iter().for_each(|problem| say(Event::SourceFailed, "configuration", problem));
            return Err(EX_CONFIG.into());
        }
    };
    let made = system::make_folder(&config.state)
        .and_then(|()| log::start_in(&config.state.join("agent-lite.log"), config.log));
    if made.is_err() {
        return Err(FAILED);
    }
    match serve(&file, config, machine, || Ok(Signals::Service(signals))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(StartError::Config(_))) => Err(EX_CONFIG.into()),
        Ok(Err(
            StartError::Disk { .. }
            | StartError::Spool(_)
            | StartError::Identity(_)
            | StartError::BecameClone,
        )) => Err(FAILED),
        Err(error) => {
            say(Event::SourceFailed, "start", format_args!("{error:#}"));
            Err(FAILED)
        }
    }
}
