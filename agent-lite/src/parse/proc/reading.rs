//! What a counter gives at one sampling, and the formulas that all tables share.

/// What one counter gives at one sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading<T = f64> {
    /// Its value.
    Value(T),
    /// Nothing, as it should be: no sample before this one, no operation to average, no swap to share.
    Absent,
    /// Nothing, and that is a loss: a sum went back, a table could not be read.
    Lost,
}

impl<T> Reading<T> {
    /// Makes something else of the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Value(value) => Reading::Value(make(value)),
            Self::Absent => Reading::Absent,
            Self::Lost => Reading::Lost,
        }
    }
}

impl Reading {
    /// Returns how much a sum since boot grew in a second. One that went back was reset or has wrapped: nobody
    /// knows how far it went in between.
    pub fn rate(before: u64, after: u64, seconds: f64) -> Self {
        match after.checked_sub(before) {
            Some(grown) if seconds > 0.0 => Self::Value(grown as f64 / seconds),
            _ => Self::Lost,
        }
    }

    /// Returns a part in percent; absent without a whole.
    pub fn percent(part: u64, whole: u64) -> Self {
        match whole {
            0 => Self::Absent,
            _ => Self::Value(part as f64 * 100.0 / whole as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_true_time_and_lost_when_a_sum_went_back() {
        let cases = [
            (100, 160, 30.0, Reading::Value(2.0)),
            (100, 160, 60.0, Reading::Value(1.0)),
            (100, 100, 30.0, Reading::Value(0.0)),
            (160, 100, 30.0, Reading::Lost),
            (u64::MAX, 5, 30.0, Reading::Lost),
            (100, 160, 0.0, Reading::Lost),
            (100, 160, f64::NAN, Reading::Lost),
        ];
        for (before, after, seconds, expected) in cases {
            assert_eq!(Reading::rate(before, after, seconds), expected, "{before} {after} {seconds}");
        }
    }

    #[test]
    fn a_part_of_nothing_is_absent() {
        assert_eq!(Reading::percent(0, 0), Reading::Absent);
        assert_eq!(Reading::percent(1, 4), Reading::Value(25.0));
    }
}
