//! What can be said of the rule at any time.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

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
