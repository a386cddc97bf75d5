//! `agent-lite drain`.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use agent_lite::agent::control::DrainLine;
use agent_lite::config::settings::Config;

use super::socket::Conversation;

/// How long the agent may be silent before the wait is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until every queue is empty. The exit code is 1 when it takes longer.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn drain(config: &Config, within: Duration) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut waiting = None;
    loop {
        let mut conversation = Conversation::begin(config, "drain", Some(LOOK))?;
        // A silent agent has nothing new to say: ask again, so that the time can run out.
        while let Ok(Some(line)) = conversation.next::<DrainLine>() {
            if line.done {
                println!("every queue is empty");
                return Ok(ExitCode::SUCCESS);
            }
            if waiting != Some(line.waiting) {
                println!("{} records wait", line.waiting);
                waiting = Some(line.waiting);
            }
            if began.elapsed() >= within {
                break;
            }
        }
        if began.elapsed() >= within {
            eprintln!(
                "agent-lite: {} records still wait; see `agent-lite status`",
                waiting.unwrap_or_default()
            );
            return Ok(ExitCode::FAILURE);
        }
    }
}
