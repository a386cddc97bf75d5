//! What a running process uses, and what it may: memory, processor time, open files. Linux only.

use std::process::Command;
use std::time::Duration;

/// Clock ticks a second in `/proc/PID/stat`; the same on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// Returns the bytes of memory that a process has resident.
pub fn resident_memory(pid: u32) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line VmRSS");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kibibytes * 1024
}

/// Returns the processor time that a process has used, in user and system mode.
pub fn processor_time(pid: u32) -> Duration {
    let stat = read(pid, "stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number of ticks"))
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Returns how many ends of pipes a process holds.
pub fn pipes(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process");
    let targets = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

/// Returns how many files of any kind a process has open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process").count()
}

/// Lets this process, and those it starts from now on, open so many files, or says `skipped: …`.
pub fn may_open(files: u64) -> bool {
    let own = std::process::id();
    if open_files(own) >= files {
        return true;
    }
    let (pid, wanted) = (own.to_string(), format!("--nofile={files}:"));
    let raised = Command::new("prlimit").args(["--pid", &pid, &wanted]).status();
    if raised.is_ok_and(|status| status.success()) && open_files(own) >= files {
        return true;
    }
    println!("skipped: {files} open files are not allowed here");
    false
}

fn open_files(pid: u32) -> u64 {
    let limits = read(pid, "limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line of files");
    let soft = line.split_whitespace().next().expect("a soft limit");
    soft.parse().unwrap_or(u64::MAX)
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a running process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time_and_may_open_files() {
        let own = std::process::id();
        assert!(resident_memory(own) > 100 * 1024);
        let before = processor_time(own);
        while processor_time(own) == before {
            std::hint::black_box(vec![0; 4096]);
        }
        assert!(may_open(16));
    }
}
