//! The values of one line: where each begins and ends, and what a date and a time are.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::civil::Time;
use jiff::tz::Offset;

const SPACE: [char; 2] = [' ', '\t'];

/// Splits at spaces and tabs.
pub(super) fn plain(line: &str) -> impl Iterator<Item = &str> {
    line.split(SPACE).filter(|value| !value.is_empty())
}

/// Splits at spaces and tabs outside quotation marks; two of them in a text are one. A text that does not end is
/// none.
pub(super) fn quoted(line: &str) -> Vec<Cow<'_, str>> {
    let mut values = Vec::new();
    let mut rest = line.trim_start_matches(SPACE);
    while !rest.is_empty() {
        let end = rest.find(SPACE).unwrap_or(rest.len());
        let (value, after) = match text(rest) {
            Some(found) => found,
            None => (Cow::Borrowed(rest.get(..end).unwrap_or_default()), rest.get(end..).unwrap_or_default()),
        };
        values.push(value);
        rest = after.trim_start_matches(SPACE);
    }
    values
}

/// Returns the text in quotation marks at the beginning, and what stands behind it.
fn text(line: &str) -> Option<(Cow<'_, str>, &str)> {
    let inside = line.strip_prefix('"')?;
    let mut from = 0;
    loop {
        let at = from + inside.get(from..)?.find('"')?;
        let after = inside.get(at + 1..)?;
        if after.starts_with('"') {
            from = at + 2;
            continue;
        }
        if !after.is_empty() && !after.starts_with(SPACE) {
            return None;
        }
        let text = inside.get(..at)?;
        let text = if from > 0 { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) };
        return Some((text, after));
    }
}

/// Returns the days since 1970 of `YYYY-MM-DD`.
pub(super) fn day(text: &str) -> Option<i64> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    if year.len() != 4 {
        return None;
    }
    let date = Date::new(number(year)?, number(month)?, number(day)?).ok()?;
    let midnight = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?;
    Some(midnight.as_second() / (24 * 60 * 60))
}

/// Returns the second of the day of `HH:MM:SS`, and the microseconds of a fraction.
pub(super) fn clock(text: &str) -> Option<(i64, i64)> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (hour, rest) = text.split_once(':')?;
    let (minute, second) = rest.split_once(':')?;
    let (hour, minute, second): (i64, i64, i64) = (number(hour)?, number(minute)?, number(second)?);
    if hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let six = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = six.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    // A leap second is its minute's last.
    Some((hour * 3600 + minute * 60 + second.min(59), micros))
}

/// Reads at most four digits and nothing else.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}
