//! The forms of a record: a line of text, a line of JSON, an entry of the journal.
//!
//! Whatever stands in a field, a line stays one line and no field can be taken for another: what is not
//! printable, and what a form gives a meaning to, is escaped in it.

use std::io::Write;

use serde_json::Value as Json;
use tracing::Level;

use super::entry::Entry;
use super::entry::Kind;

/// Most bytes of an entry of the journal: below what a datagram of a unix socket takes everywhere.
pub(super) const LARGEST_ENTRY: usize = 160 * 1024;
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

impl Form {
    /// Adds a record in this form.
    pub(super) fn write(self, entry: &Entry, out: &mut Vec<u8>) {
        match self {
            Self::Text { colours } => text(entry, colours, out),
            Self::Prefixed => {
                show(out, format_args!("<{}>", priority(entry.level)));
                text(entry, false, out);
            }
            Self::Json => json(entry, out),
            Self::Journal => journal(entry, out),
        }
    }
}

fn text(entry: &Entry, colours: bool, out: &mut Vec<u8>) {
    let time = humantime::format_rfc3339_micros(entry.at);
    let (colour, end) = if colours { (colour(entry.level), "\x1b[0m") } else { ("", "") };
    show(out, format_args!("{time} {colour}{:>5}{end} {}: ", entry.level.as_str(), entry.target));
    match is_plain(entry.message(), ' ') {
        true => put(out, entry.message()),
        false => write_quoted(out, entry.message()),
    }
    for (name, kind, text) in entry.fields() {
        put(out, " ");
        put(out, name);
        put(out, "=");
        match kind {
            Kind::Shown if !text.is_empty() && is_plain(text, '!') => put(out, text),
            Kind::Shown | Kind::String => write_quoted(out, text),
            Kind::Plain => put(out, text),
        }
    }
    put(out, "\n");
}

fn json(entry: &Entry, out: &mut Vec<u8>) {
    show(out, format_args!("{{\"timestamp\":\"{}\"", humantime::format_rfc3339_micros(entry.at)));
    show(out, format_args!(",\"level\":\"{}\"", entry.level.as_str()));
    let mut member = |prefix: &str, name: &str, kind: Kind, value: &str| {
        put(out, ",");
        match prefix {
            "" => write_json(out, name),
            _ => write_json(out, &format!("{prefix}{name}")),
        }
        put(out, ":");
        match kind {
            Kind::Plain => put(out, value),
            Kind::String | Kind::Shown => write_json(out, value),
        }
    };
    for (name, kind, text) in entry.fields() {
        let prefix = if RESERVED.contains(&name) { "field_" } else { "" };
        member(prefix, name, kind, text);
    }
    member("", "message", Kind::String, entry.message());
    member("", "target", Kind::String, entry.target);
    put(out, "}\n");
}

fn journal(entry: &Entry, out: &mut Vec<u8>) {
    let begin = out.len();
    field(out, "PRIORITY", &priority(entry.level).to_string());
    field(out, "SYSLOG_IDENTIFIER", "la-gateway");
    field(out, "MESSAGE", entry.message());
    field(out, "TARGET", entry.target);
    for (name, _, text) in entry.fields() {
        let name = journal_name(name);
        // An empty field says nothing that a missing one does not.
        if !text.is_empty() && out.len() - begin + name.len() + text.len() + 10 <= LARGEST_ENTRY {
            field(out, &name, text);
        }
    }
}

/// The level as syslog counts it.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn show(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
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

/// Says whether a text needs no escape between quotes, as almost all do.
fn is_simple(text: &str) -> bool {
    // Without a way out: the compiler compares many bytes at once.
    let simple = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    text.bytes().fold(true, |all, byte| all & simple(byte))
}

/// Writes a text in quotes, with the escapes of Rust and JavaScript: `\n`, `\"`, `\\`, `\u{202e}`.
fn write_quoted(out: &mut Vec<u8>, text: &str) {
    put(out, "\"");
    if is_simple(text) {
        put(out, text);
    } else {
        for c in text.chars() {
            match c {
                '"' | '\\' => show(out, format_args!("\\{c}")),
                _ if is_printable(c) => put(out, c.encode_utf8(&mut [0; 4])),
                _ => show(out, format_args!("{}", c.escape_default())),
            }
        }
    }
    put(out, "\"");
}

/// Writes a JSON string; serde_json escapes what JSON demands, here the rest of what is not printable is.
fn write_json(out: &mut Vec<u8>, text: &str) {
    if is_simple(text) {
        put(out, "\"");
        put(out, text);
        put(out, "\"");
        return;
    }
    for c in Json::from(text).to_string().chars() {
        if is_printable(c) {
            put(out, c.encode_utf8(&mut [0; 4]));
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            show(out, format_args!("\\u{unit:04x}"));
        }
    }
}

/// Adds a field: `NAME=value`, or with a length where the value has more than one line.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
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
