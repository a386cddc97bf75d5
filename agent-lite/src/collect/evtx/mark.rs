use std::collections::VecDeque;

use serde::Deserialize;
use serde::Serialize;

/// How many events tell a place in a log.
const LENGTH: usize = 32;

/// One event of a log: its number, and when it was written, in microseconds.
pub(super) type Step = (u64, i64);

/// The events that were read last, the newest at the end; at the beginning of a log there are fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark(VecDeque<Step>);

impl Mark {
    /// Goes on by one event.
    pub(super) fn step(&mut self, step: Step) {
        if self.0.len() == LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(step);
    }

    /// Returns whether a reader that came by these events is at this mark: all that it remembers were read then.
    ///
    /// A log that was exported by a query has other events before the same one: it is another log. One whose
    /// oldest events were overwritten has fewer of them.
    pub(super) fn is_at(&self, way: &Self) -> bool {
        let same = self.0.iter().rev().zip(way.0.iter().rev()).all(|(mine, its)| mine == its);
        !way.0.is_empty() && way.0.len() <= self.0.len() && same
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the newest event.
    pub(super) fn last(&self) -> Option<Step> {
        self.0.back().copied()
    }
}
