use std::time::Duration;
use std::time::Instant;

/// How long a rate is measured.
const WINDOW: Duration = Duration::from_millis(100);
/// Records in one window after which there is memory to give back.
const PEAK: u64 = 200;
/// How long it lets records gather then, so that a wake-up serves several: above [`PEAK`], and below it.
const LINGER: Duration = Duration::from_millis(5);
pub(super) const LINGER_LONGER: Duration = Duration::from_millis(10);
/// Instead of [`LINGER_LONGER`] where the receive buffer has [`ROOM`]: half of the wake-ups, which are half of the work
/// at 1,000 records a second.
pub(super) const LINGER_LONGEST: Duration = Duration::from_millis(20);
/// Bytes of a receive buffer that hold a burst of 20 ms at 40,000 records a second.
pub(super) const ROOM: usize = 1024 * 1024;
/// How long after the last busy moment memory is given back.
const COOL: Duration = Duration::from_secs(1);

/// From which rate on records may gather before they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// From 200 a second on, so long while it is fewer than 2,000. For datagrams of a network: what a killed agent has
    /// not read is lost in either case, and the receive buffer holds a burst of these few milliseconds.
    Early(Duration),
    /// From 2,000 a second on. Below it each record is read at once, and a killed agent loses one read at most.
    Late,
    /// Never. For a unix socket, which holds few datagrams (`net.unix.max_dgram_qlen`, often 10) while its senders
    /// wait or lose theirs.
    Never,
}

impl Pace {
    /// Records in one window from which on the source lingers.
    fn busy(self) -> u64 {
        match self {
            Self::Early(_) => 20,
            Self::Late => 200,
            Self::Never => u64::MAX,
        }
    }

    /// How long to linger below [`PEAK`].
    fn linger(self) -> Duration {
        match self {
            Self::Early(linger) => linger,
            Self::Late | Self::Never => LINGER,
        }
    }
}

/// Decides how long to let records gather before the next read.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    window: Option<Instant>,
    /// Records since the window began.
    records: u64,
    busy: bool,
    linger: Duration,
    /// The last busy moment or other peak, until memory is given back.
    peak: Option<Instant>,
}

impl Pacer {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, window: None, records: 0, busy: false, linger: LINGER, peak: None }
    }

    /// Notes what was just read, and returns how long to linger.
    pub(super) fn read(&mut self, now: Instant, records: u64) -> Option<Duration> {
        let begun = self.window.unwrap_or_else(|| now.checked_sub(WINDOW).unwrap_or(now));
        let age = now.saturating_duration_since(begun);
        self.records += records;
        let in_window = match age >= WINDOW {
            true => u128::from(self.records) * WINDOW.as_micros() / age.as_micros(),
            false => self.records.into(),
        };
        if age >= WINDOW || in_window > self.pace.busy().min(PEAK).into() {
            self.busy = in_window > self.pace.busy().into();
            let rate = u128::from(self.records) * WINDOW.as_micros() / age.as_micros().max(1000);
            self.linger = if rate > PEAK.into() { LINGER } else { self.pace.linger() };
            (self.window, self.records) = (Some(now), 0);
        }
        if self.busy || in_window > PEAK.into() {
            self.peak = Some(now);
        }
        self.busy.then_some(self.linger)
    }

    /// Notes a peak in something else than records.
    pub(super) fn peak(&mut self, now: Instant) {
        self.peak = Some(now);
    }

    /// Returns how long to wait until it is cool, after a peak.
    pub(super) fn warm(&self, now: Instant) -> Option<Duration> {
        self.peak.map(|peak| (peak + COOL).saturating_duration_since(now))
    }

    /// Returns once after each peak that it is over.
    pub(super) fn cooled(&mut self, now: Instant) -> bool {
        let over = self.warm(now) == Some(Duration::ZERO);
        if over {
            self.peak = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of the reads at this rate are followed by lingering, in one second.
    fn lingers(pace: Pace, rate: u64, gap: Duration) -> (u64, u64) {
        let (mut pacer, begin) = (Pacer::new(pace), Instant::now());
        let (mut reads, mut lingers, mut at) = (0, 0, Duration::ZERO);
        while at < Duration::from_secs(1) {
            let records = rate * gap.as_micros() as u64 / 1_000_000;
            reads += 1;
            lingers += u64::from(pacer.read(begin + at, records).is_some());
            at += gap;
        }
        (reads, lingers)
    }

    #[test]
    fn it_lingers_above_its_rate_and_never_below() {
        for gap in [Duration::from_millis(1), Duration::from_millis(5), Duration::from_millis(20)] {
            for (pace, below, above) in
                [(Pace::Late, 1_900, 10_000), (Pace::Early(LINGER_LONGEST), 190, 1_000)]
            {
                assert_eq!(lingers(pace, below, gap).1, 0, "{gap:?}");
                let (reads, lingers) = lingers(pace, above, gap);
                assert!(lingers * 10 >= reads * 9 - 10, "{lingers} of {reads}, {gap:?}");
            }
        }
        for longer in [LINGER_LONGER, LINGER_LONGEST] {
            let mut early = Pacer::new(Pace::Early(longer));
            let (begin, gap) = (Instant::now(), Duration::from_millis(10));
            let paces: Vec<_> = (0..30).map(|at| early.read(begin + gap * at, 10)).collect();
            assert!(paces.iter().skip(3).all(|linger| *linger == Some(longer)), "{paces:?}");
            let paces: Vec<_> = (30..60).map(|at| early.read(begin + gap * at, 100)).collect();
            assert!(paces.iter().skip(3).all(|linger| *linger == Some(LINGER)), "{paces:?}");
        }
        assert_eq!(lingers(Pace::Never, 1_000_000, Duration::from_millis(1)).1, 0);
        assert_eq!(
            lingers(Pace::Late, 1_000, Duration::from_millis(300)).1,
            1,
            "a burst after silence is known at once, and known to be over at the next read"
        );
    }

    #[test]
    fn a_burst_is_forgotten_after_its_window_and_cooled_once_after_a_second() {
        let (mut pacer, begin) = (Pacer::new(Pace::Late), Instant::now());
        assert!(pacer.read(begin, 1_000).is_some());
        assert!(pacer.read(begin + Duration::from_millis(250), 1).is_none());
        assert!(!pacer.cooled(begin + Duration::from_millis(999)));
        assert_eq!(pacer.warm(begin + Duration::from_millis(400)), Some(Duration::from_millis(600)));
        assert!(pacer.cooled(begin + Duration::from_secs(1)));
        assert!(!pacer.cooled(begin + Duration::from_secs(2)));
        let mut never = Pacer::new(Pace::Never);
        assert!(never.read(begin, 1_000).is_none() && never.cooled(begin + Duration::from_secs(1)));
    }
}
