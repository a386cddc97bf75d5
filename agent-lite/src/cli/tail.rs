//! `agent-lite tail`.

use std::io::Write;
use std::process::ExitCode;

use agent_lite::agent::control::TailLine;
use agent_lite::config::settings::Config;
use agent_lite::events::OneLine;

use super::socket::Conversation;

/// Shows records as they are collected, until the agent or the reader ends it.
pub(super) fn tail(
    config: &Config,
    json: bool,
    source: Option<&str>,
    count: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let mut conversation = Conversation::begin(config, "tail", None)?;
    let mut out = std::io::stdout().lock();
    let mut left = count;
    while left != Some(0) {
        let Some(line) = conversation.next::<TailLine>()? else { break };
        if source.is_some_and(|wanted| !line.source.starts_with(wanted)) {
            continue;
        }
        let text = match json {
            true => serde_json::to_string(&line)?,
            false => shown(&line),
        };
        // A record can hold anything; the terminal obeys none of it.
        let text = OneLine(text);
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            break;
        }
        left = left.map(|left| left - 1);
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(line: &TailLine) -> String {
    let mut text = format!("{} {} {}", line.time, line.source, line.table);
    if line.skipped > 0 {
        text.push_str(&format!(" ({} batches before it were not shown)", line.skipped));
    }
    for (name, value) in &line.columns {
        // As JSON, so that a line stays one line whatever a record holds.
        text.push_str(&format!(" {name}={value}"));
    }
    text
}
