//! One record: an event with its fields, cut to bounded lengths.

use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::time::SystemTime;

use serde_json::Value as Json;
use tracing::Event;
use tracing::Level;
use tracing::field::Field;
use tracing::field::Visit;

/// Most bytes of one value; a message may have as many more times as [`MESSAGE_SHARE`].
pub(super) const LONGEST_VALUE: usize = 4 * 1024;
const MESSAGE_SHARE: usize = 4;
/// Stands where a value was cut.
const CUT: char = '…';
/// A buffer that had to be larger than this is given back.
const KEPT: usize = 64 * 1024;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string: quoted in text.
    String,
    /// Something that was written out: bare in text where it may be.
    Shown,
    /// A number or a truth value, as JSON has it.
    Plain,
}

/// A record with its fields, in the order of the event. It is used again: their texts lie one behind the other
/// in one buffer, so that a record costs no allocation.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'static str,
    text: String,
    message: Range<usize>,
    fields: Vec<(&'static str, Kind, Range<usize>)>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            at: SystemTime::UNIX_EPOCH,
            level: Level::TRACE,
            target: "",
            text: String::new(),
            message: 0..0,
            fields: Vec::new(),
        }
    }
}

impl Entry {
    /// Takes the fields of an event in place of those before.
    pub(super) fn take(&mut self, event: &Event<'_>) {
        let metadata = event.metadata();
        self.clear();
        (self.at, self.level, self.target) = (SystemTime::now(), *metadata.level(), metadata.target());
        event.record(self);
    }

    fn clear(&mut self) {
        if self.text.capacity() > KEPT {
            self.text = String::new();
        }
        self.text.clear();
        self.fields.clear();
        self.message = 0..0;
    }

    /// Adds how many records like this one were not written before it.
    pub(super) fn suppressed(&mut self, more: u64) {
        let own =
            self.fields.iter().position(|(name, kind, _)| (*name, *kind) == ("suppressed", Kind::Plain));
        let counted: u64 = self.field("suppressed").and_then(|text| text.parse().ok()).unwrap_or_default();
        let place = self.add(usize::MAX, |text| write!(text, "{}", counted + more));
        match own.and_then(|at| self.fields.get_mut(at)) {
            Some((_, _, own)) => *own = place,
            None => self.fields.push(("suppressed", Kind::Plain, place)),
        }
    }

    /// Returns the message.
    pub(super) fn message(&self) -> &str {
        self.at(&self.message)
    }

    /// Returns a text field, or the text of a number.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, ..)| *field == name).map(|(_, _, text)| text)
    }

    /// Returns the fields with their texts.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Kind, &str)> {
        self.fields.iter().map(|(name, kind, place)| (*name, *kind, self.at(place)))
    }

    fn at(&self, place: &Range<usize>) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// Writes a text behind the others, cut to this many bytes, and returns where it stands.
    fn add(&mut self, most: usize, write: impl FnOnce(&mut String) -> fmt::Result) -> Range<usize> {
        let begin = self.text.len();
        // Writing to a string cannot fail; what refuses to be shown ends where it does.
        let _ = write(&mut self.text);
        if self.text.len() - begin > most {
            self.text.truncate(self.text.floor_char_boundary(begin + most));
            self.text.push(CUT);
        }
        begin..self.text.len()
    }

    fn push(&mut self, field: &Field, kind: Kind, write: impl FnOnce(&mut String) -> fmt::Result) {
        match field.name() {
            "message" => self.message = self.add(LONGEST_VALUE * MESSAGE_SHARE, write),
            name => {
                let place = self.add(LONGEST_VALUE, write);
                self.fields.push((name, kind, place));
            }
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Kind::String, |text| text.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, Kind::Shown, |text| write!(text, "{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Kind::Plain, |text| text.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Kind::Plain, |text| write!(text, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Kind::Plain, |text| write!(text, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        self.push(field, Kind::Plain, |text| write!(text, "{}", Json::from(value)));
    }
}

#[cfg(test)]
impl Entry {
    /// Makes a record without an event, of no particular time.
    pub(super) fn made(
        level: Level,
        target: &'static str,
        message: &str,
        fields: &[(&'static str, Kind, &str)],
    ) -> Self {
        let mut entry = Self { level, target, ..Self::default() };
        entry.message = entry.add(LONGEST_VALUE * MESSAGE_SHARE, |text| text.write_str(message));
        for (name, kind, value) in fields {
            let place = entry.add(LONGEST_VALUE, |text| text.write_str(value));
            entry.fields.push((name, *kind, place));
        }
        entry
    }
}
