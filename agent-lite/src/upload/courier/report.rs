//! What a courier tells whoever asks: the last delivery, and why there is none.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

/// The state of one courier. Clones are the same state.
#[derive(Clone, Default)]
pub struct Report(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    trouble: Option<Trouble>,
    last_delivery: Option<SystemTime>,
}

/// Why nothing is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, and what to change.
    pub detail: String,
    /// Since when.
    pub since: SystemTime,
}

impl Report {
    /// Notes a delivery. Returns whether there was trouble before it.
    pub(super) fn delivered(&self) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        state.last_delivery = Some(SystemTime::now());
        state.trouble.take().is_some()
    }

    /// Notes trouble. Returns whether it is another one than before.
    pub fn trouble(&self, detail: &str) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        let is_new = state.trouble.as_ref().is_none_or(|known| kind(&known.detail) != kind(detail));
        let since = state.trouble.as_ref().map_or_else(SystemTime::now, |known| known.since);
        state.trouble = Some(Trouble { detail: detail.to_owned(), since });
        is_new
    }

    /// Returns why nothing is taken, if it is so.
    pub fn current_trouble(&self) -> Option<Trouble> {
        self.0.lock().ok().and_then(|state| state.trouble.clone())
    }

    /// Returns when the service took something.
    pub fn last_delivery(&self) -> Option<SystemTime> {
        self.0.lock().ok().and_then(|state| state.last_delivery)
    }
}

/// The same trouble has other request ids and times each time; numbers do not make it another one.
fn kind(detail: &str) -> String {
    let word = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    detail.split_whitespace().filter(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_new_only_once_until_a_delivery() {
        let report = Report::default();
        assert!(report.trouble("gateway 1: answered (request id 1a)"));
        assert!(!report.trouble("gateway 1: answered (request id 2b)"));
        assert!(report.trouble("the service is silent"));
        assert!(report.delivered() && report.current_trouble().is_none() && report.last_delivery().is_some());
        assert!(!report.delivered());
        assert!(report.trouble("the service is silent"));
    }
}
