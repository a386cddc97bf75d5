use tokio::time::Instant;

/// What the sampling before saw of each instance: half of every rate.
pub(super) struct Before<T> {
    at: Option<Instant>,
    seen: Vec<(Box<str>, T)>,
    next: Vec<(Box<str>, T)>,
}

impl<T: Copy> Before<T> {
    /// Begins without one: every rate is absent.
    pub(super) fn none() -> Self {
        Self { at: None, seen: Vec::new(), next: Vec::new() }
    }

    /// Returns what was seen of an instance and notes what is seen now. Instances come in the same order
    /// nearly always, so the search is short.
    pub(super) fn exchange(&mut self, name: &str, now: T) -> Option<T> {
        let at = self.next.len();
        let is_same = |(known, _): &&(Box<str>, T)| **known == *name;
        let same_place = self.seen.get(at).filter(is_same);
        let before = same_place.or_else(|| self.seen.iter().find(is_same)).map(|(_, before)| *before);
        self.next.push((name.into(), now));
        before
    }

    /// Returns the seconds since the sampling before.
    pub(super) fn seconds(&self, now: Instant) -> f64 {
        self.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64())
    }

    /// Ends a sampling: what was noted is what the next one compares with.
    pub(super) fn end(&mut self, now: Instant) {
        std::mem::swap(&mut self.seen, &mut self.next);
        self.next.clear();
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_instance_is_compared_with_itself_however_the_others_come_and_go() {
        let start = Instant::now();
        let mut before = Before::none();
        assert_eq!(before.seconds(start), 0.0);
        let rounds: [&[(&str, u8, Option<u8>)]; 4] = [
            &[("a", 1, None), ("b", 2, None)],
            &[("b", 3, Some(2)), ("c", 4, None), ("a", 5, Some(1))],
            &[("c", 6, Some(4))],
            &[("a", 7, None), ("c", 8, Some(6))],
        ];
        for round in rounds {
            for (name, now, expected) in round {
                assert_eq!(before.exchange(name, *now), *expected, "{name} {now}");
            }
            before.end(start);
        }
        assert_eq!(before.seconds(start + Duration::from_millis(1500)), 1.5);
    }
}
