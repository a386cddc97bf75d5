//! How Windows and the gateway talk: the console, or the service manager.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use agent_lite_windows::service::Asked;
use la_gateway::control::Order;
use la_gateway::gateway::launcher::Launcher;
use tokio::signal::windows::CtrlBreak;
use tokio::signal::windows::CtrlC;
use tokio::signal::windows::CtrlClose;
use tokio::signal::windows::CtrlShutdown;
use tokio::signal::windows::ctrl_break;
use tokio::signal::windows::ctrl_c;
use tokio::signal::windows::ctrl_close;
use tokio::signal::windows::ctrl_shutdown;
use tokio::sync::mpsc;

/// Why there is no sandbox.
pub(super) const NO_SANDBOX: &str =
    "Windows has none that a process could close around itself; the service's account is what confines it";

/// Starts nothing: there is no hand-over.
pub(super) fn launcher(_config: Option<&Path>, _control: &Path) -> io::Result<Option<Launcher>> {
    Ok(None)
}

/// Where signals come from.
pub(in crate::cli) enum Signals {
    /// The console the gateway was started in: Ctrl+Break is a reload, everything else the end.
    Console { interrupt: CtrlC, reload: CtrlBreak, close: CtrlClose, shutdown: CtrlShutdown },
    /// The service manager.
    Service(mpsc::Receiver<Asked>),
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

    /// Gives orders, for ever.
    pub(super) async fn become_orders(mut self, orders: mpsc::Sender<Order>) -> Infallible {
        loop {
            if orders.send(self.next().await).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn next(&mut self) -> Order {
        match self {
            Self::Console { interrupt, reload, close, shutdown } => tokio::select! {
                _ = interrupt.recv() => Order::Terminate,
                _ = close.recv() => Order::Terminate,
                _ = shutdown.recv() => Order::Terminate,
                _ = reload.recv() => Order::Reload("Ctrl+Break", None),
            },
            Self::Service(asked) => match asked.recv().await {
                Some(Asked::Reload) => Order::Reload("the service manager", None),
                Some(Asked::Stop) => Order::Terminate,
                None => std::future::pending().await,
            },
        }
    }
}
