//! `agent-lite run`.

#[cfg_attr(unix, path = "run/unix.rs")]
#[cfg_attr(windows, path = "run/windows.rs")]
pub(super) mod told;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent_lite::agent;
use agent_lite::agent::Command;
use agent_lite::agent::StartError;
use agent_lite::collect::machine::Machine;
use agent_lite::config;
use agent_lite::config::settings::Config;
use agent_lite::events::Event;
use agent_lite::events::say;
use anyhow::Context;
use tokio::sync::mpsc;

use self::told::Signals;
use super::EX_CONFIG;
use super::log;
use super::runtime;

/// What the system wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The configuration may have changed.
    Reload,
    /// The end.
    Stop,
}

/// What whoever started the agent is told, where there is somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Every source has been started.
    Ready,
    /// Another configuration is being taken.
    Reloading,
    /// What is left is being sent.
    Stopping,
}

/// Runs the agent until it is told to stop.
pub(super) fn run(file: &Path, config: Config, machine: Machine) -> anyhow::Result<ExitCode> {
    log::start(config.log);
    told::raise_limits();
    Ok(match serve(file, config, machine, Signals::new)? {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent-lite: {error}");
            match error {
                StartError::Config(_) => ExitCode::from(EX_CONFIG),
                StartError::Disk { .. }
                | StartError::Spool(_)
                | StartError::Identity(_)
                | StartError::BecameClone => ExitCode::FAILURE,
            }
        }
    })
}

/// Runs it with these signals, which are made within the runtime.
pub(super) fn serve(
    file: &Path,
    config: Config,
    machine: Machine,
    signals: impl FnOnce() -> std::io::Result<Signals>,
) -> anyhow::Result<Result<(), StartError>> {
    let runtime = runtime().context("cannot start")?;
    let outcome = runtime.block_on(async {
        let signals = signals().context("cannot receive signals")?;
        let (commands, inbox) = mpsc::channel(4);
        let host = machine.hostname.clone();
        let agent = agent::run(config, machine, inbox, || told::tell(State::Ready));
        tokio::select! {
            outcome = agent => Ok::<_, anyhow::Error>(outcome),
            () = async {
                forward(signals, file, &host, commands).await;
                std::future::pending().await
            } => unreachable!("the signals wait for ever"),
            () = told::watchdog() => unreachable!("the watchdog is fed for ever"),
        }
    })?;
    // What a blocked disk still does must not hold the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = &outcome {
        say(Event::SourceFailed, "start", error);
    }
    Ok(outcome)
}

/// Turns signals into commands until the end is one.
async fn forward(mut signals: Signals, file: &Path, host: &str, commands: mpsc::Sender<Command>) {
    while signals.next().await == Signal::Reload {
        told::tell(State::Reloading);
        match config::load(Some(file), host) {
            Ok(config) => {
                if commands.send(Command::Reload(Box::new(config))).await.is_err() {
                    return;
                }
            }
            Err(problems) => {
                problems.0.iter().for_each(|problem| say(Event::NotReloaded, "configuration", problem));
                told::tell(State::Ready);
            }
        }
    }
    told::tell(State::Stopping);
    let _ = commands.send(Command::Stop).await;
}
