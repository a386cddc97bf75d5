//! `agent-lite run`.

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
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::time;

use super::EX_CONFIG;
use super::log;
use super::runtime;

/// Most files that are open at once, if the system lets.
const MOST_OPEN_FILES: u64 = 65_536;
/// The table of descriptors has room for the highest one of a start from the beginning: to make room while other threads
/// run takes the kernel some 10 ms.
const HIGHEST_DESCRIPTOR: i32 = 1024;

/// Runs the agent until it is told to stop.
pub(super) fn run(file: &Path, config: Config, machine: Machine) -> anyhow::Result<ExitCode> {
    log::start(config.log);
    raise_limits();
    let runtime = runtime().context("cannot start")?;
    let outcome = runtime.block_on(async {
        let signals = Signals::new().context("cannot receive signals")?;
        let (commands, inbox) = mpsc::channel(4);
        let host = machine.hostname.clone();
        let ready = || notify(&[NotifyState::Ready]);
        let agent = agent::run(config, machine, inbox, ready);
        tokio::select! {
            outcome = agent => Ok::<_, anyhow::Error>(outcome),
            () = async {
                signals.forward(file, &host, commands).await;
                std::future::pending().await
            } => unreachable!("the signals wait for ever"),
            () = watchdog() => unreachable!("the watchdog is fed for ever"),
        }
    })?;
    // What a blocked disk still does must not hold the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            say(Event::SourceFailed, "start", &error);
            eprintln!("agent-lite: {error}");
            Ok(match error {
                StartError::Config(_) => ExitCode::from(EX_CONFIG),
                StartError::Disk { .. }
                | StartError::Spool(_)
                | StartError::Identity(_)
                | StartError::BecameClone => ExitCode::FAILURE,
            })
        }
    }
}

/// Takes as many open files as the system lets: each watched file and each connection is one, and without one the
/// queue cannot be written. Whoever calls it is the only thread.
fn raise_limits() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MOST_OPEN_FILES, |most| most.min(MOST_OPEN_FILES));
    if limit.current.is_some_and(|current| current < most) {
        // Where this fails the limit is what it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
    drop(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), HIGHEST_DESCRIPTOR));
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into commands until the end is one.
    async fn forward(mut self, file: &Path, host: &str, commands: mpsc::Sender<Command>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hang_up.recv() => {}
            }
            notify(&[
                NotifyState::Reloading,
                NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading),
            ]);
            match config::load(Some(file), host) {
                Ok(config) => {
                    if commands.send(Command::Reload(Box::new(config))).await.is_err() {
                        return;
                    }
                }
                Err(problems) => {
                    problems.0.iter().for_each(|problem| say(Event::NotReloaded, "configuration", problem));
                    notify(&[NotifyState::Ready]);
                }
            }
        }
        notify(&[NotifyState::Stopping]);
        let _ = commands.send(Command::Stop).await;
    }
}

/// Tells systemd, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Feeds systemd's watchdog at half its time, where there is one: a stuck runtime does not.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        time::sleep((limit / 2).max(Duration::from_millis(10))).await;
        notify(&[NotifyState::Watchdog]);
    }
}
