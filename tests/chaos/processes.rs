//! What is known of a process from outside: whether it lives, what it holds, what it has not read.

use std::process::Command;
use std::process::Stdio;

use end_to_end::process;

/// What a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) descriptors: usize,
    pub(crate) pipes: usize,
    pub(crate) threads: usize,
    pub(crate) memory: u64,
}

impl Holding {
    /// Returns what a process holds; nothing if it is gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        if !alive(pid) {
            return None;
        }
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.count();
        let (descriptors, pipes) = (process::descriptors(pid), process::pipes(pid));
        Some(Self { descriptors, pipes, threads, memory: process::resident_memory(pid) })
    }
}

/// Returns whether a process runs; one that has ended and was not waited for does not.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Sends a signal to a process of this run.
pub(crate) fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -{name} \"$0\""), &pid.to_string()]).stderr(Stdio::null());
    // One that has ended needs none.
    let _ = kill.status();
}

/// Returns the bytes that wait in sockets of this port in a process's network.
pub(crate) fn unread(pid: u32, table: &str, port: u16) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let local = u16::from_str_radix(words.get(1)?.split_once(':')?.1, 16).ok()?;
        let waiting = u64::from_str_radix(words.get(4)?.split_once(':')?.1, 16).ok()?;
        // A socket that listens counts connections there.
        (local == port && words.get(3) != Some(&"0A")).then_some(waiting)
    };
    text.lines().skip(1).filter_map(of_line).sum()
}
