//! Times as the services want them, without allocation.

use crate::record::Timestamp;

/// How much of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fraction {
    /// Three digits.
    Milliseconds,
    /// None, three or six digits, as many as there are.
    Exact,
}

/// The calendar of one instant, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: u32,
    month: u8,
    day: u8,
    weekday: u8,
    second: u32,
    microsecond: u32,
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 0001-01-01T00:00:00Z and the last microsecond of 9999, the times that a `datetime` can hold.
const RANGE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

impl Civil {
    /// Turns days into a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn of(time: Timestamp) -> Self {
        let microseconds = time.0.clamp(RANGE.0, RANGE.1);
        let (seconds, microsecond) = (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as u32,
            month: month as u8,
            day: (day_of_year - (153 * from_march + 2) / 5 + 1) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            second: second as u32,
            microsecond: microsecond as u32,
        }
    }
}

/// Writes an instant by RFC 3339, in UTC with `Z`.
pub(super) fn write_iso(time: Timestamp, fraction: Fraction, out: &mut Vec<u8>) {
    let civil = Civil::of(time);
    let [a, b, c, d, e, f] = civil.six_digits();
    out.extend_from_slice(&civil.local());
    match fraction {
        Fraction::Exact if civil.microsecond == 0 => out.push(b'Z'),
        Fraction::Exact if !civil.microsecond.is_multiple_of(1_000) => {
            out.extend_from_slice(&[b'.', a, b, c, d, e, f, b'Z']);
        }
        Fraction::Exact | Fraction::Milliseconds => out.extend_from_slice(&[b'.', a, b, c, b'Z']),
    }
}

/// Returns an instant as the legacy agent writes it into `x-ms-Date`: nine digits and an offset.
pub(super) fn topology_date(time: Timestamp) -> String {
    let civil = Civil::of(time);
    text(&[&civil.local(), b".", &civil.six_digits(), b"000+00:00"])
}

/// Returns an instant as an HTTP date (RFC 9110, section 5.6.7).
pub(super) fn http_date(time: Timestamp) -> String {
    let civil = Civil::of(time);
    let weekday = WEEKDAYS.get(usize::from(civil.weekday)).unwrap_or(&"");
    let month = MONTHS.get(usize::from(civil.month) - 1).unwrap_or(&"");
    let (day, year, clock) = (two(civil.day), civil.year(), civil.clock());
    text(&[weekday.as_bytes(), b", ", &day, b" ", month.as_bytes(), b" ", &year, b" ", &clock, b" GMT"])
}

/// Returns the day as `YYYYMMDD`.
pub(super) fn compact_day(time: Timestamp) -> String {
    let civil = Civil::of(time);
    text(&[&civil.year(), &two(civil.month), &two(civil.day)])
}

/// Returns the instant as `YYMMDDhhmmssZ`, ASN.1's UTCTime.
pub(super) fn utc_time(time: Timestamp) -> String {
    let civil = Civil::of(time);
    let [_, _, a, b] = civil.year();
    let clock = civil.clock();
    let clock: Vec<u8> = clock.into_iter().filter(|byte| *byte != b':').collect();
    text(&[&[a, b], &two(civil.month), &two(civil.day), &clock, b"Z"])
}

impl Civil {
    fn year(self) -> [u8; 4] {
        [self.year / 1_000, self.year / 100, self.year / 10, self.year].map(digit)
    }

    /// Returns `hh:mm:ss`.
    fn clock(self) -> [u8; 8] {
        let [a, b] = two((self.second / 3_600) as u8);
        let [c, d] = two((self.second / 60 % 60) as u8);
        let [e, f] = two((self.second % 60) as u8);
        [a, b, b':', c, d, b':', e, f]
    }

    /// Returns `YYYY-MM-DDThh:mm:ss`.
    fn local(self) -> [u8; 19] {
        let ([a, b, c, d], [e, f], [g, h]) = (self.year(), two(self.month), two(self.day));
        let [i, j, k, l, m, n, o, p] = self.clock();
        [a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, k, l, m, n, o, p]
    }

    fn six_digits(self) -> [u8; 6] {
        let part = self.microsecond;
        [part / 100_000, part / 10_000, part / 1_000, part / 100, part / 10, part].map(digit)
    }
}

fn two(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

fn digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
}

fn text(parts: &[&[u8]]) -> String {
    String::from_utf8(parts.concat()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iso(time: i64, fraction: Fraction) -> String {
        let mut out = Vec::new();
        write_iso(Timestamp(time), fraction, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_in_every_form_that_a_service_asks_for() {
        let time = Timestamp(1_767_600_000_000_000);
        assert_eq!(http_date(time), "Mon, 05 Jan 2026 08:00:00 GMT");
        assert_eq!(topology_date(Timestamp(time.0 + 123_456)), "2026-01-05T08:00:00.123456000+00:00");
        assert_eq!(compact_day(time), "20260105");
        assert_eq!(utc_time(time), "260105080000Z");
        assert_eq!(iso(time.0, Fraction::Exact), "2026-01-05T08:00:00Z");
        assert_eq!(iso(time.0, Fraction::Milliseconds), "2026-01-05T08:00:00.000Z");
        assert_eq!(iso(time.0 + 20_000, Fraction::Exact), "2026-01-05T08:00:00.020Z");
        assert_eq!(iso(time.0 + 20_001, Fraction::Exact), "2026-01-05T08:00:00.020001Z");
        assert_eq!(iso(time.0 + 20_999, Fraction::Milliseconds), "2026-01-05T08:00:00.020Z");
    }

    #[test]
    fn a_time_outside_the_years_of_four_digits_is_the_nearest_that_can_be_written() {
        assert_eq!(iso(i64::MIN, Fraction::Exact), "0001-01-01T00:00:00Z");
        assert_eq!(iso(i64::MAX, Fraction::Exact), "9999-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn any_time_is_written_as_jiff_and_httpdate_write_it(microseconds in RANGE.0..RANGE.1 - 86_400_000_000_000) {
            let jiff = jiff::Timestamp::from_microsecond(microseconds).unwrap();
            prop_assert_eq!(iso(microseconds, Fraction::Exact).parse::<jiff::Timestamp>().unwrap(), jiff);
            prop_assert_eq!(iso(microseconds, Fraction::Milliseconds), jiff.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
            prop_assert_eq!(http_date(Timestamp(microseconds)), jiff.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            prop_assert_eq!(compact_day(Timestamp(microseconds)), jiff.strftime("%Y%m%d").to_string());
        }
    }
}
