//! Values that are written as strings and are more than strings.

use std::str::FromStr;
use std::time::Duration;

/// A time that a wait may take: 1 ms to 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = humantime::parse_duration(text)
            .map_err(|_| "write a time with its unit, as in `30s`, `5m` or `1h`".to_owned())?;
        match (Duration::from_millis(1)..=LONGEST_SPAN).contains(&span) {
            true => Ok(Self(span)),
            false => Err("write a time from `1ms` to `30days`".to_owned()),
        }
    }
}

const LONGEST_SPAN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A time of which none is enough, too: zero to 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanOrNone(pub Duration);

impl FromStr for SpanOrNone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match humantime::parse_duration(text) {
            Ok(span) if span.is_zero() => Ok(Self(span)),
            _ => text.parse().map(|Span(span)| Self(span)),
        }
    }
}
