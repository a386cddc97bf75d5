//! The tables of the workspaces: every row that was taken, or only how many and with which numbers.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::SystemTime;

use memchr::memmem;
use serde_json::Map;
use serde_json::Value;

/// Highest sequence number that is kept, for the memory of the bitmap.
const HIGHEST: u64 = 1 << 28;
const MARK: &[u8] = b"seq=";

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The table's name.
    pub table: String,
    /// The columns by Azure Monitor's names.
    pub columns: Map<String, Value>,
    /// The record as it came.
    pub wire: Value,
    /// By which way.
    pub way: Way,
    /// The agent whose certificate the client showed.
    pub agent: Option<String>,
    /// When, by this machine's clock.
    pub arrived: SystemTime,
    /// Whether the service put the time of arrival in the place of the record's own.
    pub time_replaced: bool,
}

/// The way by which a row came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `PostJsonDataItems` with an envelope.
    Items,
    /// `PostJsonDataItems` with `Log-Type`.
    CustomJson,
    /// A blob of text.
    Blob,
    /// HTTP Data Collector API.
    Collector,
    /// Logs Ingestion API.
    Ingestion,
}

/// What is kept of what is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Every row.
    Rows,
    /// Counts and sequence numbers; bodies are counted, but not compared with schemas.
    Counts,
}

impl Row {
    /// Returns a column's text, or panics with the whole row.
    pub fn text(&self, column: &str) -> &str {
        match self.columns.get(column).and_then(Value::as_str) {
            Some(text) => text,
            None => panic!("no text {column} in {self:?}"),
        }
    }

    /// Returns what the record says: its message, its text, its detail.
    pub fn message(&self) -> &str {
        let names = ["SyslogMessage", "RawData", "Detail", "SyslogMessage_s", "Message_s", "Detail_s"];
        let mut texts = names.into_iter().filter_map(|name| self.columns.get(name).and_then(Value::as_str));
        texts.next().unwrap_or_default()
    }
}

/// Sequence numbers `seq=N` that were seen, one series: `udp-seq=7` belongs to the series `udp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    seen: Vec<u64>,
    distinct: u64,
    doubled: u64,
}

impl Sequence {
    /// Returns how many different numbers were seen.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Returns how many numbers came again, each time counted.
    pub fn doubled(&self) -> u64 {
        self.doubled
    }

    /// Returns the numbers below `end` that were not seen; at most the first hundred.
    pub fn missing(&self, end: u64) -> Vec<u64> {
        (0..end).filter(|number| !self.has(*number)).take(100).collect()
    }

    /// Returns how many numbers below `end` were not seen.
    pub fn count_missing(&self, end: u64) -> u64 {
        (0..end).filter(|number| !self.has(*number)).count() as u64
    }

    /// Returns whether a number was seen.
    pub fn has(&self, number: u64) -> bool {
        self.seen.get((number / 64) as usize).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn add(&mut self, number: u64) {
        if number > HIGHEST {
            return;
        }
        if self.has(number) {
            self.doubled += 1;
            return;
        }
        let at = (number / 64) as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, 0);
        }
        self.seen[at] |= 1 << (number % 64);
        self.distinct += 1;
    }
}

/// Everything that was taken.
#[derive(Default)]
pub(super) struct Tables {
    tables: HashMap<(String, String), Taken>,
}

#[derive(Default)]
struct Taken {
    rows: Vec<Row>,
    count: u64,
    sequences: BTreeMap<String, Sequence>,
}

impl Tables {
    /// Takes rows; `count` may be more than there are when only counts are kept. `text` is searched for
    /// sequence numbers.
    pub(super) fn take(&mut self, workspace: &str, table: &str, rows: Vec<Row>, count: u64, text: &[u8]) {
        let taken = self.tables.entry((workspace.to_owned(), table.to_owned())).or_default();
        taken.rows.extend(rows);
        taken.count += count;
        for at in memmem::find_iter(text, MARK) {
            let Some(number) = number_at(&text[at + MARK.len()..]) else { continue };
            let series = series_before(&text[..at]);
            match taken.sequences.get_mut(series) {
                Some(sequence) => sequence.add(number),
                None => taken.sequences.entry(series.to_owned()).or_default().add(number),
            }
        }
    }

    pub(super) fn rows(&self, workspace: &str, table: &str) -> Vec<Row> {
        self.of(workspace, table).map(|taken| taken.rows.clone()).unwrap_or_default()
    }

    pub(super) fn count(&self, workspace: &str, table: &str) -> u64 {
        self.of(workspace, table).map_or(0, |taken| taken.count)
    }

    pub(super) fn sequence(&self, workspace: &str, table: &str, series: &str) -> Sequence {
        let taken = self.of(workspace, table);
        taken.and_then(|taken| taken.sequences.get(series)).cloned().unwrap_or_default()
    }

    pub(super) fn names(&self, workspace: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.tables.keys().filter(|(of, _)| of == workspace).map(|(_, table)| table.clone()).collect();
        names.sort();
        names
    }

    /// Takes every row out; the counts stay.
    pub(super) fn drain(&mut self) -> Vec<(String, Row)> {
        let drain = |((workspace, _), taken): (&(String, String), &mut Taken)| {
            std::mem::take(&mut taken.rows)
                .into_iter()
                .map(|row| (workspace.clone(), row))
                .collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = self.tables.iter_mut().flat_map(drain).collect();
        rows.sort_by_key(|(_, row)| row.arrived);
        rows
    }

    fn of(&self, workspace: &str, table: &str) -> Option<&Taken> {
        self.tables.get(&(workspace.to_owned(), table.to_owned()))
    }
}

fn number_at(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// Returns the word that stands before the mark, without the joint between them.
fn series_before(text: &[u8]) -> &str {
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let length = text.iter().rev().take_while(part).count();
    let word = std::str::from_utf8(&text[text.len() - length..]).unwrap_or_default();
    word.trim_end_matches(['-', '_', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_found_by_their_series_and_counted_once() {
        let mut tables = Tables::default();
        let text = br#"[{"m":"a seq=0 b"},{"m":"seq=2"},{"m":"seq=2 udp-seq=70"},{"m":"seq=x"}]"#;
        tables.take("w", "T", Vec::new(), 4, text);
        let plain = tables.sequence("w", "T", "");
        assert_eq!((plain.distinct(), plain.doubled(), plain.missing(3)), (2, 1, vec![1]));
        assert_eq!(plain.count_missing(4), 2);
        assert!(tables.sequence("w", "T", "udp").has(70));
        assert_eq!(tables.sequence("w", "T", "tcp"), Sequence::default());
        assert_eq!((tables.count("w", "T"), tables.count("w", "U")), (4, 0));
        assert_eq!(tables.names("w"), ["T"]);
    }
}
