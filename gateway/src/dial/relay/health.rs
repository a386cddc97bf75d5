//! Which relay to try next: those that work in their order, and then those that are set back.
//!
//! A relay that fails is set back for a while. When that is over one request may try it again, and
//! the next while, twice as long, begins at once: so the others do not wait for its failure too. A
//! success ends it all. Decides only; the time is given.

use std::time::Duration;
use std::time::Instant;

/// How long a relay is set back at first, and at most.
pub(super) const SHORTEST: Duration = Duration::from_secs(10);
pub(super) const LONGEST: Duration = Duration::from_secs(5 * 60);

/// What is known of the relays.
#[derive(Debug)]
pub(super) struct Health(Vec<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    set_back: Option<SetBack>,
    /// The operator was last told that it fails.
    reported: bool,
    /// No failure is reported before this, however often the relay comes and goes.
    quiet_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct SetBack {
    span: Duration,
    until: Instant,
}

/// Whether a change is to be told to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is.
    Tell,
    /// It is known, or was told a moment ago.
    Known,
}

impl Health {
    /// All of `count` relays are taken to be well.
    pub(super) fn new(count: usize) -> Self {
        Self(vec![State::default(); count])
    }

    /// Takes the relay to try next out of `untried`.
    pub(super) fn next(&mut self, untried: &mut Vec<usize>, now: Instant) -> Option<usize> {
        let ready = |relay: &usize| self.0.get(*relay).is_some_and(|state| state.is_ready(now));
        let relay = match untried.iter().position(ready) {
            None if untried.is_empty() => return None,
            None => untried.remove(0),
            Some(turn) => untried.remove(turn),
        };
        if let Some(State { set_back: Some(set_back), .. }) = self.0.get_mut(relay)
            && set_back.until <= now
        {
            set_back.span = LONGEST.min(set_back.span * 2);
            set_back.until = now + set_back.span;
        }
        Some(relay)
    }

    /// Sets a relay back, unless it is already.
    pub(super) fn fails(&mut self, relay: usize, now: Instant) -> News {
        let Some(state) = self.0.get_mut(relay) else { return News::Known };
        state.set_back.get_or_insert(SetBack { span: SHORTEST, until: now + SHORTEST });
        if state.reported || state.quiet_until.is_some_and(|until| now < until) {
            return News::Known;
        }
        state.reported = true;
        state.quiet_until = Some(now + SHORTEST);
        News::Tell
    }

    /// Takes a relay to be well again.
    pub(super) fn succeeds(&mut self, relay: usize) -> News {
        let Some(state) = self.0.get_mut(relay) else { return News::Known };
        state.set_back = None;
        match std::mem::take(&mut state.reported) {
            true => News::Tell,
            false => News::Known,
        }
    }
}

impl State {
    fn is_ready(&self, now: Instant) -> bool {
        self.set_back.is_none_or(|set_back| set_back.until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every relay in the order in which one request would try them, when all fail silently.
    fn order(health: &mut Health, now: Instant) -> Vec<usize> {
        let mut untried = (0..health.0.len()).collect();
        std::iter::from_fn(|| health.next(&mut untried, now)).collect()
    }

    fn first(health: &mut Health, now: Instant) -> Option<usize> {
        health.next(&mut (0..health.0.len()).collect(), now)
    }

    #[test]
    fn the_order_is_kept_and_those_set_back_come_last() {
        let (mut health, now) = (Health::new(3), Instant::now());
        assert_eq!(order(&mut health, now), [0, 1, 2]);
        health.fails(0, now);
        assert_eq!(order(&mut health, now), [1, 2, 0]);
        health.fails(1, now);
        assert_eq!(order(&mut health, now), [2, 0, 1]);
        health.fails(2, now);
        assert_eq!(order(&mut health, now), [0, 1, 2], "all are down: all are tried");
        health.succeeds(2);
        assert_eq!(order(&mut health, now), [2, 0, 1]);
    }

    #[test]
    fn when_its_time_is_over_one_request_tries_a_relay_and_the_others_go_on_without_it() {
        let (mut health, start) = (Health::new(2), Instant::now());
        health.fails(0, start);
        let just_before = start + SHORTEST - Duration::from_millis(1);
        assert_eq!(first(&mut health, just_before), Some(1));
        assert_eq!(first(&mut health, start + SHORTEST), Some(0));
        assert_eq!(first(&mut health, start + SHORTEST), Some(1));
        health.succeeds(0);
        assert_eq!(first(&mut health, start + SHORTEST), Some(0));
        assert_eq!(first(&mut health, start + SHORTEST), Some(0));
    }

    #[test]
    fn the_time_doubles_from_ten_seconds_to_five_minutes_and_a_success_ends_it() {
        let (mut health, mut now) = (Health::new(2), Instant::now());
        for span in [10, 20, 40, 80, 160, 300, 300, 10] {
            if span == 10 {
                health.succeeds(0);
            }
            health.fails(0, now);
            health.fails(0, now);
            let span = Duration::from_secs(span);
            assert_eq!(first(&mut health, now + span - Duration::from_millis(1)), Some(1), "{span:?}");
            now += span;
            assert_eq!(first(&mut health, now), Some(0), "{span:?}");
        }
    }

    #[test]
    fn a_failure_is_told_once_until_the_relay_is_back() {
        let (mut health, now) = (Health::new(1), Instant::now());
        assert_eq!(health.succeeds(0), News::Known);
        assert_eq!(health.fails(0, now), News::Tell);
        assert_eq!(health.fails(0, now), News::Known);
        assert_eq!(health.fails(0, now + LONGEST), News::Known);
        assert_eq!(health.succeeds(0), News::Tell);
        assert_eq!(health.succeeds(0), News::Known);
        assert_eq!(health.fails(0, now + LONGEST), News::Tell);
    }

    #[test]
    fn a_relay_that_comes_and_goes_is_told_of_once_in_ten_seconds_and_not_left_as_well() {
        let (mut health, now) = (Health::new(1), Instant::now());
        let mut told = 0;
        for turn in 0..1000 {
            let now = now + Duration::from_millis(turn);
            told += usize::from(health.fails(0, now) == News::Tell);
            told += usize::from(health.succeeds(0) == News::Tell);
        }
        assert_eq!(told, 2);
        assert_eq!(health.fails(0, now + SHORTEST / 2), News::Known);
        assert_eq!(
            health.fails(0, now + SHORTEST),
            News::Tell,
            "it is still down, and was last told to be back"
        );
    }
}
