//! Journeys of the programs for Windows under Wine: the agent's through the gateway into the fake Azure, and the gateway's
//! with clients and an origin of Linux. `.ci/windows` builds the programs, makes the Wine prefix and runs them; elsewhere they are ignored.
//!
//! What Wine cannot show stands in `deploy/windows/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

#[path = "../e2e/agent_stage.rs"]
#[allow(dead_code, reason = "the journeys on Linux use the rest")]
mod agent_stage;
mod control;
mod counters;
mod event_log;
mod files;
mod gateway;
mod installer;
mod machine;
mod service;
#[path = "../e2e/stage.rs"]
#[allow(dead_code, reason = "the journeys on Linux use the rest")]
mod stage;
mod syslog;

use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::sync::Mutex;

use crate::agent_stage::AgentStage;

/// Held by who installs the service: it has one name.
static ONE_SERVICE: Mutex<()> = Mutex::const_new(());

/// A stage whose agent is the program for Windows: `AGENT_LITE_PROGRAM` names it, `WINEPREFIX` where Wine lives.
async fn stage() -> AgentStage {
    keep_wine();
    let mut stage = AgentStage::new(1).await;
    stage.home.start_by(&["wine"]);
    stage
}

/// Keeps Wine's own processes running, and services with them, as long as this process does: one that waits for input
/// that never comes. The first one must not have our outputs, for those of Wine that it starts keep them open.
fn keep_wine() {
    static WINE: OnceLock<Child> = OnceLock::new();
    WINE.get_or_init(|| {
        let wine = |arguments: &[&str]| {
            let mut command = Command::new("wine");
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("Wine is installed")
        };
        assert!(wine(&["cmd", "/c", "exit"]).wait().expect("an end").success(), "Wine does not work");
        wine(&["cmd"])
    });
}

/// Returns how the program names a path.
fn by_drive(path: &std::path::Path) -> String {
    format!("Z:{}", path.display())
}
