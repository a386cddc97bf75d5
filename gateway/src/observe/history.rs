//! The traffic of the last hour: a ring of samples, each the difference of two looks at the counters.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Serialize;

/// Time between two samples.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Most samples that are kept: an hour's.
pub const MOST_SAMPLES: usize = 360;

/// What the counters show at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes from clients, those of open tunnels included.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
    /// Tunnels open now.
    pub tunnels: u64,
    /// Tunnels begun so far.
    pub connects: u64,
    /// Refused requests by reason.
    pub refusals: BTreeMap<&'static str, u64>,
}

/// What happened since the sample before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Its end, in seconds since 1970.
    pub time: u64,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
    /// Tunnels open at its end.
    pub tunnels: u64,
    /// Tunnels begun.
    pub connects: u64,
    /// Requests refused.
    pub refusals: u64,
    #[serde(skip)]
    reasons: Vec<(&'static str, u64)>,
}

/// The samples of the last hour.
#[derive(Default)]
pub struct History(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    last: Totals,
    samples: VecDeque<Sample>,
}

impl Totals {
    /// Returns what was added since an earlier look. What a reload took away is not below nothing.
    pub fn since(&self, before: &Self) -> Self {
        let reasons = self.refusals.iter().map(|(reason, total)| {
            (*reason, total.saturating_sub(before.refusals.get(reason).copied().unwrap_or_default()))
        });
        Self {
            bytes_up: self.bytes_up.saturating_sub(before.bytes_up),
            bytes_down: self.bytes_down.saturating_sub(before.bytes_down),
            tunnels: self.tunnels,
            connects: self.connects.saturating_sub(before.connects),
            refusals: reasons.filter(|(_, more)| *more > 0).collect(),
        }
    }
}

impl History {
    /// Takes a look, and returns the sample it made.
    pub fn take(&self, totals: Totals, now: SystemTime) -> Sample {
        let mut ring = self.lock();
        let more = totals.since(&ring.last);
        let sample = Sample {
            time: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            bytes_up: more.bytes_up,
            bytes_down: more.bytes_down,
            tunnels: more.tunnels,
            connects: more.connects,
            refusals: more.refusals.values().sum(),
            reasons: more.refusals.into_iter().collect(),
        };
        ring.last = totals;
        if ring.samples.len() == MOST_SAMPLES {
            ring.samples.pop_front();
        }
        ring.samples.push_back(sample.clone());
        sample
    }

    /// Returns the samples, the oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.lock().samples.iter().cloned().collect()
    }

    /// Returns how many requests were refused in the samples, and since the last one, by reason.
    pub fn refusals(&self, totals: &Totals) -> BTreeMap<&'static str, u64> {
        let ring = self.lock();
        let mut sums = totals.since(&ring.last).refusals;
        for (reason, count) in ring.samples.iter().flat_map(|sample| &sample.reasons) {
            *sums.entry(reason).or_default() += count;
        }
        sums
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(bytes_up: u64, refused: u64) -> Totals {
        Totals { bytes_up, refusals: [("host_denied", refused)].into(), ..Totals::default() }
    }

    #[test]
    fn a_sample_is_what_was_added_and_the_oldest_goes_when_the_hour_is_full() {
        let history = History::default();
        let first = history.take(totals(100, 2), UNIX_EPOCH + Duration::from_secs(10));
        assert_eq!((first.time, first.bytes_up, first.refusals), (10, 100, 2));
        // A role that a reload took out takes its bytes with it.
        assert_eq!(history.take(totals(40, 3), UNIX_EPOCH).bytes_up, 0);
        assert_eq!(history.refusals(&totals(40, 7))["host_denied"], 7);
        for turn in 0..2 * u64::try_from(MOST_SAMPLES).expect("small") {
            history.take(totals(40 + turn, 3), UNIX_EPOCH);
        }
        assert_eq!(history.samples().len(), MOST_SAMPLES);
        assert!(history.refusals(&totals(0, 3)).is_empty(), "they are of an hour before");
    }
}
