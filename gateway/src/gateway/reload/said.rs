//! What is said of reloads: everything once, until it changes.

use tracing::info;
use tracing::warn;

use super::Outcome;
use crate::events;
use crate::observe::metrics::ReloadResult;
use crate::system;

/// Most problems of one reload that are written.
const MOST_SAID: usize = 20;

/// What was said last.
#[derive(Default)]
pub(super) struct Said {
    problems: Vec<String>,
    waits: Vec<String>,
}

impl Said {
    pub(super) fn say(&mut self, outcome: &Outcome, why: &str, summary: &str, policy: &str) {
        match outcome.outcome {
            ReloadResult::Applied => {
                info!(event_id = events::RELOADED.0, why, "another configuration is in force: {summary}");
                info!(event_id = events::POLICY.0, "policy: {policy}");
            }
            ReloadResult::Unchanged if !self.problems.is_empty() => {
                info!(event_id = events::RELOADED.0, why, "the configuration is right again: {summary}");
            }
            ReloadResult::Unchanged => {}
            ReloadResult::Refused => self.say_problems(outcome, why),
        }
        self.problems.clone_from(&outcome.problems);
        for wait in outcome.waits.iter().filter(|wait| !self.waits.contains(wait)) {
            warn!(event_id = events::RELOAD_WAITS.0, why, "waits for {}: {wait}", system::RESTART);
        }
        self.waits.clone_from(&outcome.waits);
    }

    fn say_problems(&self, outcome: &Outcome, why: &str) {
        if outcome.problems == self.problems {
            return;
        }
        let event_id = events::RELOAD_REFUSED.0;
        for problem in outcome.problems.iter().take(MOST_SAID) {
            warn!(event_id, why, "not taken, the configuration before stays in force: {problem}");
        }
        let more = outcome.problems.len().saturating_sub(MOST_SAID);
        if more > 0 {
            warn!(event_id, why, "not taken: {more} more problems; `la-gateway check` shows them all");
        }
    }
}
