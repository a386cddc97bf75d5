//! The W3C extended log file format, as HTTP.sys, IIS and IIS Advanced Logging write it.
//!
//! ```text
//! #Software: Microsoft Internet Information Services 10.0
//! #Date: 2026-11-23 00:00:03
//! #Fields: date time s-ip cs-method cs-uri-stem sc-status time-taken
//! 2026-11-23 00:00:03 10.0.0.4 GET /index.html 200 15
//! ```
//!
//! [`Directives`] are what the lines with `#` have said so far. They are kept with the position in a file, so that
//! reading goes on in its middle. Values stay as they are written: `+` for a space, `%` escapes, `-` for nothing.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;

use crate::record::Column;
use crate::record::Timestamp;

mod fields;
pub mod lines;
mod values;

use self::fields::Field;

/// Most bytes of the object of fields without a column: what the HTTP Data Collector API keeps of a text.
pub const LARGEST_CUSTOM: usize = 32 * 1024;
/// Seconds of the years that a line can have, 0000 to 9999.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
const DAY: i64 = 24 * 60 * 60;
/// The clock of a line went so far back that it is the next day's.
const NEXT_DAY: i64 = DAY / 2;

/// What the directives above a line say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Directives {
    written: Written,
    fields: Vec<Field>,
}

/// What is kept of directives on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// `#Fields`, as it stands.
    fields: String,
    /// Seconds since 1970 of `#Date`, or of the last line: what a line without a date goes by.
    clock: Option<i64>,
    /// Texts stand in quotation marks (Advanced Logging).
    quotes: bool,
}

/// A line that is no directive.
#[derive(Debug, Default, PartialEq)]
pub struct Line<'a> {
    /// When the request was served, UTC.
    pub time: Option<Timestamp>,
    /// What has a column, in the order of the line.
    pub values: Vec<(Column, Content<'a>)>,
    /// The other fields by their own names, as a JSON object.
    pub custom: Option<String>,
    /// What is not as the directives say.
    pub flaw: Option<Flaw>,
    /// A custom field had no room.
    pub cut: bool,
}

/// One value of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// As it stands in the line.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
}

/// Why a line is kept whole beside its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// No `#Fields` stands above it.
    NoFields,
    /// It has fewer values than fields, so its last one may be torn.
    TooFew,
    /// It has more values than fields: only those that are surely in their place are taken.
    TooMany,
    /// A value is no time or number where one belongs.
    Value,
}

impl From<Written> for Directives {
    fn from(mut written: Written) -> Self {
        // It came from a disk: no arithmetic may overflow with it.
        written.clock = written.clock.filter(|clock| YEARS.contains(clock));
        let fields = Field::all(&written.fields);
        Self { written, fields }
    }
}

impl From<Directives> for Written {
    fn from(directives: Directives) -> Self {
        directives.written
    }
}

impl Directives {
    /// Takes a directive; any other line is none.
    pub fn take(&mut self, line: &str) -> bool {
        let Some(directive) = line.strip_prefix('#') else { return false };
        let Some((name, value)) = directive.split_once(':') else { return true };
        let value = value.trim_ascii();
        match name.trim_ascii().to_ascii_lowercase().as_str() {
            "fields" if self.written.fields != value => {
                self.written.fields = Field::kept(value);
                self.fields = Field::all(&self.written.fields);
            }
            "date" | "start-date" => {
                let (date, time) = value.split_once(' ').unwrap_or((value, "00:00:00"));
                let clock = values::day(date).zip(values::clock(time));
                self.written.clock =
                    clock.map(|(day, (second, _))| day * DAY + second).or(self.written.clock);
            }
            "software" => self.written.quotes = value.contains("Advanced Logging"),
            _ => {}
        }
        true
    }

    /// Goes past a line for the sake of those behind it.
    pub fn pass(&mut self, line: &str) {
        if !self.take(line) && self.fields.contains(&Field::Time) && !self.fields.contains(&Field::Date) {
            self.line(line);
        }
    }

    /// Reads a line that is no directive.
    pub fn line<'a>(&mut self, line: &'a str) -> Line<'a> {
        let mut read = Line::default();
        let values = self.values(line);
        read.flaw = match values.len().cmp(&self.fields.len()) {
            _ if self.fields.is_empty() => Some(Flaw::NoFields),
            std::cmp::Ordering::Less => Some(Flaw::TooFew),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Flaw::TooMany),
        };
        let mut custom = Custom::default();
        let (mut date, mut time) = (None, None);
        for (field, value) in self.placed(values, read.flaw) {
            let right = match field {
                Field::Date => place(&mut date, values::day(&value)),
                Field::Time => place(&mut time, values::clock(&value)),
                Field::Text(column) => {
                    read.values.push((*column, Content::Text(value)));
                    true
                }
                Field::Number(column, range) => match value.parse() {
                    Ok(number) if range.contains(&number) => {
                        read.values.push((*column, Content::Number(number)));
                        true
                    }
                    _ => value == "-",
                },
                Field::Custom(name) => {
                    custom.add(name, &value);
                    true
                }
            };
            if !right && read.flaw.is_none() {
                read.flaw = Some(Flaw::Value);
            }
        }
        read.time = self.moment(date, time);
        (read.custom, read.cut) = (custom.object(), custom.cut);
        read
    }

    /// Splits a line. Only Advanced Logging puts texts into quotation marks; to IIS they are letters like others.
    fn values<'a>(&self, line: &'a str) -> Vec<Cow<'a, str>> {
        let count = self.fields.len();
        let plain = || values::plain(line).map(Cow::Borrowed).collect::<Vec<_>>();
        if !line.contains('"') {
            return plain();
        }
        if self.written.quotes {
            return values::quoted(line);
        }
        let found = plain();
        match found.len() == count {
            true => found,
            false => Some(values::quoted(line)).filter(|quoted| quoted.len() == count).unwrap_or(found),
        }
    }

    /// Joins fields and values, as far as they surely belong together.
    fn placed<'a>(
        &self,
        mut values: Vec<Cow<'a, str>>,
        flaw: Option<Flaw>,
    ) -> impl Iterator<Item = (&Field, Cow<'a, str>)> {
        let (count, most) = (self.fields.len(), values.len());
        let (front, back) = match flaw {
            Some(Flaw::TooMany) => {
                let front = self.fields.iter().take_while(|field| !field.is_loose()).count();
                let back = self.fields.iter().rev().take_while(|field| !field.is_loose()).count();
                (front, back.min(count - front))
            }
            Some(Flaw::TooFew) => (most.saturating_sub(1), 0),
            Some(Flaw::NoFields) => (0, 0),
            Some(Flaw::Value) | None => (count, 0),
        };
        let last = values.split_off(most - back);
        values.truncate(front);
        let behind = self.fields.iter().skip(count - back).zip(last);
        self.fields.iter().zip(values).chain(behind)
    }

    /// Returns the time of a line, and keeps it for one that says only the time of the day.
    fn moment(&mut self, date: Option<i64>, time: Option<(i64, i64)>) -> Option<Timestamp> {
        let dated = self.fields.contains(&Field::Date);
        let (second, micros) = time?;
        let day = match (date, self.written.clock) {
            (Some(day), _) => day,
            (None, Some(clock)) if !dated => {
                let next = second + NEXT_DAY < clock.rem_euclid(DAY);
                clock.div_euclid(DAY) + i64::from(next)
            }
            (None, _) => return None,
        };
        if !dated {
            self.written.clock = Some(day * DAY + second);
        }
        Some(Timestamp((day * DAY + second) * 1_000_000 + micros))
    }
}

fn place<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

/// The fields without a column, as a JSON object of at most [`LARGEST_CUSTOM`] bytes.
#[derive(Default)]
struct Custom {
    json: String,
    cut: bool,
}

impl Custom {
    fn add(&mut self, name: &str, value: &str) {
        if value == "-" {
            return;
        }
        let quoted = |text| serde_json::to_string(text).unwrap_or_default();
        let member = format!("{}:{}", quoted(name), quoted(value));
        if self.json.len() + member.len() + 2 > LARGEST_CUSTOM {
            self.cut = true;
            return;
        }
        self.json.push(if self.json.is_empty() { '{' } else { ',' });
        self.json.push_str(&member);
    }

    fn object(&mut self) -> Option<String> {
        if self.json.is_empty() {
            return None;
        }
        self.json.push('}');
        Some(std::mem::take(&mut self.json))
    }
}

#[cfg(test)]
mod tests;
