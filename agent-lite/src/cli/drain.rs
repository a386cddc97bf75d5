//! `agent-lite drain`.

use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use agent_lite::agent::control::DrainLine;
use agent_lite::config::settings::Config;

use super::socket::Conversation;

/// How long the agent may be silent before the wait is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Waits until every queue is empty. The exit code is 1 when it takes longer.
pub(super) fn drain(config: &Config, within: Duration) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut progress = Progress::begin();
    let mut waiting = None;
    loop {
        let mut conversation = Conversation::begin(config, "drain", Some(LOOK))?;
        // A silent agent has nothing new to say: ask again, so that the time can run out.
        while let Ok(Some(line)) = conversation.next::<DrainLine>() {
            if line.done {
                progress.end("every queue is empty");
                return Ok(ExitCode::SUCCESS);
            }
            if waiting != Some(line.waiting) {
                progress.tell(line.waiting, began.elapsed());
                waiting = Some(line.waiting);
            }
            if began.elapsed() >= within {
                break;
            }
        }
        if began.elapsed() >= within {
            progress.end("");
            eprintln!(
                "agent-lite: {} records still wait; see `agent-lite status`",
                waiting.unwrap_or_default()
            );
            return Ok(ExitCode::FAILURE);
        }
    }
}

/// What is left, how fast it goes, and how long it will take: one line that changes on a terminal, else a line
/// for each change.
struct Progress {
    on_terminal: bool,
    first: Option<u64>,
}

impl Progress {
    fn begin() -> Self {
        Self { on_terminal: std::io::stdout().is_terminal(), first: None }
    }

    #[expect(clippy::print_stdout, reason = "the command's result")]
    fn tell(&mut self, waiting: u64, since: Duration) {
        let first = *self.first.get_or_insert(waiting);
        let text = left(first, waiting, since);
        match self.on_terminal {
            true => print!("\r\x1b[K{text}"),
            false => println!("{text}"),
        }
        // A reader that is gone does not end the wait.
        let _ = std::io::stdout().flush();
    }

    /// Leaves the line that changed, and says the last word.
    #[expect(clippy::print_stdout, reason = "the command's result")]
    fn end(&self, text: &str) {
        if self.on_terminal && self.first.is_some() {
            println!();
        }
        if !text.is_empty() {
            println!("{text}");
        }
    }
}

fn left(first: u64, waiting: u64, since: Duration) -> String {
    let gone = first.saturating_sub(waiting);
    let text = format!("{waiting} records wait");
    let per_second = gone as f64 / since.as_secs_f64().max(f64::MIN_POSITIVE);
    if gone == 0 || since < Duration::from_secs(1) {
        return text;
    }
    let more = (waiting as f64 / per_second).ceil();
    format!("{text}, {gone} went; {per_second:.0} a second, {more:.0} s more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_left_and_once_it_goes_how_long_it_will_take() {
        assert_eq!(left(500, 500, Duration::from_secs(9)), "500 records wait");
        assert_eq!(left(500, 400, Duration::from_millis(10)), "400 records wait");
        assert_eq!(
            left(500, 400, Duration::from_secs(2)),
            "400 records wait, 100 went; 50 a second, 8 s more"
        );
        // More came than went.
        assert_eq!(left(500, 700, Duration::from_secs(2)), "700 records wait");
    }
}
