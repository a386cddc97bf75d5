//! `agent-lite status`.

use std::process::ExitCode;
use std::time::Duration;

use agent_lite::agent::status::Status;
use agent_lite::config::settings::Config;
use anyhow::Context;

use super::socket::Conversation;

/// Shows what the agent says. The exit code is 0 when every workspace takes records, else 1.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let mut conversation = Conversation::begin(config, "status", Some(Duration::from_secs(10)))?;
    let status: Status = conversation.next()?.context("the agent does not answer")?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => print!("{status}"),
    }
    Ok(if status.well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
