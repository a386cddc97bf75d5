//! `agent-lite status`.

mod table;

use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use agent_lite::agent::status::Status;
use agent_lite::config::settings::Config;
use anyhow::Context;
use jiff::Timestamp;

use super::socket::Conversation;

/// Longest wait for the agent's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest time between two looks.
const OFTENEST: Duration = Duration::from_millis(100);
/// Takes a terminal's cursor home and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows what the agent says. The exit code is 0 when every workspace takes records, else 1.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let status = ask(config)?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => print!("{}", table::table(&status, Timestamp::now())),
    }
    Ok(if status.well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows it again and again, until the reader goes away or the program is ended. An agent that does not
/// answer is said so, and asked again.
pub(super) fn watch(config: &Config, every: Duration) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let clear = if out.is_terminal() { CLEAR } else { "" };
    loop {
        let now = Timestamp::now();
        let text = match ask(config) {
            Ok(status) => table::table(&status, now),
            Err(error) => format!("{error:#}\n"),
        };
        let shown = write!(out, "{clear}{now:.0}\n{text}\n").and_then(|()| out.flush());
        if shown.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(every.max(OFTENEST));
    }
}

fn ask(config: &Config) -> anyhow::Result<Status> {
    let mut conversation = Conversation::begin(config, "status", Some(PATIENCE))?;
    conversation.next()?.context("the agent does not answer")
}
