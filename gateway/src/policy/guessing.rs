//! Whose password checks are hurried, and whose take their time: somebody may be guessing.
//!
//! The last check of a network says which lane its next one goes by: after a wrong password the slow one, for
//! [`SUSPECT_FOR`]; after a right one the quick one. A network of which nothing is known goes by the quick one, unless passwords
//! are being sprayed: then first guesses fail from ever new networks, and whose first check is still to come is no better than they.
//! Every network that is remembered has cost a hash, so nobody fills the memory cheaply. Decides only.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::limits::NetworkKey;

/// How long a network stays suspect after a wrong password.
pub const SUSPECT_FOR: Duration = Duration::from_secs(60);
/// So many unknown networks may begin with a wrong password at once ...
pub const FIRST_FAILURES: u32 = 16;
/// ... and one more each time this has passed.
pub const FIRST_FAILURE_EVERY: Duration = Duration::from_secs(1);
/// Most networks that are remembered; at the bound those that are no longer suspect are forgotten, and then all.
pub const MOST_NETWORKS: usize = 20_000;

/// How fast a password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// As fast as there are processors.
    Quick,
    /// One at once, with a rest after each.
    Slow,
}

/// What became of a network's last password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Right,
    Wrong(Instant),
}

/// The networks whose passwords were checked, and how many unknown ones began with a wrong one.
#[derive(Debug, Default)]
pub struct Networks {
    last: HashMap<NetworkKey, Last>,
    /// When all first failures so far will be forgotten.
    forgiven: Option<Instant>,
}

impl Networks {
    /// Returns the lane for a network's next check.
    pub fn lane(&self, network: NetworkKey, now: Instant) -> Lane {
        match self.known(network, now) {
            Some(Last::Right) => Lane::Quick,
            Some(Last::Wrong(_)) => Lane::Slow,
            None if self.first_failures(now) > FIRST_FAILURE_EVERY * (FIRST_FAILURES - 1) => Lane::Slow,
            None => Lane::Quick,
        }
    }

    /// Remembers that a network's password was right.
    pub fn right(&mut self, network: NetworkKey, now: Instant) {
        self.remember(network, Last::Right, now);
    }

    /// Remembers that a network's password was wrong.
    pub fn wrong(&mut self, network: NetworkKey, now: Instant) {
        if self.known(network, now).is_none() {
            let most = FIRST_FAILURE_EVERY * FIRST_FAILURES;
            self.forgiven = Some(now + (self.first_failures(now) + FIRST_FAILURE_EVERY).min(most));
        }
        self.remember(network, Last::Wrong(now), now);
    }

    fn known(&self, network: NetworkKey, now: Instant) -> Option<Last> {
        self.last.get(&network).copied().filter(|last| last.holds(now))
    }

    /// Returns how long it takes until the first failures of late are forgotten.
    fn first_failures(&self, now: Instant) -> Duration {
        self.forgiven.map_or(Duration::ZERO, |forgiven| forgiven.saturating_duration_since(now))
    }

    fn remember(&mut self, network: NetworkKey, last: Last, now: Instant) {
        if self.last.len() >= MOST_NETWORKS && !self.last.contains_key(&network) {
            self.last.retain(|_, last| last.holds(now));
            if self.last.len() >= MOST_NETWORKS {
                self.last.clear();
            }
        }
        self.last.insert(network, last);
    }
}

impl Last {
    fn holds(self, now: Instant) -> bool {
        match self {
            Self::Right => true,
            Self::Wrong(at) => now.saturating_duration_since(at) < SUSPECT_FOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(number: u32) -> NetworkKey {
        NetworkKey::of(IpAddr::from(number.to_be_bytes()))
    }

    fn sprayed(networks: &mut Networks, count: u32, now: Instant) {
        (0..count).for_each(|number| networks.wrong(network(0x0a00_0000 + number), now));
    }

    const NEW: u32 = 1;
    const KNOWN: u32 = 2;

    #[test]
    fn a_network_is_suspect_from_a_wrong_password_for_a_minute_or_until_a_right_one() {
        let (mut networks, now) = (Networks::default(), Instant::now());
        assert_eq!(networks.lane(network(NEW), now), Lane::Quick);
        networks.wrong(network(NEW), now);
        assert_eq!(networks.lane(network(NEW), now), Lane::Slow);
        assert_eq!(networks.lane(network(KNOWN), now), Lane::Quick, "another network is not touched");
        let late = now + SUSPECT_FOR;
        assert_eq!(networks.lane(network(NEW), late - Duration::from_millis(1)), Lane::Slow);
        assert_eq!(networks.lane(network(NEW), late), Lane::Quick);
        networks.right(network(NEW), now);
        assert_eq!(networks.lane(network(NEW), now), Lane::Quick);
    }

    #[test]
    fn while_first_guesses_fail_from_many_networks_only_those_that_were_right_once_are_hurried() {
        let (mut networks, now) = (Networks::default(), Instant::now());
        networks.right(network(KNOWN), now);
        sprayed(&mut networks, FIRST_FAILURES - 1, now);
        assert_eq!(networks.lane(network(NEW), now), Lane::Quick);
        sprayed(&mut networks, FIRST_FAILURES, now);
        assert_eq!(networks.lane(network(NEW), now), Lane::Slow);
        assert_eq!(networks.lane(network(KNOWN), now), Lane::Quick);
    }

    #[test]
    fn a_spray_of_any_size_is_over_a_second_after_its_last_new_network() {
        let (mut networks, now) = (Networks::default(), Instant::now());
        sprayed(&mut networks, 10 * FIRST_FAILURES, now);
        assert_eq!(networks.lane(network(NEW), now), Lane::Slow);
        assert_eq!(networks.lane(network(NEW), now + FIRST_FAILURE_EVERY), Lane::Quick);
        // What is left over is one more a second, not all of them again.
        networks.wrong(network(NEW), now + FIRST_FAILURE_EVERY);
        assert_eq!(networks.lane(network(3), now + FIRST_FAILURE_EVERY), Lane::Slow);
    }

    #[test]
    fn one_network_that_guesses_on_is_no_spray() {
        let (mut networks, now) = (Networks::default(), Instant::now());
        (0..10 * FIRST_FAILURES).for_each(|_| networks.wrong(network(KNOWN), now));
        assert_eq!(networks.lane(network(NEW), now), Lane::Quick);
    }

    #[test]
    fn the_memory_of_networks_is_bounded_and_gives_up_first_what_is_no_longer_suspect() {
        let (mut networks, now) = (Networks::default(), Instant::now());
        networks.right(network(KNOWN), now);
        let most = u32::try_from(MOST_NETWORKS).expect("a small number");
        sprayed(&mut networks, most - 1, now);
        assert_eq!(networks.last.len(), MOST_NETWORKS);
        networks.wrong(network(NEW), now + SUSPECT_FOR);
        assert_eq!(networks.last.len(), 2);
        sprayed(&mut networks, 2 * most, now + SUSPECT_FOR);
        assert!(networks.last.len() <= MOST_NETWORKS);
    }
}
