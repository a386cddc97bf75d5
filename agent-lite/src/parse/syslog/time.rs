//! Times as syslog writes them. What they leave out is found with the time of receipt: the year, and the zone.

use jiff::civil;
use jiff::tz::TimeZone;

use super::cursor::Cursor;
use crate::record::Timestamp;

const MONTHS: [[u8; 3]; 12] = [
    *b"jan", *b"feb", *b"mar", *b"apr", *b"may", *b"jun", *b"jul", *b"aug", *b"sep", *b"oct", *b"nov",
    *b"dec",
];
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Month, day, hour, minute, second.
    fields: [u8; 5],
    micros: u32,
    year: Option<u16>,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

/// Knows the zone of times that name none.
#[derive(Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    last: Option<Resolved>,
}

/// The last second that was looked up in the zone; good for messages received in the same minute.
#[derive(Clone, Copy, Debug)]
struct Resolved {
    written: Written,
    minute: i64,
    time: i64,
}

impl Written {
    /// Reads `Mon dd hh:mm:ss` and its variants: one-digit days, a year before or behind the clock, fractions,
    /// `Z`, `UTC`, `GMT`, `+hh:mm`, and (only in front of a colon, as Cisco writes it) another zone's name.
    pub(super) fn legacy(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut inner = *cursor;
        let name = inner.take(3)?.as_bytes();
        let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as u8 + 1;
        inner.expect(b' ')?;
        inner.skip(b' ');
        let day = inner.number(1, 2)?;
        inner.expect(b' ')?;
        let mut ahead = inner;
        let mut year = ahead.number(4, 4).filter(|_| ahead.skip(b' '));
        if year.is_some() {
            inner = ahead;
        }
        let clock = clock(&mut inner)?;
        let micros = fraction(&mut inner)?;
        if year.is_none() {
            let mut ahead = inner;
            year = (ahead.skip(b' ').then(|| ahead.number(4, 4)).flatten())
                .filter(|year| (1970..2200).contains(year) && matches!(ahead.peek(), Some(b' ' | b':')));
            if year.is_some() {
                inner = ahead;
            }
        }
        let offset = zone_behind(&mut inner);
        let written = Self::new(year, month, day, clock, micros, offset)?;
        *cursor = inner;
        Some(written)
    }

    /// Reads RFC 3339, also with a space instead of `T`, and without a zone.
    pub(super) fn modern(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut inner = *cursor;
        let year = inner.number(4, 4)?;
        inner.expect(b'-')?;
        let month = inner.number(2, 2)?;
        inner.expect(b'-')?;
        let day = inner.number(2, 2)?;
        if !inner.skip(b'T') && !inner.skip(b' ') {
            inner.expect(b't')?;
        }
        let clock = clock(&mut inner)?;
        let micros = fraction(&mut inner)?;
        let offset = offset(&mut inner);
        let written = Self::new(Some(year), month as u8, day, clock, micros, offset)?;
        *cursor = inner;
        Some(written)
    }

    fn new(
        year: Option<u32>,
        month: u8,
        day: u32,
        clock: [u8; 3],
        micros: u32,
        offset: Option<i32>,
    ) -> Option<Self> {
        let [hour, minute, second] = clock;
        let written = Self {
            fields: [month, day as u8, hour, minute, second],
            micros,
            year: year.map(|year| year as u16),
            offset,
        };
        // 2000 is a leap year: any day of any year is valid in it.
        written.in_year(written.year.map_or(2000, |year| year as i16)).map(|_| written)
    }

    fn in_year(&self, year: i16) -> Option<civil::DateTime> {
        let [month, day, hour, minute, second] = self.fields.map(|field| field as i8);
        civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
    }
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    /// Returns the instant that is meant: of all that may be, the one nearest to the receipt.
    pub(super) fn resolve(&mut self, written: Written, received: Timestamp) -> Option<Timestamp> {
        let micros = i64::from(written.micros);
        if let (Some(year), Some(offset)) = (written.year, written.offset) {
            let start = seconds(written.in_year(year as i16)?)? - i64::from(offset);
            return Some(Timestamp(start * SECOND + micros));
        }
        let written = Written { micros: 0, ..written };
        let minute = received.0.div_euclid(MINUTE);
        if let Some(last) = self.last.filter(|last| last.written == written && last.minute == minute) {
            return Some(Timestamp(last.time + micros));
        }
        let time = self.nearest(&written, received)?;
        self.last = Some(Resolved { written, minute, time });
        Some(Timestamp(time + micros))
    }

    fn nearest(&self, written: &Written, received: Timestamp) -> Option<i64> {
        if let Some(year) = written.year {
            return self.instants(written, year as i16)?.min_by_key(|time| time.abs_diff(received.0));
        }
        let now = jiff::Timestamp::from_microsecond(received.0).ok()?;
        let year = TimeZone::UTC.to_datetime(now).year();
        // The 29th of February may be four years away, and eight around 2100.
        let reach = if written.fields.starts_with(&[2, 29]) { 8 } else { 1 };
        (year.saturating_sub(reach)..=year.saturating_add(reach))
            .filter_map(|year| self.instants(written, year))
            .flatten()
            .min_by_key(|time| time.abs_diff(received.0))
    }

    /// Returns the instants that a clock showed this: two when it was set back an hour.
    fn instants(&self, written: &Written, year: i16) -> Option<impl Iterator<Item = i64> + use<>> {
        let shown = written.in_year(year)?;
        let (first, second) = match written.offset {
            Some(offset) => {
                let time = (seconds(shown)? - i64::from(offset)) * SECOND;
                (time, time)
            }
            None => {
                let meant = self.zone.to_ambiguous_timestamp(shown);
                (meant.earlier().ok()?.as_microsecond(), meant.later().ok()?.as_microsecond())
            }
        };
        Some([first, second].into_iter())
    }
}

fn clock(cursor: &mut Cursor<'_>) -> Option<[u8; 3]> {
    let hour = cursor.number(2, 2)?;
    cursor.expect(b':')?;
    let minute = cursor.number(2, 2)?;
    cursor.expect(b':')?;
    // A leap second is the last one of its minute here.
    let second = cursor.number(2, 2).filter(|second| *second <= 60)?.min(59);
    Some([hour as u8, minute as u8, second as u8])
}

/// Reads a fraction as microseconds; more digits than six are passed.
fn fraction(cursor: &mut Cursor<'_>) -> Option<u32> {
    if !cursor.skip(b'.') && !cursor.skip(b',') {
        return Some(0);
    }
    let before = cursor.0.len();
    let value = cursor.number(1, 6)?;
    let digits = before - cursor.0.len();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        cursor.take(1)?;
    }
    Some(value * 10_u32.pow(6 - digits as u32))
}

/// Reads `Z` or `+hh:mm`, also without the colon.
fn offset(cursor: &mut Cursor<'_>) -> Option<i32> {
    if cursor.skip(b'Z') || cursor.skip(b'z') {
        return Some(0);
    }
    let mut inner = *cursor;
    let sign = match (inner.skip(b'+'), inner.skip(b'-')) {
        (true, false) => 1,
        (false, true) => -1,
        _ => return None,
    };
    let hours = inner.number(2, 2).filter(|hours| *hours <= 23)?;
    inner.skip(b':');
    let minutes = inner.number(2, 2).filter(|minutes| *minutes <= 59)?;
    *cursor = inner;
    Some(sign * (hours * 3600 + minutes * 60) as i32)
}

fn zone_behind(cursor: &mut Cursor<'_>) -> Option<i32> {
    if let Some(offset) = offset(cursor) {
        return Some(offset);
    }
    let mut inner = *cursor;
    inner.expect(b' ')?;
    if let Some(offset) = offset(&mut inner)
        && matches!(inner.peek(), Some(b' ' | b':'))
    {
        *cursor = inner;
        return Some(offset);
    }
    let length = inner.0.bytes().take_while(u8::is_ascii_uppercase).count();
    let name = inner.take(length)?;
    let universal = matches!(name, "UTC" | "GMT");
    let ends = match inner.peek() {
        Some(b':') => (3..=5).contains(&length),
        Some(b' ') => universal,
        _ => false,
    };
    if ends {
        *cursor = inner;
    }
    (ends && universal).then_some(0)
}

fn seconds(shown: civil::DateTime) -> Option<i64> {
    Some(TimeZone::UTC.to_timestamp(shown).ok()?.as_second())
}
