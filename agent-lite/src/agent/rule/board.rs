//! What can be said of the rule at any time.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use jiff::Timestamp as Time;
use tokio::time::Instant;

use super::Rule;
use crate::agent::status::RuleRefusal;
use crate::agent::status::RuleStatus;

/// What everybody may look at. Clones are the same.
#[derive(Clone, Default)]
pub(in crate::agent) struct Board(Arc<Mutex<RuleStatus>>);

impl Board {
    pub(in crate::agent) fn change(&self, change: impl FnOnce(&mut RuleStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(in crate::agent) fn status(&self) -> RuleStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Rule {
    pub(super) fn show(&self) {
        let ends =
            self.probation.as_ref().map(|probation| probation.ends.saturating_duration_since(Instant::now()));
        let refused = self.kept.refused.clone();
        self.board.change(|status| {
            status.place = self.place().unwrap_or_default();
            status.version = self.running.as_ref().map(|running| running.version.clone());
            status.taken = self.running.as_ref().map(|running| running.taken.clone());
            status.probation = ends.map(|left| (Time::now() + left).to_string());
            status.refused = refused.map(|refused| RuleRefusal {
                version: refused.version,
                at: refused.at,
                reasons: refused.reasons,
            });
            if self.running.is_none() {
                status.remarks.clear();
            }
        });
    }

    /// Returns what can be said of it, if there is to be one.
    pub(in crate::agent) fn board(&self) -> Option<Board> {
        self.local.rule.as_ref().map(|_| self.board.clone())
    }
}
