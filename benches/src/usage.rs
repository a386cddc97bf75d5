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
pub struct Memory {
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
pub struct Processor {
    /// User and system, of all threads, also of those that have ended.
    pub total: Duration,
    /// The part in the kernel, to 10 ms.
    pub system: Duration,
}

impl Memory {
    /// Reads it of a running process.
    pub fn of(pid: u32) -> Self {
        Self::find(pid).expect("a running process")
    }

    /// Reads it of a process that may have ended.
    pub fn find(pid: u32) -> Option<Self> {
        let (status, rollup) = (read(pid, "status")?, read(pid, "smaps_rollup")?);
        Some(Self {
            resident: kibibytes(&status, "VmRSS:"),
            peak: kibibytes(&status, "VmHWM:"),
            proportional: kibibytes(&rollup, "Pss:"),
            anonymous: kibibytes(&status, "RssAnon:"),
        })
    }

    /// Returns it for a file of raw numbers.
    pub fn json(self) -> Value {
        json!({
            "resident": self.resident, "peak": self.peak,
            "proportional": self.proportional, "anonymous": self.anonymous,
        })
    }
}

impl Processor {
    /// Reads it of a running process.
    pub fn of(pid: u32) -> Self {
        Self::find(pid).expect("a running process")
    }

    /// Reads it of a process that may have ended, by the process's own clock: that counts what `schedstat` counts, and
    /// does not forget ended threads.
    pub fn find(pid: u32) -> Option<Self> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed())).ok()?;
        let total = Duration::from(clock_gettime(clock).ok()?);
        let stat = read(pid, "stat")?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks = fields.split(' ').nth(12)?.parse::<u64>().ok()?;
        Some(Self { total, system: Duration::from_millis(ticks * 1000 / TICKS) })
    }

    /// Returns what was used since.
    pub fn since(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Returns microseconds for each of so many records.
    pub fn micros_per(self, records: u64) -> f64 {
        self.total.as_secs_f64() * 1e6 / records.max(1) as f64
    }

    /// Returns it for a file of raw numbers.
    pub fn json(self) -> Value {
        json!({ "total_ns": self.total.as_nanos() as u64, "system_ms": self.system.as_millis() as u64 })
    }
}

/// Lets the peak of a process's memory begin anew.
pub fn forget_peak(pid: u32) {
    // Where it may not be forgotten the peak since the start is told, which is the harder figure.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Returns bytes as mebibytes.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn kibibytes(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
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
