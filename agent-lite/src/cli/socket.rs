//! The caller's side of the running agent's control socket.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::time::Duration;

use agent_lite::config::settings::Config;
use agent_lite::system::control;
use agent_lite::system::control::Call;
use anyhow::Context;
use serde::de::DeserializeOwned;

/// Longest line that the agent answers, in bytes: 2 MiB.
const LONGEST_LINE: u64 = 2 * 1024 * 1024;

/// A conversation with the agent.
pub(super) struct Conversation(BufReader<Call>);

impl Conversation {
    /// Calls the agent of this configuration and says one word. `patience` bounds each wait for a line.
    pub(super) fn begin(config: &Config, word: &str, patience: Option<Duration>) -> anyhow::Result<Self> {
        let place = control::place(&config.state);
        let mut call = Call::begin(&config.state, patience).with_context(|| {
            format!("no agent answers at {}; does it run, and may you read its state?", place.display())
        })?;
        call.write_all(format!("{word}\n").as_bytes())?;
        Ok(Self(BufReader::new(call)))
    }

    /// Returns the next line, or none at the end.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut line = String::new();
        std::io::Read::take(&mut self.0, LONGEST_LINE)
            .read_line(&mut line)
            .context("the agent does not answer")?;
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&line).map(Some).context("the agent is of another version")
    }
}
