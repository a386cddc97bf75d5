//! What a process uses: processor time to the nanosecond, and memory as the kernel counts it.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::time::clock_gettime;
use nix::unistd::Pid;
use serde_json::Value;
use serde_json::json;

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most that was resident since [`forget_peak`].
    pub peak: u64,
    /// Resident, with pages that other processes share counted by their share.
    pub proportional: u64,
    /// Resident and its own: heap and stacks.
    pub anonymous: u64,
}

/// Processor time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Processor {
    /// User and system, of all threads, also of those that have ended.
    pub total: Duration,
    /// The part in the kernel, to 10 ms.
    pub system: Duration,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let status = read(pid, "status");
        let rollup = read(pid, "smaps_rollup");
        Self {
            resident: kibibytes(&status, "VmRSS:"),
            peak: kibibytes(&status, "VmHWM:"),
            proportional: kibibytes(&rollup, "Pss:"),
            anonymous: kibibytes(&status, "RssAnon:"),
        }
    }

    pub(crate) fn json(self) -> Value {
        json!({
            "resident": self.resident, "peak": self.peak,
            "proportional": self.proportional, "anonymous": self.anonymous,
        })
    }
}

impl Processor {
    /// The process's own clock: it counts what `schedstat` counts, and does not forget ended threads.
    pub(crate) fn of(pid: u32) -> Self {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).expect("a running process");
        let total = Duration::from(clock_gettime(clock).expect("a running process"));
        let stat = read(pid, "stat");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks = fields.split(' ').nth(12).and_then(|text| text.parse::<u64>().ok()).expect("stime");
        Self { total, system: Duration::from_millis(ticks * 1000 / TICKS) }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Returns microseconds for each of so many records.
    pub(crate) fn micros_per(self, records: u64) -> f64 {
        self.total.as_secs_f64() * 1e6 / records.max(1) as f64
    }

    pub(crate) fn json(self) -> Value {
        json!({ "total_ns": self.total.as_nanos() as u64, "system_ms": self.system.as_millis() as u64 })
    }
}

/// Lets the peak of a process's memory begin anew.
pub(crate) fn forget_peak(pid: u32) {
    // Where it may not be forgotten the peak since the start is told, which is the harder figure.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Returns bytes as mebibytes.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a running process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = std::process::id();
        let before = Processor::of(own);
        while Processor::of(own).since(before).total.is_zero() {
            std::hint::black_box(vec![0; 4096]);
        }
        let memory = Memory::of(own);
        assert!(memory.peak >= memory.resident && memory.anonymous > 0 && memory.proportional > 0);
    }
}
