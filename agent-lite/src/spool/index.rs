use std::collections::VecDeque;

use crate::record::Table;

/// A sealed segment in memory: 24 bytes, so 10 GB of backlog cost less than a megabyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) bytes: u32,
    pub(super) records: u32,
    pub(super) table: TableId,
}

const _: () = assert!(size_of::<Entry>() <= 24);

/// A table's place in [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableId(u16);

/// Places of the tables that are sent before all others.
const URGENT: u16 = 2;

/// The sealed segments in the order in which they are sent.
#[derive(Debug)]
pub(super) struct Index {
    urgent: VecDeque<Entry>,
    normal: VecDeque<Entry>,
    handed: Option<u64>,
    tables: Vec<Table>,
    /// How many segments of each table there are, by its place.
    counts: Vec<u32>,
}

impl Index {
    pub(super) fn new() -> Self {
        let tables = vec![Table::Heartbeat, Table::Operation];
        Self { urgent: VecDeque::new(), normal: VecDeque::new(), handed: None, tables, counts: Vec::new() }
    }

    /// Returns the place of a table; `None` when there are more than anybody has.
    pub(super) fn place(&mut self, table: &Table) -> Option<TableId> {
        if let Some(at) = self.tables.iter().position(|known| known == table) {
            return u16::try_from(at).ok().map(TableId);
        }
        let id = u16::try_from(self.tables.len()).ok()?;
        self.tables.push(table.clone());
        Some(TableId(id))
    }

    /// Returns the table at a place.
    pub(super) fn table(&self, id: TableId) -> &Table {
        self.tables.get(usize::from(id.0)).unwrap_or(&Table::Operation)
    }

    /// Adds a segment in the order of the numbers.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.count(entry.table, 1);
        let row = self.row(entry.table);
        let at = row.partition_point(|known| known.number < entry.number);
        row.insert(at, entry);
    }

    /// Adds a segment behind all others; [`Self::sort`] follows.
    pub(super) fn push(&mut self, entry: Entry) {
        self.count(entry.table, 1);
        self.row(entry.table).push_back(entry);
    }

    /// Brings segments that were pushed into their order.
    pub(super) fn sort(&mut self) {
        for row in [&mut self.urgent, &mut self.normal] {
            row.make_contiguous().sort_unstable_by_key(|entry| entry.number);
        }
    }

    /// Returns the segment to send, the same one until it is removed; none of these tables.
    pub(super) fn next(&mut self, except: &[Table]) -> Option<Entry> {
        let may = |entry: &Entry| except.is_empty() || !except.contains(self.table(entry.table));
        if let Some(entry) = self.handed.and_then(|number| self.find(number)).filter(may) {
            return Some(entry);
        }
        let entry = self.urgent.iter().chain(&self.normal).copied().find(may);
        self.handed = entry.map(|entry| entry.number).or(self.handed);
        entry
    }

    /// Returns the segment to drop: the oldest that is not being sent, else the one that is.
    pub(super) fn victim(&self) -> Option<Entry> {
        self.free_victim().or_else(|| self.handed.and_then(|number| self.find(number)))
    }

    /// Returns the oldest that is not being sent.
    pub(super) fn free_victim(&self) -> Option<Entry> {
        let free =
            |row: &VecDeque<Entry>| row.iter().find(|entry| Some(entry.number) != self.handed).copied();
        [free(&self.urgent), free(&self.normal)].into_iter().flatten().min_by_key(|entry| entry.number)
    }

    /// Returns the oldest segment.
    pub(super) fn oldest(&self) -> Option<Entry> {
        [self.urgent.front(), self.normal.front()]
            .into_iter()
            .flatten()
            .min_by_key(|entry| entry.number)
            .copied()
    }

    /// Returns the segment of a number.
    pub(super) fn find(&self, number: u64) -> Option<Entry> {
        [&self.urgent, &self.normal].into_iter().find_map(|row| row.get(position(row, number)?).copied())
    }

    /// Takes a segment out.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        if self.handed == Some(number) {
            self.handed = None;
        }
        let rows = [&mut self.urgent, &mut self.normal];
        let (row, at) = rows.into_iter().find_map(|row| position(row, number).map(|at| (row, at)))?;
        let entry = row.remove(at)?;
        if row.capacity() > 64 && row.len() < row.capacity() / 4 {
            row.shrink_to(row.len() * 2);
        }
        self.count(entry.table, -1);
        Some(entry)
    }

    /// Corrects what is known of a segment.
    pub(super) fn replace(&mut self, entry: Entry) {
        for row in [&mut self.urgent, &mut self.normal] {
            if let Some(known) = position(row, entry.number).and_then(|at| row.get_mut(at)) {
                *known = entry;
            }
        }
    }

    /// Returns whether there is any segment of a table.
    pub(super) fn has(&self, table: TableId) -> bool {
        self.counts.get(usize::from(table.0)).is_some_and(|count| *count > 0)
    }

    fn count(&mut self, table: TableId, change: i32) {
        let place = usize::from(table.0);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add_signed(change);
        }
    }

    fn row(&mut self, table: TableId) -> &mut VecDeque<Entry> {
        if table.0 < URGENT { &mut self.urgent } else { &mut self.normal }
    }
}

fn position(row: &VecDeque<Entry>, number: u64) -> Option<usize> {
    row.binary_search_by_key(&number, |entry| entry.number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(segments: &[(u64, Table)]) -> Index {
        let mut index = Index::new();
        for (number, table) in segments {
            let table = index.place(table).unwrap();
            index.insert(Entry { number: *number, bytes: 1, records: 1, table });
        }
        index
    }

    #[test]
    fn heartbeats_go_first_then_the_oldest_and_one_that_was_handed_out_stays() {
        let mut index =
            index(&[(3, Table::Syslog), (1, Table::Perf), (9, Table::Operation), (8, Table::Heartbeat)]);
        for expected in [8, 9, 1, 3] {
            assert_eq!(index.next(&[]).map(|entry| entry.number), Some(expected));
            let early = Entry { number: 0, ..index.next(&[]).unwrap() };
            index.insert(early);
            assert_eq!(index.next(&[]).map(|entry| entry.number), Some(expected));
            assert!(index.remove(0).is_some() && index.remove(expected).is_some());
        }
        assert!(index.next(&[]).is_none());
    }

    #[test]
    fn the_oldest_is_dropped_but_the_one_that_is_sent_last_of_all() {
        let mut index = index(&[(1, Table::Perf), (2, Table::Syslog), (3, Table::Heartbeat)]);
        assert_eq!(index.next(&[]).map(|entry| entry.number), Some(3));
        for expected in [1, 2, 3] {
            assert_eq!(index.victim().map(|entry| entry.number), Some(expected));
            index.remove(expected);
        }
        assert!(index.victim().is_none());
    }
}
