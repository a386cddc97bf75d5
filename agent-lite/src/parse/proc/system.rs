//! The machine as a whole: `/proc/uptime`, and who is logged in by `utmp`.

use super::memory::Memory;
use super::reading::Reading;
use super::words::words;

/// Bytes of an entry of `utmp`: two fields are wider where no 32-bit program is to be served (glibc, bits/utmp.h).
pub const UTMP_ENTRY: usize =
    if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) { 400 } else { 384 };
/// `ut_type` of a session of a person (utmp(5)).
const USER_PROCESS: u16 = 7;

/// Reads the seconds since boot from `/proc/uptime`.
pub fn uptime(text: &[u8]) -> Option<f64> {
    str::from_utf8(words(text).next()?).ok()?.parse().ok().filter(|seconds: &f64| *seconds >= 0.0)
}

/// Counts the sessions in `utmp`, as `who` does.
pub fn sessions(utmp: &[u8]) -> u64 {
    let is_session = |entry: &&[u8]| {
        let kind = entry.first_chunk().copied().map(u16::from_ne_bytes);
        // The name of the user is at 44 (utmp(5)).
        kind == Some(USER_PROCESS) && entry.get(44).is_some_and(|first| *first != 0)
    };
    utmp.chunks_exact(UTMP_ENTRY).filter(is_session).count() as u64
}

/// Returns the counters. Sizes are in KiB.
pub fn readings(
    processes: Option<u64>,
    users: u64,
    uptime: Option<f64>,
    memory: Option<Memory>,
) -> [Reading; 7] {
    let or_lost = |value: Option<f64>| value.map_or(Reading::Lost, Reading::Value);
    let of_memory = |kibibytes: fn(Memory) -> u64| or_lost(memory.map(|memory| kibibytes(memory) as f64));
    [
        or_lost(processes.map(|count| count as f64)),
        Reading::Value(users as f64),
        or_lost(uptime),
        of_memory(|memory| memory.available.saturating_add(memory.swap_free)),
        of_memory(|memory| memory.available),
        of_memory(|memory| memory.swap_total),
        of_memory(|memory| memory.swap_free),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::proc::catalogue::Object;

    #[test]
    fn seconds_since_boot_are_read() {
        assert_eq!(uptime(b"12346.89 12297.63\n"), Some(12346.89));
        for wrong in ["", "x", "-1 2", "NaN 1"] {
            assert_eq!(uptime(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn only_sessions_of_people_are_users() {
        let entry = |kind: u16, user: &[u8]| {
            let mut entry = vec![0; UTMP_ENTRY];
            entry[..2].copy_from_slice(&kind.to_ne_bytes());
            entry[44..44 + user.len()].copy_from_slice(user);
            entry
        };
        let utmp = [entry(2, b"reboot"), entry(7, b"ada"), entry(7, b"ada"), entry(8, b"ada"), entry(7, b"")];
        assert_eq!(sessions(&utmp.concat()), 2);
        assert_eq!(sessions(&utmp.concat()[..UTMP_ENTRY * 2 - 1]), 0, "a torn entry");
    }

    #[test]
    fn virtual_memory_is_memory_and_swap() {
        let memory = Memory { total: 100, available: 60, swap_total: 50, swap_free: 20 };
        let found = readings(Some(9), 2, Some(7.5), Some(memory));
        assert_eq!(found, [9.0, 2.0, 7.5, 80.0, 60.0, 50.0, 20.0].map(Reading::Value));
        assert_eq!(found.len(), Object::System.counters().len());
        assert_eq!(readings(None, 0, None, None)[3], Reading::Lost);
    }
}
