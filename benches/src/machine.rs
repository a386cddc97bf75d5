//! The machine a figure was measured on.

use std::fs;
use std::thread;

/// Returns one line about this machine: cores, processor, kernel, memory.
pub fn describe() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kibibytes: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    format!(
        "{cores} cores of {processor}, Linux {}, {:.1} GiB of memory",
        kernel.trim(),
        kibibytes as f64 / (1024.0 * 1024.0)
    )
}

/// Returns the load of the last minute: how much else this machine has to do.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// How much time the machine's processors had, and how much of it the host gave to others (proc_stat(5), `steal`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Returns what has passed since the machine's start.
    pub fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn read(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        // User, nice, system, idle, waiting, interrupts, soft ones, stolen; the guests' are among the first.
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse().ok()).collect();
        Self { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or_default() }
    }

    /// Returns the part of the time since then that the host gave to others, from 0 to 1.
    pub fn stolen_since(self, before: Self) -> f64 {
        let (all, stolen) = (self.all.saturating_sub(before.all), self.stolen.saturating_sub(before.stolen));
        stolen as f64 / all.max(1) as f64
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = |line: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned());
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_away_is_the_eighth_number_and_counts_as_time() {
        let before = Ticks::read("cpu  10 0 10 70 5 0 5 0 0 0\ncpu0 1 2 3 4 5 6 7 8\n");
        let after = Ticks::read("cpu  20 0 20 120 5 0 5 30 9 9\n");
        assert!((after.stolen_since(before) - 0.3).abs() < 1e-9);
        assert!(Ticks::default().stolen_since(after).abs() < 1e-9);
    }
}
