//! Which gateway is asked next; pure.

use std::time::Duration;
use std::time::Instant;

/// What is known of the gateways.
#[derive(Debug)]
pub(super) struct Order {
    current: usize,
    down: Vec<bool>,
    return_after: Duration,
    look_back: Option<Instant>,
}

/// Whom one tunnel asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Gateways before the current one, that may serve again.
    pub(super) probes: Vec<usize>,
    /// The current gateway and then the others.
    pub(super) legs: Vec<usize>,
}

/// What the operator does not know yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// A gateway that was down serves.
    pub(super) up: bool,
    /// Another was used until now.
    pub(super) instead_of: Option<usize>,
}

impl Order {
    pub(super) fn new(count: usize, return_after: Duration) -> Self {
        Self { current: 0, down: vec![false; count], return_after, look_back: None }
    }

    /// Returns the gateway that is asked first.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Plans a tunnel; at most one plan in `return_after` has probes.
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        let due = self.look_back.is_some_and(|due| now >= due);
        let probes = match due {
            true => (0..self.current).collect(),
            false => Vec::new(),
        };
        if due {
            self.look_back = now.checked_add(self.return_after);
        }
        let mut legs: Vec<usize> = (0..self.down.len()).collect();
        legs.rotate_left(self.current);
        if due {
            // Those that are probed have been asked by then.
            legs.truncate(self.down.len() - self.current);
        }
        Plan { probes, legs }
    }

    /// Notes that a gateway gave a tunnel.
    pub(super) fn served(&mut self, at: usize, now: Instant) -> News {
        let up = self.down.get_mut(at).is_some_and(std::mem::take);
        if at == self.current {
            return News { up, instead_of: None };
        }
        let before = std::mem::replace(&mut self.current, at);
        self.look_back = match at {
            0 => None,
            _ => now.checked_add(self.return_after),
        };
        News { up, instead_of: Some(before) }
    }

    /// Notes that a gateway is down, and says whether that is news.
    pub(super) fn down(&mut self, at: usize) -> bool {
        self.down.get_mut(at).is_some_and(|down| !std::mem::replace(down, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_that_served_last_is_first_and_earlier_ones_are_probed_once_in_a_while() {
        let (mut order, begin) = (Order::new(3, Duration::from_secs(60)), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(order.plan(at(0)), Plan { probes: vec![], legs: vec![0, 1, 2] });
        assert_eq!((order.down(0), order.down(0)), (true, false));
        assert_eq!(order.served(1, at(1)), News { up: false, instead_of: Some(0) });
        assert_eq!(order.plan(at(60)), Plan { probes: vec![], legs: vec![1, 2, 0] });
        assert_eq!(order.plan(at(61)), Plan { probes: vec![0], legs: vec![1, 2] });
        assert_eq!(order.plan(at(62)), Plan { probes: vec![], legs: vec![1, 2, 0] });
        assert_eq!(order.plan(at(121)).probes, [0]);
        assert_eq!(order.served(1, at(122)), News { up: false, instead_of: None });
        assert_eq!(order.served(0, at(181)), News { up: true, instead_of: Some(1) });
        assert_eq!(order.plan(at(999)), Plan { probes: vec![], legs: vec![0, 1, 2] });
    }
}
