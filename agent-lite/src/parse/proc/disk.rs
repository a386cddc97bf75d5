//! `/proc/diskstats`: what disks and partitions did since boot (Documentation/admin-guide/iostats.rst).

use super::reading::Reading;
use super::words::lines;
use super::words::number;
use super::words::words;

/// Bytes of a sector in all of the kernel's tables, whatever the disk's own are.
const SECTOR: f64 = 512.0;

/// Major and minor number of a device.
pub type Device = (u32, u32);

/// What a disk or partition did since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    reads: u64,
    sectors_read: u64,
    read_milliseconds: u64,
    writes: u64,
    sectors_written: u64,
    write_milliseconds: u64,
}

/// What a disk does in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Reads finished.
    pub reads: f64,
    /// Writes finished.
    pub writes: f64,
    /// Bytes read.
    pub read_bytes: f64,
    /// Bytes written.
    pub written_bytes: f64,
}

impl Work {
    /// Returns the work of both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            read_bytes: self.read_bytes + other.read_bytes,
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }
}

/// Returns every disk and partition: number, name, and what it did.
pub fn disks(text: &[u8]) -> impl Iterator<Item = (Device, &str, Done)> {
    lines(text).filter_map(|line| {
        let mut words = words(line);
        let mut part = || u32::try_from(number(words.next()?)?).ok();
        let device = (part()?, part()?);
        let name = str::from_utf8(words.next()?).ok()?;
        let mut next = || number(words.next()?);
        let (reads, _merged, sectors_read, read_milliseconds) = (next()?, next()?, next()?, next()?);
        let (writes, _merged, sectors_written, write_milliseconds) = (next()?, next()?, next()?, next()?);
        let done =
            Done { reads, sectors_read, read_milliseconds, writes, sectors_written, write_milliseconds };
        Some((device, name, done))
    })
}

impl Done {
    /// Returns what was done since, by the second.
    pub fn work(&self, before: Option<&Self>, seconds: f64) -> Reading<Work> {
        match (before, before.and_then(|before| self.since(before))) {
            (None, _) => Reading::Absent,
            (Some(_), Some(grown)) if seconds > 0.0 => Reading::Value(Work {
                reads: grown.reads as f64 / seconds,
                writes: grown.writes as f64 / seconds,
                read_bytes: grown.sectors_read as f64 * SECTOR / seconds,
                written_bytes: grown.sectors_written as f64 * SECTOR / seconds,
            }),
            _ => Reading::Lost,
        }
    }

    /// Returns the counters of a physical disk. The mean of no operation is 0, as the legacy agent has it.
    pub fn readings(&self, before: Option<&Self>, seconds: f64) -> [Reading; 4] {
        let bytes = self.work(before, seconds).map(|work| work.read_bytes + work.written_bytes);
        let Some(before) = before else { return [Reading::Absent; 4] };
        let Some(grown) = self.since(before) else { return [Reading::Lost; 4] };
        let mean = |milliseconds: u64, operations: u64| {
            let mean = milliseconds as f64 / operations.max(1) as f64 / 1000.0;
            Reading::Value(if operations == 0 { 0.0 } else { mean })
        };
        let both = (
            grown.read_milliseconds.saturating_add(grown.write_milliseconds),
            grown.reads.saturating_add(grown.writes),
        );
        [
            bytes,
            mean(both.0, both.1),
            mean(grown.read_milliseconds, grown.reads),
            mean(grown.write_milliseconds, grown.writes),
        ]
    }

    fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            reads: self.reads.checked_sub(before.reads)?,
            sectors_read: self.sectors_read.checked_sub(before.sectors_read)?,
            read_milliseconds: self.read_milliseconds.checked_sub(before.read_milliseconds)?,
            writes: self.writes.checked_sub(before.writes)?,
            sectors_written: self.sectors_written.checked_sub(before.sectors_written)?,
            write_milliseconds: self.write_milliseconds.checked_sub(before.write_milliseconds)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::proc::catalogue::Object;

    /// Linux 6.18 (20 fields), 4.9 (14), and a partition of 2.6.20 (7).
    const TEXT: &str = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
        254       0 vda 4085022 148581 278762978 7851886 182895 356492 208874744 1157004 0 355576 9065022 224955 135 151491752 55961 2389 168\n   \
        8       1 sda1 400 3 4096 80 100 7 2048 60 0 100 140\n   \
        8       2 sda2 1 2 3 4\n";

    #[test]
    fn disks_are_read_from_kernels_with_14_fields_and_with_20() {
        let found: Vec<_> = disks(TEXT.as_bytes()).collect();
        assert_eq!(
            found.iter().map(|(device, name, _)| (*device, *name)).collect::<Vec<_>>(),
            [((7, 0), "loop0"), ((254, 0), "vda"), ((8, 1), "sda1")]
        );
        let sda1 = Done {
            reads: 400,
            sectors_read: 4096,
            read_milliseconds: 80,
            writes: 100,
            sectors_written: 2048,
            write_milliseconds: 60,
        };
        assert_eq!(found[2].2, sda1);
        assert_eq!((found[1].2.sectors_read, found[1].2.write_milliseconds), (278_762_978, 1_157_004));
    }

    #[test]
    fn bytes_are_by_the_second_and_times_by_the_operation() {
        let before = Done::default();
        let after = Done {
            reads: 40,
            sectors_read: 600,
            read_milliseconds: 80,
            writes: 10,
            sectors_written: 60,
            write_milliseconds: 120,
        };
        let found = after.readings(Some(&before), 10.0);
        assert_eq!(found, [33792.0, 0.004, 0.002, 0.012].map(Reading::Value));
        assert_eq!(found.len(), Object::PhysicalDisk.counters().len());
        let work = Work { reads: 4.0, writes: 1.0, read_bytes: 30720.0, written_bytes: 3072.0 };
        assert_eq!(after.work(Some(&before), 10.0), Reading::Value(work));
        assert_eq!(after.readings(Some(&after), 10.0), [0.0; 4].map(Reading::Value), "an idle disk");
    }

    #[test]
    fn a_new_disk_is_absent_and_one_whose_milliseconds_wrapped_is_lost() {
        let after = Done { reads: 1, read_milliseconds: 3, ..Done::default() };
        assert_eq!(after.readings(None, 10.0), [Reading::Absent; 4]);
        assert_eq!(after.work(None, 10.0), Reading::Absent);
        let before = Done { read_milliseconds: u64::from(u32::MAX), ..Done::default() };
        assert_eq!(after.readings(Some(&before), 10.0), [Reading::Lost; 4]);
        assert_eq!(after.work(Some(&before), 10.0), Reading::Lost);
    }
}
