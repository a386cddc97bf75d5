//! How long to wait before the next try: full jitter, and never before the service's own word.

use std::time::Duration;

use super::report::Cause;

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No gateway can be reached, or a connection broke: cheap to try, and the first data should flow within a
    /// second of its return.
    Unreachable,
    /// The gateway cannot reach the service.
    Upstream,
    /// The gateway refuses this agent or this host.
    Refused,
    /// The service asks to wait, or fails.
    Service,
    /// The service does not let this agent in: it may be minutes before a new right works.
    Forbidden,
}

impl Obstacle {
    /// Returns who it is.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Unreachable | Self::Upstream => Cause::Way,
            Self::Refused | Self::Service | Self::Forbidden => Cause::Service,
        }
    }

    fn base_and_cap(self) -> (Duration, Duration) {
        let (base, cap) = match self {
            Self::Unreachable => (100, 1_000),
            Self::Upstream => (500, 10_000),
            Self::Refused => (2_000, 60_000),
            Self::Service => (1_000, 60_000),
            Self::Forbidden => (5_000, 300_000),
        };
        (Duration::from_millis(base), Duration::from_millis(cap))
    }
}

/// Most of a `Retry-After` that is waited longer, so that many agents do not come back at once.
const LONGEST_EXTRA: Duration = Duration::from_secs(5);
/// Tries after which a wait grows no more.
const MOST_DOUBLINGS: u32 = 16;

/// Counts the tries that failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    last: Option<Obstacle>,
}

impl Backoff {
    /// Returns the next wait; `chance` is random, from 0 to 1.
    pub(super) fn wait(&mut self, obstacle: Obstacle, asked: Option<Duration>, chance: f64) -> Duration {
        if self.last != Some(obstacle) {
            (self.failures, self.last) = (0, Some(obstacle));
        }
        let chance = chance.clamp(0.0, 1.0);
        let doublings = self.failures.min(MOST_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = asked {
            return asked + (asked / 10).clamp(Duration::from_millis(20), LONGEST_EXTRA).mul_f64(chance);
        }
        let (base, cap) = obstacle.base_and_cap();
        let highest = base.saturating_mul(1 << doublings).min(cap);
        highest.mul_f64(chance).max(base / 10)
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns how many tries have failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_cap_and_jitter_down_to_almost_nothing() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> =
            (0..6).map(|_| backoff.wait(Obstacle::Unreachable, None, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.wait(Obstacle::Unreachable, None, 0.0), Duration::from_millis(10));
        assert_eq!(backoff.wait(Obstacle::Service, None, 1.0), Duration::from_secs(1), "another obstacle");
        (0..1000)
            .for_each(|_| assert!(backoff.wait(Obstacle::Service, None, 1.0) <= Duration::from_secs(60)));
        backoff.reset();
        assert_eq!(backoff.failures(), 0);
    }

    #[test]
    fn the_services_own_word_is_never_undercut() {
        let asked = Some(Duration::from_secs(20));
        for chance in [0.0, 0.5, 1.0, f64::MAX] {
            let wait = Backoff::default().wait(Obstacle::Service, asked, chance);
            assert!(wait >= Duration::from_secs(20) && wait <= Duration::from_secs(22), "{wait:?}");
        }
        let none = Backoff::default().wait(Obstacle::Service, Some(Duration::ZERO), 1.0);
        assert!(none <= Duration::from_millis(20));
    }
}
