/// The numbers that a channel gives its events, and which of them never came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    last: Option<u64>,
}

impl Gaps {
    /// Begins behind an event that was read before, if there was one.
    pub(super) fn behind(last: Option<u64>) -> Self {
        Self { last }
    }

    /// Returns the number of the event that came last.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// Takes the next event's number and returns how many are missing before it. A number that is not higher begins
    /// a new count: the log was cleared.
    pub(super) fn step(&mut self, record: u64) -> u64 {
        let before = self.last.replace(record);
        before.map_or(0, |before| record.saturating_sub(before).saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_never_came_are_counted_and_a_cleared_log_begins_anew() {
        let mut gaps = Gaps::behind(None);
        let missing: Vec<u64> = [5, 6, 9, 1, 2, u64::MAX].map(|record| gaps.step(record)).into();
        assert_eq!(missing, [0, 0, 2, 0, 0, u64::MAX - 3]);
        assert_eq!(Gaps::behind(Some(7)).step(10), 2);
        assert_eq!(gaps.last(), Some(u64::MAX));
    }
}
