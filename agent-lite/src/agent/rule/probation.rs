//! Whether sending goes on with a rule that was just taken.
//!
//! A rule is at fault when one of its tables has no place where it goes (the service, or the gateway on the way to the
//! blobs, refuses it, and not one record of it was taken), or when a workspace that took records before takes none
//! any more and the service itself says why. An outage of the way says nothing about a rule: then the probation is
//! prolonged.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::config::settings::Source;
use crate::config::settings::SourceKind;
use crate::record::Table;
use crate::upload::courier::Cause;
use crate::upload::courier::Report;
use crate::upload::courier::TableCount;

/// A rule on probation.
pub(super) struct Probation {
    /// Until when.
    pub(super) ends: Instant,
    /// The tables of its sources, and where they go; none: everywhere.
    tables: BTreeMap<Table, BTreeSet<String>>,
    before: BTreeMap<String, Before>,
}

/// How a workspace was when the rule was taken.
struct Before {
    well: bool,
    tables: BTreeMap<Table, TableCount>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Sending goes on.
    Good,
    /// It does not, for these reasons.
    Bad(Vec<String>),
    /// The way out is closed: nothing can be said.
    Unknown,
}

impl Probation {
    /// Begins with a rule's sources and how the workspaces are.
    pub(super) fn begin(rule: &[Source], ends: Instant, reports: Vec<(String, Report)>) -> Self {
        let mut tables: BTreeMap<Table, BTreeSet<String>> = BTreeMap::new();
        for source in rule {
            let places = tables.entry(table_of(&source.kind)).or_default();
            places.extend(source.workspaces.iter().cloned());
        }
        let of = |(name, report): (String, Report)| {
            let well = report.current_trouble().is_none() && report.last_delivery().is_some();
            (name, Before { well, tables: report.tables() })
        };
        Self { ends, tables, before: reports.into_iter().map(of).collect() }
    }

    /// Keeps how it was before an earlier rule on probation: that one may be what is wrong. Couriers that have begun
    /// their counts anew are taken as they are.
    pub(super) fn after(mut self, earlier: Option<Self>) -> Self {
        let sum =
            |one: &Before| one.tables.values().map(|count| count.delivered + count.refused).sum::<u64>();
        for (name, old) in earlier.into_iter().flat_map(|one| one.before) {
            let Some(new) = self.before.get_mut(&name) else { continue };
            match sum(new) < sum(&old) {
                true => new.well |= old.well,
                false => *new = old,
            }
        }
        self
    }

    /// Goes on until another time.
    pub(super) fn prolonged(self, ends: Instant) -> Self {
        Self { ends, ..self }
    }

    /// Judges by how the workspaces are now.
    pub(super) fn verdict(&self, reports: &[(String, Report)]) -> Verdict {
        let (mut reasons, mut unknown) = (Vec::new(), false);
        for (name, report) in reports {
            let now = report.tables();
            for (table, places) in &self.tables {
                if let Some(count) = now.get(table).filter(|_| places.is_empty() || places.contains(name))
                    && self.is_refused(name, table, count)
                {
                    reasons.push(format!("workspace {name}, table {table}: {}", count.reason));
                }
            }
            let Some(trouble) = report.current_trouble() else { continue };
            match (self.is_silent(name, &now), trouble.cause) {
                (true, Cause::Service) => {
                    reasons.push(format!("workspace {name} takes nothing any more: {}", trouble.detail))
                }
                (true, Cause::Way) => unknown = true,
                (false, _) => {}
            }
        }
        match (reasons.is_empty(), unknown) {
            (false, _) => Verdict::Bad(reasons),
            (true, true) => Verdict::Unknown,
            (true, false) => Verdict::Good,
        }
    }

    /// Nothing of the table was taken since, and it was refused; a table that was so before is not the rule's fault.
    fn is_refused(&self, workspace: &str, table: &Table, now: &TableCount) -> bool {
        let before = self.before.get(workspace).and_then(|before| before.tables.get(table));
        let before = before.cloned().unwrap_or_default();
        let was_refused = before.refused > 0 && before.delivered == 0;
        now.refused > before.refused && now.delivered == before.delivered && !was_refused
    }

    /// The workspace was well before, and has taken nothing since.
    fn is_silent(&self, workspace: &str, now: &BTreeMap<Table, TableCount>) -> bool {
        let Some(before) = self.before.get(workspace) else { return false };
        let sum =
            |tables: &BTreeMap<Table, TableCount>| tables.values().map(|count| count.delivered).sum::<u64>();
        before.well && sum(now) == sum(&before.tables)
    }
}

fn table_of(kind: &SourceKind) -> Table {
    match kind {
        SourceKind::Syslog(_) => Table::Syslog,
        SourceKind::Performance(_) => Table::Perf,
        SourceKind::Files(files) | SourceKind::Iis(files) => files.table.clone(),
        SourceKind::Evtx(_) | SourceKind::WindowsEvents(_) => Table::Event,
        SourceKind::Heartbeat(_) => Table::Heartbeat,
    }
}

#[cfg(test)]
mod tests;
