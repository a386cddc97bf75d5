//! The names in a queue's folder, and the head of a segment.
//!
//! ```text
//! <20 digits>-<Table>.open             segment that is written      segment = head *frame
//! <20 digits>-<Table>-<records>.seg    sealed segment               head    = "alspool" version:u8
//! <20 digits>.sent                     records of it that are delivered, in decimal
//! next-number  reserve  lock  damaged/  rejected/
//! ```

use crate::record::Table;

/// What a segment begins with: magic and version.
pub(super) const HEAD: [u8; 8] = *b"alspool\x01";
/// Bytes of [`HEAD`].
pub(super) const HEAD_BYTES: u64 = HEAD.len() as u64;
/// The file of the number that no segment has reached.
pub(super) const NEXT_NUMBER: &str = "next-number";
/// The file that is given up when the disk is full.
pub(super) const RESERVE: &str = "reserve";
/// The file that is locked while the queue is used.
pub(super) const LOCK: &str = "lock";
/// The end of a file that is not finished.
pub(super) const UNFINISHED: &str = crate::durable::UNFINISHED;
/// The largest number that is taken from a name, so that there are always more.
const LARGEST_NUMBER: u64 = u64::MAX / 2;
const DIGITS: usize = 20;

/// A name of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A segment that was being written.
    Open { number: u64, table: Table },
    /// A sealed segment.
    Sealed { number: u64, table: Table, records: u32 },
    /// How much of a segment is delivered.
    Sent { number: u64 },
    /// A file that was not finished.
    Leftover,
}

impl Name {
    /// Reads a name; `None` is somebody else's file.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some(whole) = text.strip_suffix(UNFINISHED) {
            let ours = matches!(whole, NEXT_NUMBER | RESERVE)
                || matches!(Self::read(whole), Some(Self::Sent { .. } | Self::Open { .. }));
            return ours.then_some(Self::Leftover);
        }
        let (number, rest) = text.split_at_checked(DIGITS)?;
        let number = digits(number)?.parse().ok().filter(|number| *number <= LARGEST_NUMBER)?;
        Some(if rest == ".sent" {
            Self::Sent { number }
        } else if let Some(rest) = rest.strip_suffix(".open") {
            Self::Open { number, table: rest.strip_prefix('-')?.parse().ok()? }
        } else {
            let (table, records) = rest.strip_suffix(".seg")?.strip_prefix('-')?.rsplit_once('-')?;
            let plain = records == "0" || !records.starts_with('0');
            let records = digits(records).filter(|_| plain)?.parse().ok()?;
            Self::Sealed { number, table: table.parse().ok()?, records }
        })
    }

    /// Returns the name as it stands in the folder.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Open { number, table } => open(*number, table),
            Self::Sealed { number, table, records } => sealed(*number, table, *records),
            Self::Sent { number } => sent(*number),
            Self::Leftover => UNFINISHED.to_owned(),
        }
    }
}

fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// Returns the name of an open segment.
pub(super) fn open(number: u64, table: &Table) -> String {
    format!("{number:020}-{table}.open")
}

/// Returns the name of a sealed segment.
pub(super) fn sealed(number: u64, table: &Table, records: u32) -> String {
    format!("{number:020}-{table}-{records}.seg")
}

/// Returns the name of a segment's progress.
pub(super) fn sent(number: u64) -> String {
    format!("{number:020}.sent")
}

/// Returns the name under which the rest of a damaged segment is kept.
pub(super) fn damaged(number: u64, table: &Table, offset: u64) -> String {
    format!("{number:020}-{table}-{offset}.damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_anything_else_is_somebody_elses() {
        let table: Table = "App_1_CL".parse().unwrap();
        for name in [
            Name::Open { number: 7, table: Table::Syslog },
            Name::Sealed { number: 7, table, records: 12 },
            Name::Sent { number: 7 },
        ] {
            assert_eq!(Name::read(&name.written()), Some(name));
        }
        for leftover in [
            "next-number.tmp",
            "reserve.tmp",
            "00000000000000000007.sent.tmp",
            "00000000000000000007-Perf.open.tmp",
        ] {
            assert_eq!(Name::read(leftover), Some(Name::Leftover));
        }
        for foreign in [
            "",
            "notes.tmp",
            "next-number",
            "7-Syslog.open",
            "00000000000000000007-Syslog.seg",
            "00000000000000000007-Syslog-007.seg",
            "00000000000000000007-Syslog-+7.seg",
            "00000000000000000007-syslog.open",
            "00000000000000000007Syslog.open",
            "+0000000000000000007-Syslog.open",
            "18446744073709551615-Syslog.open",
            "ßßßßßßßßßß-Syslog.open",
        ] {
            assert_eq!(Name::read(foreign), None, "{foreign}");
        }
    }
}
