//! The service's own end: what the service manager asks, and what it is told.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use agent_lite::agent::StartError;
use agent_lite::collect::machine::Machine;
use agent_lite::config;
use agent_lite::config::settings::LogFormat;
use agent_lite::config::settings::LogLevel;
use agent_lite::config::settings::LogSettings;
use agent_lite::events::Event;
use agent_lite::events::say;
use agent_lite::system;
use anyhow::Context;
use tokio::sync::mpsc;
use windows_service::service::ServiceControl;
use windows_service::service::ServiceControlAccept;
use windows_service::service::ServiceExitCode;
use windows_service::service::ServiceState;
use windows_service::service::ServiceStatus;
use windows_service::service::ServiceType;
use windows_service::service_control_handler;
use windows_service::service_control_handler::ServiceControlHandlerResult;
use windows_service::service_control_handler::ServiceStatusHandle;

use super::NAME;
use crate::cli::EX_CONFIG;
use crate::cli::log;
use crate::cli::run::Signal;
use crate::cli::run::State;
use crate::cli::run::serve;
use crate::cli::run::told::Signals;

/// How long the service manager waits for a start or a stop: the sources, the queues and the couriers together end in
/// less.
const HINT: Duration = Duration::from_secs(30);
/// How the log is where no configuration says it.
const ANY_LOG: LogSettings = LogSettings { format: LogFormat::Text, level: LogLevel::Info };
/// Signals that wait.
const WAITING: usize = 4;
/// The exit code for everything but a wrong configuration.
const FAILED: u32 = 1;

static FILE: OnceLock<PathBuf> = OnceLock::new();
static MANAGER: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// Is the service until it is stopped.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    FILE.get_or_init(|| file.to_owned());
    agent_lite_windows::service::run(NAME, main)
        .context("only the service manager can call this; `agent-lite run` is for a console")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the service manager, where it has started the agent.
pub(in crate::cli) fn tell(state: State) {
    match state {
        State::Ready => report(ServiceState::Running, ServiceExitCode::NO_ERROR),
        State::Reloading => {}
        State::Stopping => report(ServiceState::StopPending, ServiceExitCode::NO_ERROR),
    }
}

fn main() {
    let (signals, received) = mpsc::channel(WAITING);
    let asked = move |control| {
        let signal = match control {
            ServiceControl::Stop | ServiceControl::Preshutdown => Signal::Stop,
            ServiceControl::ParamChange => Signal::Reload,
            ServiceControl::Interrogate => return ServiceControlHandlerResult::NoError,
            _ => return ServiceControlHandlerResult::NotImplemented,
        };
        // The last place is the end's: it is never refused because of reloads that wait, and a second one adds nothing.
        // The manager calls this by one thread.
        if matches!(signal, Signal::Stop) || signals.capacity() > 1 {
            let _ = signals.try_send(signal);
        }
        ServiceControlHandlerResult::NoError
    };
    let Ok(manager) = service_control_handler::register(NAME, asked) else { return };
    MANAGER.get_or_init(|| manager);
    report(ServiceState::StartPending, ServiceExitCode::NO_ERROR);
    let code = match serve_until_stopped(received) {
        Ok(()) => ServiceExitCode::NO_ERROR,
        Err(code) => ServiceExitCode::ServiceSpecific(code),
    };
    report(ServiceState::Stopped, code);
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

fn report(state: ServiceState, exit_code: ServiceExitCode) {
    let Some(manager) = MANAGER.get() else { return };
    let pending = matches!(state, ServiceState::StartPending | ServiceState::StopPending);
    let controls_accepted = match state {
        ServiceState::Running => {
            ServiceControlAccept::STOP
                | ServiceControlAccept::PRESHUTDOWN
                | ServiceControlAccept::PARAM_CHANGE
        }
        _ => ServiceControlAccept::empty(),
    };
    let told = manager.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: u32::from(pending),
        wait_hint: if pending { HINT } else { Duration::ZERO },
        process_id: None,
    });
    if let Err(error) = told {
        say(Event::SourceTrouble, "service manager", error);
    }
}
