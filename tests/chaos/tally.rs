//! What arrived: every record compared with what was sent, and when it came first and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::SystemTime;

use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Row;

use crate::load::parse;
use crate::load::text;

/// Examples of each kind of fault that are kept.
const SHOWN: usize = 10;
/// A text that is shorter has no number: a connection ended in the head of a message.
const SHORT: usize = 60;

/// A record that came again.
#[derive(Clone, Debug)]
pub(crate) struct Double {
    pub(crate) agent: usize,
    pub(crate) first: SystemTime,
    pub(crate) again: SystemTime,
}

/// What came so far.
#[derive(Default)]
pub(crate) struct Arrived {
    series: BTreeMap<String, Vec<Option<SystemTime>>>,
    pub(crate) doubles: Vec<Double>,
    pub(crate) rows: u64,
    /// Rows of other tables, which the agents write about themselves.
    pub(crate) others: u64,
    /// Beginnings of records by TCP: a connection ended in them.
    pub(crate) beginnings: u64,
    /// Texts that nobody has sent.
    pub(crate) foreign: Vec<String>,
}

/// The books of a run.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Arrived>>);

impl Tally {
    /// Takes rows out of the workspaces as they come, until it is dropped.
    pub(crate) async fn follow(self, azure: Arc<FakeWorkspaces>) {
        loop {
            let rows = azure.next_rows().await;
            let mut arrived = self.look();
            rows.iter().for_each(|(_, row)| arrived.take(row));
        }
    }

    /// Returns what came so far.
    pub(crate) fn look(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().expect("no panic under the lock")
    }
}

impl Arrived {
    fn take(&mut self, row: &Row) {
        if row.table.contains("Operation") || row.table.contains("Heartbeat") {
            self.others += 1;
            return;
        }
        self.rows += 1;
        let message = row.message();
        let Some((series, number)) = parse(message) else {
            return self.odd(message);
        };
        if text(series, number) != message {
            return self.odd(message);
        }
        let numbers = self.series.entry(series.to_owned()).or_default();
        let at = number as usize;
        if numbers.len() <= at {
            numbers.resize(at + 1, None);
        }
        match numbers[at] {
            None => numbers[at] = Some(row.arrived),
            Some(first) => {
                let agent = series.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default();
                self.doubles.push(Double { agent, first, again: row.arrived });
            }
        }
    }

    fn odd(&mut self, message: &str) {
        let begins = |(series, number): (&str, u64)| {
            series.ends_with('t') && text(series, number).starts_with(message)
        };
        let short = message.len() < SHORT && "a<".contains(message.chars().next().unwrap_or('a'));
        if parse(message).is_some_and(begins) || short {
            self.beginnings += 1;
        } else if self.foreign.len() < SHOWN {
            self.foreign.push(message.to_owned());
        }
    }

    /// Returns how many different records of a series came.
    pub(crate) fn distinct(&self, series: &str) -> u64 {
        self.series.get(series).map_or(0, |numbers| numbers.iter().flatten().count() as u64)
    }

    /// Returns the numbers below `end` that did not come.
    pub(crate) fn missing(&self, series: &str, end: u64) -> Vec<u64> {
        let numbers = self.series.get(series);
        let came =
            |number: u64| numbers.and_then(|all| all.get(number as usize)).is_some_and(Option::is_some);
        (0..end).filter(|number| !came(*number)).collect()
    }
}
