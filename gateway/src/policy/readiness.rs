//! When the gateway counts as ready: what each canary's walks have shown, and what they mean together.
//!
//! A canary is down after several failures in a row, and up with the first success. Before the first
//! verdict it is unknown, which is not ready: a gateway that has just started has yet to show that it can
//! reach anything. Once it has been ready, a canary that a reload adds holds nothing up. Decides only.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// Longest time until a canary that failed is walked again.
pub const RETRY: Duration = Duration::from_secs(10);

/// The numbers an operator sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time between two walks of a canary; zero means that none is walked.
    pub interval: Duration,
    /// Failures in a row that make a canary down.
    pub failures: u32,
    /// When canaries make `/readyz` red.
    pub red_when: RedWhen,
}

/// When canaries make `/readyz` red.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedWhen {
    /// When one is down.
    Any,
    /// When all are down.
    All,
    /// Never: they are shown, counted and recorded.
    Never,
}

/// The place on the way of a CONNECT where a canary fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Station {
    /// The look-up of the name.
    Dns,
    /// The address policy.
    Address,
    /// The relay, from its own look-up to its answer.
    Relay,
    /// The connection to the destination.
    #[serde(rename = "tcp")]
    Connect,
    /// The hellos.
    Tls,
    /// The gateway itself: no descriptor or memory left.
    Gateway,
}

impl Station {
    /// Every station, in the order of the way.
    pub const ALL: [Self; 6] =
        [Self::Dns, Self::Address, Self::Relay, Self::Connect, Self::Tls, Self::Gateway];

    /// Returns the word used in metrics, records and `/readyz`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Address => "address",
            Self::Relay => "relay",
            Self::Connect => "tcp",
            Self::Tls => "tls",
            Self::Gateway => "gateway",
        }
    }
}

/// Why a walk ended before the destination's hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where.
    pub station: Station,
    /// The label of the refusal or ending a client would have met.
    pub reason: &'static str,
    /// The same as a sentence.
    pub detail: String,
}

/// What is held of a canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// There is no verdict yet.
    #[default]
    Unknown,
    /// It answers, or has not failed often enough.
    Up,
    /// It failed several times in a row.
    Down,
}

impl Standing {
    /// All, as metrics have them.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Up, Self::Down];

    /// Returns the word used in metrics, records and `/readyz`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The walks of one canary, as far as they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// What is held of it.
    pub standing: Standing,
    /// Failures since the last success.
    pub failures: u32,
}

impl Course {
    /// Takes the outcome of a walk; says whether the standing changed.
    pub fn note(&mut self, answered: bool, settings: &Settings) -> bool {
        let before = self.standing;
        if answered {
            *self = Self { standing: Standing::Up, failures: 0 };
        } else {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= settings.failures {
                self.standing = Standing::Down;
            }
        }
        self.standing != before
    }

    /// Returns the time to the next walk, up to a tenth more or less over `random`, so that the canaries
    /// of many gateways do not walk in step.
    pub fn next(&self, settings: &Settings, random: u64) -> Duration {
        const PARTS: u32 = 200;
        let span = if self.failures > 0 { settings.interval.min(RETRY) } else { settings.interval };
        let part = u32::try_from(random % u64::from(PARTS + 1)).unwrap_or_default();
        span * 9 / 10 + span / 5 / PARTS * part
    }
}

/// Says whether canaries of these standings make `/readyz` red. `proven` says that it has been green.
pub fn is_red(red_when: RedWhen, standings: &[Standing], proven: bool) -> bool {
    let known = || standings.iter().filter(|standing| !proven || **standing != Standing::Unknown);
    match red_when {
        RedWhen::Never => false,
        RedWhen::Any => known().any(|standing| *standing != Standing::Up),
        RedWhen::All => known().next().is_some() && known().all(|standing| *standing != Standing::Up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Standing::Down;
    use Standing::Unknown;
    use Standing::Up;

    const SETTINGS: Settings =
        Settings { interval: Duration::from_secs(60), failures: 3, red_when: RedWhen::All };

    #[test]
    fn a_canary_is_down_after_three_failures_in_a_row_and_up_with_the_first_success() {
        let mut course = Course::default();
        let walks = [
            (false, Unknown),
            (true, Up),
            (false, Up),
            (false, Up),
            (true, Up),
            (false, Up),
            (false, Up),
            (false, Down),
            (false, Down),
            (true, Up),
        ];
        for (turn, (answered, expected)) in walks.into_iter().enumerate() {
            let before = course.standing;
            assert_eq!(course.note(answered, &SETTINGS), before != expected, "{turn}");
            assert_eq!(course.standing, expected, "{turn}");
        }
    }

    #[test]
    fn what_never_answered_is_down_after_as_many_failures() {
        let mut course = Course::default();
        let standings = [(); 3].map(|()| {
            course.note(false, &SETTINGS);
            course.standing
        });
        assert_eq!(standings, [Unknown, Unknown, Down]);
    }

    #[test]
    fn one_or_all_or_none_make_it_red_as_the_operator_wants() {
        let cases: [(&[Standing], bool, bool, bool); 10] = [
            (&[], true, false, false),
            (&[], false, false, false),
            (&[Up, Up], true, false, false),
            (&[Up, Down], true, true, false),
            (&[Down, Down], true, true, true),
            (&[Unknown, Up], false, true, false),
            (&[Unknown, Unknown], false, true, true),
            (&[Unknown, Up], true, false, false),
            (&[Unknown, Down], true, true, true),
            (&[Unknown], true, false, false),
        ];
        for (standings, proven, any, all) in cases {
            assert_eq!(is_red(RedWhen::Any, standings, proven), any, "any {standings:?} {proven}");
            assert_eq!(is_red(RedWhen::All, standings, proven), all, "all {standings:?} {proven}");
            assert!(!is_red(RedWhen::Never, standings, proven));
        }
    }

    #[test]
    fn walks_are_a_tenth_earlier_or_later_and_sooner_after_a_failure() {
        let (well, failing) = (Course::default(), Course { standing: Up, failures: 1 });
        for (course, low, high) in [(well, 54, 66), (failing, 9, 11)] {
            let spans: Vec<_> = (0..1000).map(|random| course.next(&SETTINGS, random)).collect();
            let (low, high) = (Duration::from_secs(low), Duration::from_secs(high));
            assert_eq!(spans.iter().min(), Some(&low));
            assert!(spans.iter().all(|span| (low..=high).contains(span)));
            assert!(spans.iter().max().is_some_and(|most| *most > high - Duration::from_millis(100)));
        }
    }
}
