//! `/proc/meminfo` and `/proc/vmstat`: memory and swap in KiB, paging since boot.

use super::reading::Reading;
use super::words::named;

/// Memory now, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All there is.
    pub total: u64,
    /// What programs could have without swapping.
    pub available: u64,
    /// All swap.
    pub swap_total: u64,
    /// Swap that is free.
    pub swap_free: u64,
}

/// Paging since boot, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// From disks.
    pub read: u64,
    /// To disks.
    pub written: u64,
}

impl Memory {
    /// Reads `/proc/meminfo`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let names = ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree"];
        let [total, free, available, buffers, cached, swap_total, swap_free] = named(text, names);
        let total = total?;
        // Before Linux 3.14 there is no estimate: free and what can be thrown away.
        let available = match available {
            Some(available) => available,
            None => free?.saturating_add(buffers?).saturating_add(cached?),
        };
        let swap_total = swap_total.unwrap_or_default();
        let swap_free = swap_free.unwrap_or_default().min(swap_total);
        Some(Self { total, available: available.min(total), swap_total, swap_free })
    }

    /// Returns the counters; `paging` is by the second, in KiB read and written.
    pub fn readings(&self, paging: [Reading; 2]) -> [Reading; 11] {
        let (used, swap_used) = (self.total - self.available, self.swap_total - self.swap_free);
        let [read, written] = paging;
        let both = match (read, written) {
            (Reading::Value(read), Reading::Value(written)) => Reading::Value(read + written),
            (Reading::Absent, _) | (_, Reading::Absent) => Reading::Absent,
            _ => Reading::Lost,
        };
        [
            megabytes(self.available),
            Reading::percent(self.available, self.total),
            megabytes(used),
            Reading::percent(used, self.total),
            both,
            read,
            written,
            megabytes(self.swap_free),
            Reading::percent(self.swap_free, self.swap_total),
            megabytes(swap_used),
            Reading::percent(swap_used, self.swap_total),
        ]
    }
}

impl Paging {
    /// Reads `/proc/vmstat`.
    pub fn read(text: &[u8]) -> Option<Self> {
        let [read, written] = named(text, ["pgpgin", "pgpgout"]);
        Some(Self { read: read?, written: written? })
    }

    /// Returns KiB read and written a second.
    pub fn rates(&self, before: Option<&Self>, seconds: f64) -> [Reading; 2] {
        let Some(before) = before else { return [Reading::Absent; 2] };
        [Reading::rate(before.read, self.read, seconds), Reading::rate(before.written, self.written, seconds)]
    }
}

fn megabytes(kibibytes: u64) -> Reading {
    Reading::Value(kibibytes as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::proc::catalogue::Object;

    /// Linux 6.18.
    const NEW: &str = "MemTotal:       24684092 kB\nMemFree:        22978696 kB\n\
        MemAvailable:   23712648 kB\nBuffers:           11088 kB\nCached:           677720 kB\n\
        SwapCached:            0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n\
        HugePages_Total:       0\nDirectMap4k:       26624 kB\n";
    /// Linux 2.6.32 with swap.
    const OLD: &str = "MemTotal:        1020096 kB\nMemFree:          100000 kB\nBuffers:           20096 kB\n\
        Cached:           390000 kB\nSwapTotal:       2097152 kB\nSwapFree:        1572864 kB\n";

    #[test]
    fn available_memory_is_the_kernels_estimate_and_a_sum_before_there_was_one() {
        let new = Memory::read(NEW.as_bytes()).unwrap();
        assert_eq!((new.total, new.available, new.swap_total), (24_684_092, 23_712_648, 0));
        let old = Memory::read(OLD.as_bytes()).unwrap();
        assert_eq!(old.available, 510_096);
        assert_eq!((old.swap_total, old.swap_free), (2_097_152, 1_572_864));
        assert_eq!(Memory::read(b"MemTotal: 5 kB\n"), None);
        assert_eq!(Memory::read(b"MemTotal: five kB\nMemAvailable: 3 kB\n"), None);
    }

    #[test]
    fn used_and_available_are_the_whole_and_percents_follow() {
        let memory = Memory { total: 4096, available: 1024, swap_total: 2048, swap_free: 1536 };
        let found = memory.readings([Reading::Value(3.0), Reading::Value(4.0)]);
        let expected = [1.0, 25.0, 3.0, 75.0, 7.0, 3.0, 4.0, 1.5, 75.0, 0.5, 25.0].map(Reading::Value);
        assert_eq!(found, expected);
        assert_eq!(found.len(), Object::Memory.counters().len());
    }

    #[test]
    fn without_swap_there_is_no_share_of_it() {
        let memory = Memory { total: 4096, available: 1024, swap_total: 0, swap_free: 0 };
        let found = memory.readings([Reading::Absent; 2]);
        assert_eq!(found[7..], [Reading::Value(0.0), Reading::Absent, Reading::Value(0.0), Reading::Absent]);
        assert_eq!(found[4..7], [Reading::Absent; 3]);
    }

    #[test]
    fn paging_is_by_the_second_and_lost_after_a_reset() {
        let read = |text: &str| Paging::read(text.as_bytes()).unwrap();
        let before = read("nr_free_pages 1\npgpgin 1000\npgpgout 5000\npswpin 9\n");
        let after = read("nr_free_pages 1\npgpgin 1300\npgpgout 5000\npswpin 9\n");
        assert_eq!(after.rates(Some(&before), 30.0), [Reading::Value(10.0), Reading::Value(0.0)]);
        assert_eq!(before.rates(Some(&after), 30.0)[0], Reading::Lost);
        assert_eq!(after.rates(None, 30.0), [Reading::Absent; 2]);
        assert_eq!(Paging::read(b"pgpgin 1\n"), None);
    }
}
