//! What a courier tells whoever asks: the last delivery, and why there is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use crate::record::Table;

/// The state of one courier. Clones are the same state.
#[derive(Clone, Default)]
pub struct Report(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    trouble: Option<Trouble>,
    last_delivery: Option<SystemTime>,
    tables: BTreeMap<Table, TableCount>,
}

/// What became of one table's records since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCount {
    /// Records the service has taken.
    pub delivered: u64,
    /// Times the service, or the gateway before it, said that this table has no place there.
    pub refused: u64,
    /// Its words the last time.
    pub reason: String,
}

/// Who keeps records from being taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The way to the service, which no record can change.
    Way,
    /// The service, or the gateway's policy.
    Service,
}

/// Why nothing is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, and what to change.
    pub detail: String,
    /// Since when.
    pub since: SystemTime,
    /// Who it is.
    pub cause: Cause,
}

impl Report {
    /// Notes a delivery. Returns whether there was trouble before it.
    pub(super) fn delivered(&self) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        state.last_delivery = Some(SystemTime::now());
        state.trouble.take().is_some()
    }

    /// Notes a delivery of one record of a table.
    #[cfg(test)]
    pub fn note_delivery(&self, table: &Table) {
        self.took(table, 1);
        self.delivered();
    }

    /// Notes trouble. Returns whether it is another one than before.
    pub fn trouble(&self, detail: &str, cause: Cause) -> bool {
        let Ok(mut state) = self.0.lock() else { return false };
        let is_new = state.trouble.as_ref().is_none_or(|known| kind(&known.detail) != kind(detail));
        let since = state.trouble.as_ref().map_or_else(SystemTime::now, |known| known.since);
        state.trouble = Some(Trouble { detail: detail.to_owned(), since, cause });
        is_new
    }

    /// Notes that the service has taken records of a table.
    pub(super) fn took(&self, table: &Table, records: u64) {
        self.table(table, |count| count.delivered += records);
    }

    /// Notes that records of a table have no place there.
    pub fn refused(&self, table: &Table, reason: &str) {
        self.table(table, |count| {
            count.refused += 1;
            reason.clone_into(&mut count.reason);
        });
    }

    fn table(&self, table: &Table, change: impl FnOnce(&mut TableCount)) {
        let Ok(mut state) = self.0.lock() else { return };
        match state.tables.get_mut(table) {
            Some(count) => change(count),
            None => change(state.tables.entry(table.clone()).or_default()),
        }
    }

    /// Returns what became of each table.
    pub fn tables(&self) -> BTreeMap<Table, TableCount> {
        self.0.lock().map(|state| state.tables.clone()).unwrap_or_default()
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
        assert!(report.trouble("gateway 1: answered (request id 1a)", Cause::Service));
        assert!(!report.trouble("gateway 1: answered (request id 2b)", Cause::Service));
        assert!(report.trouble("the service is silent", Cause::Service));
        assert!(report.delivered() && report.current_trouble().is_none() && report.last_delivery().is_some());
        assert!(!report.delivered());
        assert!(report.trouble("the service is silent", Cause::Service));
    }
}
