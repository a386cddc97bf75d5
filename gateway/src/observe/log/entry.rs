//! One record, and its forms: a line of text, a line of JSON, an entry of the journal.
//!
//! Whatever stands in a field, a line stays one line and no field can be taken for another: what is not
//! printable, and what a form gives a meaning to, is escaped in it. Long values are cut.

use std::fmt;
use std::fmt::Write;
use std::time::SystemTime;

use serde_json::Value as Json;
use tracing::Event;
use tracing::Level;
use tracing::field::Field;
use tracing::field::Visit;

/// Most bytes of one value; a message may have as many more times as [`MESSAGE_SHARE`].
pub(super) const LONGEST_VALUE: usize = 4 * 1024;
const MESSAGE_SHARE: usize = 4;
/// Most bytes of an entry of the journal: below what a datagram of a unix socket takes everywhere.
pub(super) const LARGEST_ENTRY: usize = 160 * 1024;
/// Stands where a value was cut.
const CUT: char = '…';
/// Longest name of a journal's field.
const LONGEST_NAME: usize = 64;
/// Keys of a JSON record that are no fields of the event.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "message"];

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line of text.
    Text { colours: bool },
    /// A line of text behind the priority that journald and syslog read, as in `<6>`.
    Prefixed,
    /// A line of JSON.
    Json,
    /// A datagram of the journal's native protocol.
    Journal,
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A string: quoted in text.
    String(String),
    /// Something that was written out: bare in text where it may be.
    Shown(String),
    /// A number or a truth value.
    Plain(Json),
}

/// A record with its fields, in the order of the event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) at: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Entry {
    /// Takes the fields of an event.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut entry = Self {
            at: SystemTime::now(),
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut entry);
        entry
    }

    /// Adds how many records like this one were not written before it.
    pub(super) fn suppressed(&mut self, more: u64) {
        let own = self.fields.iter_mut().find(|(name, _)| *name == "suppressed");
        match own {
            Some((_, value)) => {
                let counted =
                    if let Value::Plain(Json::Number(number)) = value { number.as_u64() } else { None };
                *value = Value::Plain((counted.unwrap_or_default() + more).into());
            }
            None => self.fields.push(("suppressed", Value::Plain(more.into()))),
        }
    }

    /// Returns a text field, or the text of a number.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.to_string())
    }

    /// Writes the record.
    pub(super) fn bytes(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Text { colours } => self.text(colours).into_bytes(),
            Form::Prefixed => format!("<{}>{}", self.priority(), self.text(false)).into_bytes(),
            Form::Json => self.json().into_bytes(),
            Form::Journal => self.journal(),
        }
    }

    fn text(&self, colours: bool) -> String {
        let time = humantime::format_rfc3339_micros(self.at);
        let (colour, end) = if colours { (self.colour(), "\x1b[0m") } else { ("", "") };
        let mut line = format!("{time} {colour}{:>5}{end} {}: ", self.level.as_str(), self.target);
        match is_plain(&self.message, ' ') {
            true => line.push_str(&self.message),
            false => write_quoted(&mut line, &self.message),
        }
        for (name, value) in &self.fields {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            match value {
                Value::Shown(text) if !text.is_empty() && is_plain(text, '!') => line.push_str(text),
                Value::Shown(text) | Value::String(text) => write_quoted(&mut line, text),
                Value::Plain(number) => line.push_str(&number.to_string()),
            }
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let mut line = String::from("{\"timestamp\":\"");
        line.push_str(&humantime::format_rfc3339_micros(self.at).to_string());
        line.push_str("\",\"level\":\"");
        line.push_str(self.level.as_str());
        line.push('"');
        let mut member = |name: &str, value: &Json| {
            line.push(',');
            write_json(&mut line, &Json::from(name));
            line.push(':');
            write_json(&mut line, value);
        };
        for (name, value) in &self.fields {
            let value = match value {
                Value::Shown(text) | Value::String(text) => Json::from(text.as_str()),
                Value::Plain(number) => number.clone(),
            };
            match RESERVED.contains(name) {
                true => member(&format!("field_{name}"), &value),
                false => member(name, &value),
            }
        }
        member("message", &Json::from(self.message.as_str()));
        member("target", &Json::from(self.target));
        line.push_str("}\n");
        line
    }

    fn journal(&self) -> Vec<u8> {
        let mut entry = Vec::with_capacity(1024);
        push(&mut entry, "PRIORITY", &self.priority().to_string());
        push(&mut entry, "SYSLOG_IDENTIFIER", "la-gateway");
        push(&mut entry, "MESSAGE", &self.message);
        push(&mut entry, "TARGET", self.target);
        for (name, value) in &self.fields {
            let (name, value) = (journal_name(name), value.to_string());
            // An empty field says nothing that a missing one does not.
            if !value.is_empty() && entry.len() + name.len() + value.len() + 10 <= LARGEST_ENTRY {
                push(&mut entry, &name, &value);
            }
        }
        entry
    }

    /// The level as syslog counts it.
    fn priority(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        }
    }

    fn colour(&self) -> &'static str {
        match self.level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => "\x1b[34m",
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::String(cut(value.to_owned(), share(field))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::Shown(cut(format!("{value:?}"), share(field))));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::Plain(value.into()));
    }
}

impl Entry {
    fn take(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.to_string(),
            name => self.fields.push((name, value)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) | Self::Shown(text) => f.write_str(text),
            Self::Plain(number) => number.fmt(f),
        }
    }
}

fn share(field: &Field) -> usize {
    if field.name() == "message" { LONGEST_VALUE * MESSAGE_SHARE } else { LONGEST_VALUE }
}

/// Cuts a text to this many bytes, the mark not counted.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push(CUT);
    }
    text
}

/// Says whether a text can stand bare in a line: printable from `least` on, without what quotes or names a field.
fn is_plain(text: &str, least: char) -> bool {
    !text.is_empty()
        && !text.starts_with(' ')
        && text.chars().all(|c| c >= least && is_printable(c) && !matches!(c, '"' | '\\' | '='))
}

/// Control characters, those without a shape, and those that change the direction or the line are not.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || (c > '~' && c.escape_debug().len() == 1)
}

/// Writes a text in quotes, with the escapes of Rust and JavaScript: `\n`, `\"`, `\\`, `\u{202e}`.
fn write_quoted(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            _ if is_printable(c) => line.push(c),
            _ => line.extend(c.escape_default()),
        }
    }
    line.push('"');
}

/// Writes a JSON value; serde_json escapes what JSON demands, here the rest of what is not printable is.
fn write_json(line: &mut String, value: &Json) {
    for c in value.to_string().chars() {
        if is_printable(c) {
            line.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\u{unit:04x}");
        }
    }
}

/// Adds a field: `NAME=value`, or with a length where the value has more than one line.
fn push(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.chars().any(char::is_control) {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// Returns a name as the journal wants it: capitals, digits and underscores, and a letter first.
fn journal_name(name: &str) -> String {
    let shown = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = shown.take(LONGEST_NAME).collect();
    match name.starts_with(|first: char| first.is_ascii_uppercase()) {
        // These are the entry's own.
        true if !matches!(&*name, "MESSAGE" | "PRIORITY" | "SYSLOG_IDENTIFIER" | "TARGET") => name,
        _ => format!("FIELD_{name}").chars().take(LONGEST_NAME).collect(),
    }
}

#[cfg(test)]
mod tests;
