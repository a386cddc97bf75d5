//! How Unix and the gateway talk: signals, and who starts a successor.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use la_gateway::control::HandOver;
use la_gateway::control::Order;
use la_gateway::gateway::launcher::Launcher;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;

/// Why there is no sandbox.
pub(super) const NO_SANDBOX: &str = "this kernel has no Landlock";

/// Starts what starts a successor.
pub(super) fn launcher(config: Option<&Path>, control: &Path) -> io::Result<Option<Launcher>> {
    Launcher::start(config, control).map(Some)
}

/// The signals that the gateway takes.
pub(in crate::cli) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Takes them from now on.
    pub(in crate::cli) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// Gives orders, for ever.
    pub(super) async fn become_orders(mut self, orders: mpsc::Sender<Order>) -> Infallible {
        loop {
            let order = tokio::select! {
                _ = self.terminate.recv() => Order::Terminate,
                _ = self.interrupt.recv() => Order::Terminate,
                _ = self.hang_up.recv() => Order::Reload("SIGHUP", None),
                _ = self.upgrade.recv() => Order::HandOver(HandOver::Start),
            };
            if orders.send(order).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
