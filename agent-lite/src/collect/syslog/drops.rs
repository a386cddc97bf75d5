//! What the kernel dropped because a socket's buffer was full: exact, and nearly free.
//!
//! A datagram tells how many were dropped before it came (`SO_RXQ_OVFL`, socket(7)). Drops behind the last one
//! are read from `/proc/net/udp`, only when a busy time is over and when the source stops.

use std::fs;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::os::fd::AsRawFd;

/// The drops of one socket that are counted already.
#[derive(Debug, Default)]
pub(super) struct Drops(u32);

impl Drops {
    /// Takes the kernel's running total and returns how many are new; an older total has none.
    pub(super) fn news(&mut self, total: u32) -> u64 {
        let new = total.wrapping_sub(self.0);
        if new > u32::MAX / 2 {
            return 0;
        }
        self.0 = total;
        new.into()
    }
}

/// Returns the kernel's total for a UDP socket, now.
pub(super) fn total(socket: &impl AsRawFd) -> Option<u32> {
    let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    ["/proc/self/net/udp", "/proc/self/net/udp6"].iter().find_map(|path| total_in(path, inode))
}

fn total_in(path: &str, inode: &str) -> Option<u32> {
    let mut lines = BufReader::new(File::open(path).ok()?);
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 {
        // sl local remote st tx:rx tr:when retrnsmt uid timeout inode ref pointer drops
        let mut words = line.split_ascii_whitespace();
        if words.nth(9) == Some(inode) {
            return words.nth(2)?.parse().ok();
        }
        line.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_wrap_and_never_count_twice() {
        let mut drops = Drops(u32::MAX - 1);
        assert_eq!([2, 2, 0, 7].map(|total| drops.news(total)), [4, 0, 0, 5]);
    }
}
