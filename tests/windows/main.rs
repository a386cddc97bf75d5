//! Journeys of the agent's program for Windows under Wine, through the gateway into the fake Azure. `.ci/windows` builds
//! the program, makes the Wine prefix and runs them; elsewhere they are ignored.
//!
//! What Wine cannot show stands in `deploy/windows/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

#[path = "../e2e/agent_stage.rs"]
#[allow(dead_code, reason = "the journeys on Linux use the rest")]
mod agent_stage;
mod control;
mod counters;
mod files;
mod service;
#[path = "../e2e/stage.rs"]
#[allow(dead_code, reason = "the journeys on Linux use the rest")]
mod stage;
mod syslog;

use crate::agent_stage::AgentStage;

/// A stage whose agent is the program for Windows: `AGENT_LITE_PROGRAM` names it, `WINEPREFIX` where Wine lives.
async fn stage() -> AgentStage {
    let mut stage = AgentStage::new(1).await;
    stage.home.start_by(&["wine"]);
    stage
}

/// Returns how the program names a path.
fn by_drive(path: &std::path::Path) -> String {
    format!("Z:{}", path.display())
}
