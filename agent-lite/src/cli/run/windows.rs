//! How Windows and the agent talk: the console, or the service manager.

use std::io;

use tokio::signal::windows::CtrlBreak;
use tokio::signal::windows::CtrlC;
use tokio::signal::windows::CtrlClose;
use tokio::signal::windows::CtrlShutdown;
use tokio::signal::windows::ctrl_break;
use tokio::signal::windows::ctrl_c;
use tokio::signal::windows::ctrl_close;
use tokio::signal::windows::ctrl_shutdown;
use tokio::sync::mpsc;

use super::Signal;
use super::State;
use crate::cli::service;

/// Where signals come from.
pub(in crate::cli) enum Signals {
    /// The console the agent was started in: Ctrl+Break is a reload, everything else the end.
    Console { interrupt: CtrlC, reload: CtrlBreak, close: CtrlClose, shutdown: CtrlShutdown },
    /// The service manager.
    Service(mpsc::Receiver<Signal>),
}

impl Signals {
    /// Takes those of the console from now on.
    pub(in crate::cli) fn new() -> io::Result<Self> {
        Ok(Self::Console {
            interrupt: ctrl_c()?,
            reload: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Signal {
        match self {
            Self::Console { interrupt, reload, close, shutdown } => tokio::select! {
                _ = interrupt.recv() => Signal::Stop,
                _ = close.recv() => Signal::Stop,
                _ = shutdown.recv() => Signal::Stop,
                _ = reload.recv() => Signal::Reload,
            },
            Self::Service(signals) => signals.recv().await.unwrap_or(Signal::Stop),
        }
    }
}

/// Windows has no limit that a program could raise.
pub(super) fn raise_limits() {}

/// Tells the service manager, where it has started the agent.
pub(super) fn tell(state: State) {
    service::tell(state);
}

/// The service manager has no watchdog.
pub(super) async fn watchdog() {
    std::future::pending().await
}
