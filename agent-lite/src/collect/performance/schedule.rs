use std::time::Duration;

use tokio::time::Instant;

/// When which set is sampled: at multiples of its interval from one common origin, so that one wakeup serves
/// all sets that meet there.
pub(super) struct Schedule {
    origin: Instant,
    sets: Vec<(Duration, Instant)>,
}

impl Schedule {
    /// Begins; the first samplings are one interval after the origin.
    pub(super) fn new(origin: Instant, intervals: Vec<Duration>) -> Self {
        Self { origin, sets: intervals.into_iter().map(|every| (every, origin + every)).collect() }
    }

    /// Returns the time of which all samplings are multiples.
    pub(super) fn origin(&self) -> Instant {
        self.origin
    }

    /// Returns when the next set is due.
    pub(super) fn next(&self) -> Instant {
        self.sets.iter().map(|(_, next)| *next).min().unwrap_or(self.origin)
    }

    /// Returns the places of the sets that are due and puts them off to their next multiple; those that were
    /// missed are not made up for.
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (at, (every, next)) in self.sets.iter_mut().enumerate() {
            if *next <= now {
                due.push(at);
                let gone = now.duration_since(self.origin).as_nanos() / every.as_nanos().max(1);
                let multiple = every.as_nanos().saturating_mul(gone + 1);
                *next = self.origin + Duration::from_nanos(multiple.try_into().unwrap_or(u64::MAX));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wakeup_serves_all_sets_that_meet_and_missed_ones_are_not_made_up_for() {
        let origin = Instant::now();
        let at = |seconds: f64| origin + Duration::from_secs_f64(seconds);
        let mut schedule = Schedule::new(origin, [10, 30, 15].map(Duration::from_secs).to_vec());
        let cases: [(f64, f64, &[usize]); 6] = [
            (10.0, 10.0, &[0]),
            (15.0, 15.2, &[2]),
            (20.0, 20.0, &[0]),
            (30.0, 30.0, &[0, 1, 2]),
            (40.0, 95.0, &[0, 1, 2]),
            (100.0, 100.0, &[0]),
        ];
        for (expected, now, due) in cases {
            assert_eq!(schedule.next(), at(expected), "before {now}");
            assert_eq!(schedule.due(at(now)), due, "at {now}");
        }
        assert_eq!(schedule.next(), at(105.0));
    }
}
