//! The eight forms of time with which a record of a custom text log may begin (Azure Monitor, "Collect
//! text logs", record delimiters). Plain matching of the first bytes of a line, no patterns.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::tz::TimeZone;

use crate::record::Timestamp;

/// Most bytes of a line that any form looks at.
pub const LONGEST: usize = 40;
/// How far ahead of now a time without a year may be before it is last year's.
const AHEAD: i64 = 2 * 24 * 60 * 60 * 1_000_000;

/// A form of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `YYYY-MM-DD HH:MM:SS`, with a fraction if there is one.
    YearFirst,
    /// `M/D/YYYY HH:MM:SS AM/PM`
    MonthFirst,
    /// `Mon DD, YYYY HH:MM:SS`
    MonthName,
    /// `yyMMdd HH:mm:ss`
    Short,
    /// `ddMMyy HH:mm:ss`
    ShortDayFirst,
    /// `MMM d hh:mm:ss`
    Syslog,
    /// `dd/MMM/yyyy:HH:mm:ss zzz`
    WebServer,
    /// `yyyy-MM-ddTHH:mm:ssK`, with a fraction if there is one; no `K` is the local zone.
    Iso8601,
}

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Written {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    microsecond: i32,
    /// Seconds east of Greenwich.
    offset: Option<i32>,
}

/// Reads the time at the beginning of a line, or finds that there is none of this form.
pub fn read(form: Form, line: &[u8]) -> Option<Written> {
    // Nearly every line that is none ends here.
    let first = line.first()?;
    let letters = matches!(form, Form::MonthName | Form::Syslog);
    if letters != first.is_ascii_alphabetic() {
        return None;
    }
    let mut text = Text(line.get(..LONGEST).unwrap_or(line));
    let mut time = Written::default();
    match form {
        Form::YearFirst => {
            text.year_first(&mut time)?;
            text.literal(b' ')?;
            text.clock(&mut time, 2)?;
            text.fraction(&mut time);
        }
        Form::MonthFirst => {
            time.month = text.number(1, 2)?;
            text.literal(b'/')?;
            time.day = text.number(1, 2)?;
            text.literal(b'/')?;
            time.year = Some(text.number(4, 4)?);
            text.literal(b' ')?;
            text.clock(&mut time, 1)?;
            text.half(&mut time)?;
        }
        Form::MonthName => {
            time.month = text.month()?;
            text.literal(b' ')?;
            time.day = text.number(1, 2)?;
            text.literal(b',')?;
            text.literal(b' ')?;
            time.year = Some(text.number(4, 4)?);
            text.literal(b' ')?;
            text.clock(&mut time, 2)?;
        }
        Form::Short => {
            time.year = Some(2000 + text.number::<i16>(2, 2)?);
            (time.month, time.day) = (text.number(2, 2)?, text.number(2, 2)?);
            text.literal(b' ')?;
            text.clock(&mut time, 2)?;
        }
        Form::ShortDayFirst => {
            (time.day, time.month) = (text.number(2, 2)?, text.number(2, 2)?);
            time.year = Some(2000 + text.number::<i16>(2, 2)?);
            text.literal(b' ')?;
            text.clock(&mut time, 2)?;
        }
        Form::Syslog => {
            time.month = text.month()?;
            text.literal(b' ')?;
            let _ = text.literal(b' ');
            time.day = text.number(1, 2)?;
            text.literal(b' ')?;
            text.clock(&mut time, 2)?;
        }
        Form::WebServer => {
            time.day = text.number(2, 2)?;
            text.literal(b'/')?;
            time.month = text.month()?;
            text.literal(b'/')?;
            time.year = Some(text.number(4, 4)?);
            text.literal(b':')?;
            text.clock(&mut time, 2)?;
            text.literal(b' ')?;
            time.offset = Some(text.offset()?);
        }
        Form::Iso8601 => {
            text.year_first(&mut time)?;
            text.literal(b'T')?;
            text.clock(&mut time, 2)?;
            text.fraction(&mut time);
            time.offset = match text.literal(b'Z') {
                Some(()) => Some(0),
                None => text.offset(),
            };
        }
    }
    time.is_possible().then_some(time)
}

impl Written {
    /// Returns the instant, read in this zone if none was written. A time without a year is the last one that
    /// is not ahead of now. A time that never was, like 30 February, is none.
    pub fn instant(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        if let Some(year) = self.year {
            return self.in_year(year, zone);
        }
        let today = jiff::Timestamp::from_microsecond(now.0).ok()?;
        let year = zone.to_datetime(today).year();
        // A day either side of New Year belongs to the year next door.
        [year.saturating_add(1), year, year.saturating_sub(1)]
            .into_iter()
            .filter_map(|year| self.in_year(year, zone))
            .find(|time| time.0 <= now.0.saturating_add(AHEAD))
    }

    fn in_year(&self, year: i16, zone: &TimeZone) -> Option<Timestamp> {
        let (second, nanosecond) = (self.second.min(59), self.microsecond.checked_mul(1000)?);
        let civil =
            DateTime::new(year, self.month, self.day, self.hour, self.minute, second, nanosecond).ok()?;
        let instant = match self.offset {
            Some(seconds) => Offset::from_seconds(seconds).ok()?.to_timestamp(civil).ok()?,
            None => zone.to_timestamp(civil).ok()?,
        };
        Some(Timestamp(instant.as_microsecond()))
    }

    fn is_possible(&self) -> bool {
        (1..=12).contains(&self.month)
            && (1..=31).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..=60).contains(&self.second)
    }
}

struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn literal(&mut self, wanted: u8) -> Option<()> {
        let (&first, rest) = self.0.split_first()?;
        (first == wanted).then(|| self.0 = rest)
    }

    fn number<N: TryFrom<u32>>(&mut self, least: usize, most: usize) -> Option<N> {
        let digits = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits).filter(|_| digits >= least)?;
        self.0 = rest;
        let value = number.iter().fold(0, |value: u32, digit| value * 10 + u32::from(digit - b'0'));
        N::try_from(value).ok()
    }

    fn year_first(&mut self, time: &mut Written) -> Option<()> {
        time.year = Some(self.number(4, 4)?);
        self.literal(b'-')?;
        time.month = self.number(2, 2)?;
        self.literal(b'-')?;
        time.day = self.number(2, 2)?;
        Some(())
    }

    fn clock(&mut self, time: &mut Written, hour_digits: usize) -> Option<()> {
        time.hour = self.number(hour_digits, 2)?;
        self.literal(b':')?;
        time.minute = self.number(2, 2)?;
        self.literal(b':')?;
        time.second = self.number(2, 2)?;
        (!self.0.first().is_some_and(u8::is_ascii_digit)).then_some(())
    }

    /// `AM` or `PM`, of an hour from 1 to 12.
    fn half(&mut self, time: &mut Written) -> Option<()> {
        self.literal(b' ')?;
        let (word, rest) = self.0.split_at_checked(2)?;
        let later = match word {
            word if word.eq_ignore_ascii_case(b"AM") => 0,
            word if word.eq_ignore_ascii_case(b"PM") => 12,
            _ => return None,
        };
        self.0 = rest;
        time.hour = (1..=12).contains(&time.hour).then_some(time.hour % 12 + later)?;
        Some(())
    }

    fn month(&mut self) -> Option<i8> {
        const NAMES: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let (name, rest) = self.0.split_at_checked(3)?;
        let at = NAMES.chunks(3).position(|known| known.eq_ignore_ascii_case(name))?;
        self.0 = rest;
        i8::try_from(at + 1).ok()
    }

    /// `+hh:mm` or `+hhmm`.
    fn offset(&mut self) -> Option<i32> {
        let (&sign, rest) = self.0.split_first()?;
        let sign = match sign {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = rest;
        let hours: i32 = self.number(2, 2)?;
        let _ = self.literal(b':');
        let minutes: i32 = self.number(2, 2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }

    fn fraction(&mut self, time: &mut Written) {
        let Some((b'.' | b',', rest)) = self.0.split_first() else { return };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = rest.split_at_checked(digits).unwrap_or((rest, b""));
        if digits > 0 {
            let six = fraction.iter().chain([b'0'; 6].iter()).take(6);
            time.microsecond = six.fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests;
