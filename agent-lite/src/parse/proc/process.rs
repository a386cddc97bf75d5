//! `/proc/[pid]/stat` and `/proc/[pid]/statm` (proc_pid_stat(5)).

use super::words::number;
use super::words::words;

/// `PF_KTHREAD` of `linux/sched.h`: a thread of the kernel, not a program.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its name: up to 15 bytes of any kind, parentheses and blanks, too.
    pub name: &'a [u8],
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
    /// Ticks in user mode.
    pub user: u64,
    /// Ticks in the kernel.
    pub system: u64,
    /// Ticks from boot to its start.
    pub started: u64,
    /// Pages in memory.
    pub resident: u64,
}

impl<'a> Process<'a> {
    /// Reads `/proc/[pid]/stat`.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let opens = text.iter().position(|byte| *byte == b'(')?;
        let closes = text.iter().rposition(|byte| *byte == b')')?;
        let name = text.get(opens + 1..closes)?;
        // Field 3, the state, is the first behind the name.
        let mut words = words(text.get(closes + 1..)?);
        let flags = number(words.nth(9 - 3)?)?;
        let user = number(words.nth(14 - 9 - 1)?)?;
        let system = number(words.next()?)?;
        let started = number(words.nth(22 - 15 - 1)?)?;
        let resident = number(words.nth(24 - 22 - 1)?)?;
        Some(Self { name, kernel: flags & KERNEL_THREAD != 0, user, system, started, resident })
    }
}

/// Reads the pages shared with others from `/proc/[pid]/statm`.
pub fn shared(text: &[u8]) -> Option<u64> {
    number(words(text).nth(2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let rest = "S 0 0 0 0 -1 4194560 104378 326599085 0 205378 628 4508 1000535 177914 20 0 13 0 24 51019776 4592 18446744073709551615 1 1 0";
        for name in ["process_api", "a b) S 1 (c", ")", "", "((sd-pam))"] {
            let text = format!("1 ({name}) {rest}\n");
            let expected = Process {
                name: name.as_bytes(),
                kernel: false,
                user: 628,
                system: 4508,
                started: 24,
                resident: 4592,
            };
            assert_eq!(Process::read(text.as_bytes()), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_thread_of_the_kernel_is_known_by_its_flag() {
        let text = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 3 0 0 20 0 1 0 0 0 0 18446744073709551615";
        assert!(Process::read(text.as_bytes()).unwrap().kernel);
    }

    #[test]
    fn a_text_that_is_torn_is_no_process() {
        for text in ["", "1 (a", "1 a) S", "1 )a( S 0 0", "1 (a) S 0 0 0 0 -1 4194560 1 2 3 4 5"] {
            assert_eq!(Process::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(shared(b"12455 4592 1021 3 0 4 0\n"), Some(1021));
        assert_eq!(shared(b"12455 4592"), None);
    }
}
