//! One record as one row: which names, which values, for each transport and table.

use super::Agent;
use super::Form;
use super::squeeze::Encoding;
use super::write::shorten;
use crate::record::Column;
use crate::record::LARGEST_FIELD;
use crate::record::Record;
use crate::record::Table;

mod columns;
mod field;
mod legacy;
mod syslog;
#[cfg(test)]
pub(super) mod tests;

use self::columns::Names;

/// Most bytes of one text that the HTTP Data Collector API keeps: 32 KB.
const LARGEST_COLLECTOR_FIELD: usize = 32 * 1024;

/// How the rows of one table look in one form, and what stands around them.
pub(super) struct Shape<'a> {
    agent: &'a Agent,
    layout: Layout,
    /// What is the same at the beginning of every row.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Blob,
    Legacy(Legacy),
    Columns(Names, Kind),
}

/// The legacy agent's types of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Legacy {
    Syslog,
    Perf,
    Heartbeat,
    Operation,
}

/// The tables, as far as their rows differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syslog,
    Perf,
    Event,
    Heartbeat,
    Operation,
    W3cIisLog,
    Custom,
}

/// What a row became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Whole,
    Cut,
    /// The record has not what a row needs.
    Nothing,
}

impl From<bool> for Row {
    fn from(cut: bool) -> Self {
        if cut { Self::Cut } else { Self::Whole }
    }
}

impl<'a> Shape<'a> {
    /// Works out what all rows of a table have in common.
    pub(super) fn new(form: &Form, agent: &'a Agent, table: &Table) -> Self {
        let layout = match (form, table) {
            (Form::LogAnalyticsAgent { .. }, Table::Custom(_)) => Layout::Blob,
            (Form::LogAnalyticsAgent { .. }, Table::Syslog) => Layout::Legacy(Legacy::Syslog),
            (Form::LogAnalyticsAgent { .. }, Table::Perf) => Layout::Legacy(Legacy::Perf),
            (Form::LogAnalyticsAgent { .. }, Table::Heartbeat) => Layout::Legacy(Legacy::Heartbeat),
            (Form::LogAnalyticsAgent { .. }, Table::Operation) => Layout::Legacy(Legacy::Operation),
            (Form::LogAnalyticsAgent { .. }, Table::Event | Table::W3cIisLog) => {
                Layout::Columns(Names::CustomJson, kind(table))
            }
            (Form::DataCollector, table) => Layout::Columns(Names::DataCollector, kind(table)),
            (Form::LogsIngestion, table) => Layout::Columns(Names::LogsIngestion, kind(table)),
        };
        let mut head = Vec::new();
        match layout {
            Layout::Blob => {}
            Layout::Legacy(legacy) => legacy::write_head(legacy, agent, &mut head),
            Layout::Columns(_, kind) => columns::write_head(kind, agent, &mut head),
        }
        Self { agent, layout, head }
    }

    /// Returns how the body is compressed.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        match self.layout {
            Layout::Blob | Layout::Columns(Names::DataCollector, _) => None,
            Layout::Legacy(_) | Layout::Columns(Names::CustomJson, _) => Some(Encoding::Deflate),
            Layout::Columns(Names::LogsIngestion, _) => Some(Encoding::Gzip),
        }
    }

    /// Returns whether rows are lines of text of one file.
    pub(super) fn is_blob(&self) -> bool {
        self.layout == Layout::Blob
    }

    /// Returns most bytes of a text of a row.
    pub(super) fn largest_field(&self) -> usize {
        match self.layout {
            Layout::Columns(Names::DataCollector | Names::CustomJson, _) => LARGEST_COLLECTOR_FIELD,
            Layout::Blob | Layout::Legacy(_) | Layout::Columns(Names::LogsIngestion, _) => LARGEST_FIELD,
        }
    }

    /// Returns what stands before the rows.
    pub(super) fn opening(&self) -> &'static [u8] {
        match self.layout {
            Layout::Blob => b"",
            Layout::Legacy(legacy) => legacy::envelope(legacy),
            Layout::Columns(..) => b"[",
        }
    }

    /// Returns what stands between two rows.
    pub(super) fn separator(&self) -> &'static [u8] {
        match self.layout {
            Layout::Blob => b"",
            Layout::Legacy(_) | Layout::Columns(..) => b",",
        }
    }

    /// Returns what stands after the rows.
    pub(super) fn closing(&self) -> &'static [u8] {
        match self.layout {
            Layout::Blob => b"",
            Layout::Legacy(_) => b"]}",
            Layout::Columns(..) => b"]",
        }
    }

    /// Writes a record as a row with at most so many bytes of each text.
    pub(super) fn write(&self, record: &Record<'_>, sequence: i64, most: usize, out: &mut Vec<u8>) -> Row {
        out.extend_from_slice(&self.head);
        match self.layout {
            Layout::Blob => write_line(record, most, out),
            Layout::Legacy(legacy) => legacy::write(legacy, self.agent, record, most, out),
            Layout::Columns(names, kind) => {
                columns::write(names, kind, self.agent, record, sequence, most, out)
            }
        }
    }
}

fn kind(table: &Table) -> Kind {
    match table {
        Table::Syslog => Kind::Syslog,
        Table::Perf => Kind::Perf,
        Table::Event => Kind::Event,
        Table::Heartbeat => Kind::Heartbeat,
        Table::Operation => Kind::Operation,
        Table::W3cIisLog => Kind::W3cIisLog,
        Table::Custom(_) => Kind::Custom,
    }
}

/// Writes a line of a custom log as the legacy agent puts it into a blob: ended by CR LF.
fn write_line(record: &Record<'_>, most: usize, out: &mut Vec<u8>) -> Row {
    let Some(text) = record.text(Column::RawData) else { return Row::Nothing };
    let cut = text.len() > most;
    let (kept, mark) = if cut { shorten(text, most) } else { (text, "") };
    out.extend_from_slice(kept.as_bytes());
    out.extend_from_slice(mark.as_bytes());
    out.extend_from_slice(b"\r\n");
    cut.into()
}
