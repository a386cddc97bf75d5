//! `/proc/stat`: what the processors did, in ticks since boot (proc_stat(5)).

use super::reading::Reading;
use super::words::lines;
use super::words::number;
use super::words::words;

/// What the sum of all processors is called.
pub const TOTAL: &str = "_Total";

/// The ticks of one processor, or of all. Guests' ticks are within `user` and `nice` already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// In user mode.
    pub user: u64,
    /// In user mode with low priority.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Doing nothing.
    pub idle: u64,
    /// Doing nothing while a disk works.
    pub io_wait: u64,
    /// In interrupts.
    pub interrupt: u64,
    /// In soft interrupts.
    pub soft_interrupt: u64,
    /// Taken by the hypervisor.
    pub steal: u64,
}

/// Returns each processor by its number, and all together as [`TOTAL`].
pub fn processors(text: &[u8]) -> impl Iterator<Item = (&str, Ticks)> {
    lines(text).map_while(|line| line.strip_prefix(b"cpu")).filter_map(|line| {
        let name = if line.starts_with(b" ") { TOTAL.as_bytes() } else { words(line).next()? };
        let mut numbers = words(line).skip(usize::from(!line.starts_with(b" "))).map(number);
        // Linux 2.4 has the first four, 2.6.11 added the eighth.
        let mut must = || numbers.next()?;
        let (user, nice, system, idle) = (must()?, must()?, must()?, must()?);
        let mut may = || numbers.next().flatten().unwrap_or_default();
        let (io_wait, interrupt, soft_interrupt, steal) = (may(), may(), may(), may());
        let ticks = Ticks { user, nice, system, idle, io_wait, interrupt, soft_interrupt, steal };
        Some((str::from_utf8(name).ok()?, ticks))
    })
}

/// Returns the counters of one processor.
pub fn readings(before: Option<&Ticks>, after: &Ticks) -> [Reading; 8] {
    let Some(before) = before else { return [Reading::Absent; 8] };
    let Some(grown) = after.since(before) else { return [Reading::Lost; 8] };
    let all = grown.all();
    let share = |ticks: u64| Reading::percent(ticks, all);
    [
        share(all.saturating_sub(grown.idle)),
        share(grown.idle),
        share(grown.user),
        share(grown.nice),
        share(grown.system),
        share(grown.io_wait),
        share(grown.interrupt),
        share(grown.soft_interrupt),
    ]
}

impl Ticks {
    fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            user: self.user.checked_sub(before.user)?,
            nice: self.nice.checked_sub(before.nice)?,
            system: self.system.checked_sub(before.system)?,
            // Both are estimates of tickless kernels and may go back a little (proc_stat(5), iowait).
            idle: self.idle.saturating_sub(before.idle),
            io_wait: self.io_wait.saturating_sub(before.io_wait),
            interrupt: self.interrupt.checked_sub(before.interrupt)?,
            soft_interrupt: self.soft_interrupt.checked_sub(before.soft_interrupt)?,
            steal: self.steal.checked_sub(before.steal)?,
        })
    }

    fn all(&self) -> u64 {
        let parts = [
            self.user,
            self.nice,
            self.system,
            self.idle,
            self.io_wait,
            self.interrupt,
            self.soft_interrupt,
            self.steal,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::proc::catalogue::Object;

    /// Linux 6.18, two processors.
    const NEW: &str = "cpu  926470 89222 193707 1229763 12910 0 6192 850 0 0\n\
        cpu0 438575 40584 91060 652445 3683 0 2365 428 0 0\n\
        cpu1 487895 48637 102646 577318 9226 0 3827 421 0 0\n\
        intr 73741398 0 2 cpu9 1\nctxt 91239\nbtime 1795370000\n";
    /// Linux 2.4 had four fields.
    const OLD: &str = "cpu  10 20 30 40\ncpu0 10 20 30 40\npage 1 2\n";

    #[test]
    fn every_processor_is_found_by_its_number_on_kernels_old_and_new() {
        let found: Vec<_> = processors(NEW.as_bytes()).collect();
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [TOTAL, "0", "1"]);
        let first = Ticks {
            user: 438_575,
            nice: 40_584,
            system: 91_060,
            idle: 652_445,
            io_wait: 3683,
            interrupt: 0,
            soft_interrupt: 2365,
            steal: 428,
        };
        assert_eq!(found[1].1, first);
        let old: Vec<_> = processors(OLD.as_bytes()).collect();
        assert_eq!(old[0], (TOTAL, Ticks { user: 10, nice: 20, system: 30, idle: 40, ..Ticks::default() }));
        assert_eq!(old.len(), 2);
    }

    #[test]
    fn a_line_that_is_torn_is_left_out() {
        let found: Vec<_> = processors(b"cpu  1 2 3\ncpu0 1 x 3 4\ncpu1 1 2 3 4").collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "1");
    }

    #[test]
    fn the_shares_are_of_all_ticks_and_processor_time_is_all_that_is_not_idle() {
        let before = Ticks { user: 100, idle: 1000, ..Ticks::default() };
        let after = Ticks {
            user: 110,
            nice: 5,
            system: 20,
            idle: 1050,
            io_wait: 5,
            interrupt: 3,
            soft_interrupt: 2,
            steal: 5,
        };
        let found = readings(Some(&before), &after).map(|reading| match reading {
            Reading::Value(value) => value,
            _ => f64::NAN,
        });
        assert_eq!(found, [50.0, 50.0, 10.0, 5.0, 20.0, 5.0, 3.0, 2.0]);
        assert_eq!(found.len(), Object::Processor.counters().len());
    }

    #[test]
    fn a_processor_that_is_new_is_absent_and_one_that_was_reset_is_lost() {
        let after = Ticks { user: 10, idle: 10, ..Ticks::default() };
        assert_eq!(readings(None, &after), [Reading::Absent; 8]);
        let before = Ticks { user: 11, ..Ticks::default() };
        assert_eq!(readings(Some(&before), &after), [Reading::Lost; 8]);
        assert_eq!(readings(Some(&after), &after), [Reading::Absent; 8], "no tick went by");
    }

    #[test]
    fn waiting_that_goes_back_by_itself_is_no_loss() {
        let before = Ticks { user: 10, idle: 10, io_wait: 7, ..Ticks::default() };
        let after = Ticks { user: 20, idle: 20, io_wait: 6, ..Ticks::default() };
        assert_eq!(readings(Some(&before), &after)[5], Reading::Value(0.0));
        assert_eq!(readings(Some(&before), &after)[2], Reading::Value(50.0));
    }
}
