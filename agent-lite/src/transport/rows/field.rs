use super::super::times::Fraction;
use super::super::times::write_iso;
use super::super::write::write_integer;
use super::super::write::write_real;
use super::super::write::write_text;
use crate::record::Timestamp;
use crate::record::Value;

/// The fields of one row, each with a comma before it.
pub(super) struct Fields<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// Most bytes of a text.
    pub(super) most: usize,
    /// Whether a text was cut.
    pub(super) cut: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(most: usize, out: &'a mut Vec<u8>) -> Self {
        Self { out, most, cut: false }
    }

    /// Writes what a name is: a comma, quotation marks, a colon.
    pub(super) fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.cut |= write_text(text, self.most, self.out);
    }

    pub(super) fn time(&mut self, name: &str, time: Timestamp, fraction: Fraction) {
        self.name(name);
        self.out.push(b'"');
        write_iso(time, fraction, self.out);
        self.out.push(b'"');
    }

    pub(super) fn integer(&mut self, name: &str, value: i64) {
        self.name(name);
        write_integer(value, self.out);
    }

    /// Writes any value by its kind.
    pub(super) fn value(&mut self, name: &str, value: Value<'_>, fraction: Fraction) {
        match value {
            Value::Text(text) => self.text(name, text),
            Value::Integer(value) => self.integer(name, value),
            Value::Real(value) => {
                self.name(name);
                write_real(value, self.out);
            }
            Value::Time(time) => self.time(name, time, fraction),
            Value::Json(json) if json.len() <= self.most && is_json(json) => {
                self.name(name);
                self.out.extend_from_slice(json.as_bytes());
            }
            Value::Json(other) => self.text(name, other),
        }
    }
}

/// One value that is not JSON would make the whole body none.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
