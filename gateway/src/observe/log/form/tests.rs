//! Whatever stands in a field: one line, one entry, and every field comes back as it went in.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::observe::log::entry::LONGEST_VALUE;
use text_line::TextLine;

#[path = "../../../../../tests/src/text_line.rs"]
#[allow(unreachable_pub, dead_code, reason = "the journeys use more of it")]
mod text_line;

/// Names as this program and its libraries use them, and some that are taken.
const NAMES: [&str; 6] = ["event_id", "client", "message2", "timestamp", "target", "log.file"];

/// Makes a record as an event would.
fn entry(level: Level, message: &str, values: &[(&'static str, Kind, &str)]) -> Entry {
    Entry::made(level, "access", message, values)
}

fn bytes(entry: &Entry, form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    form.write(entry, &mut out);
    out
}

/// Text that ends lines, forges fields, moves the cursor or changes the direction; from any bytes.
fn any_text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\0",
        "\x1b[2J",
        "\u{7f}",
        "\u{85}",
        "\u{9b}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{2066}",
        "\u{feff}",
        "\u{10ffff}",
        " event_id=101",
        "\" event_id=101 x=\"",
        "\"}\n{\"event_id\":101}",
        "\nPRIORITY=0\nMESSAGE=forged\n",
        "\\",
        "\\n",
        "\\u{a}",
        "=",
        " ",
    ]);
    let bytes =
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|b| String::from_utf8_lossy(&b).into_owned());
    let piece = prop_oneof![hostile.prop_map(str::to_owned), bytes, "[ -~]{0,20}", Just("é".repeat(5000))];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_in_any_field_is_one_line_and_comes_back(
        message in any_text(),
        values in prop::collection::vec(any_text(), NAMES.len()),
    ) {
        let kinds = [Kind::String, Kind::Shown].into_iter().cycle();
        let fields: Vec<_> =
            NAMES.into_iter().zip(kinds).zip(&values).map(|((name, kind), text)| (name, kind, &**text)).collect();
        let entry = entry(Level::WARN, &message, &fields);
        let texts: Vec<String> = entry.fields().map(|(_, _, text)| text.to_owned()).collect();

        let json = String::from_utf8(bytes(&entry, Form::Json)).expect("text");
        assert_one_clean_line(&json);
        let object: serde_json::Map<String, Json> = serde_json::from_str(&json).expect("an object");
        prop_assert_eq!(object.len(), NAMES.len() + 4);
        prop_assert_eq!(object["message"].as_str(), Some(entry.message()));
        for (name, text) in NAMES.iter().zip(&texts) {
            let name = if RESERVED.contains(name) { format!("field_{name}") } else { (*name).to_owned() };
            prop_assert_eq!(object[&name].as_str(), Some(text.as_str()));
        }

        for form in [Form::Text { colours: false }, Form::Prefixed] {
            let line = String::from_utf8(bytes(&entry, form)).expect("text");
            assert_one_clean_line(&line);
            let (said, fields) = read_text(&line);
            prop_assert_eq!(said, entry.message());
            let wanted: Vec<_> = NAMES.iter().map(|name| (*name).to_owned()).zip(texts.clone()).collect();
            prop_assert_eq!(fields, wanted);
        }

        let fields = read_journal(&bytes(&entry, Form::Journal));
        prop_assert_eq!(&fields["PRIORITY"], "4");
        prop_assert_eq!(fields["MESSAGE"].as_str(), entry.message());
        prop_assert_eq!(&fields["TARGET"], "access");
        for (name, text) in NAMES.iter().zip(&texts) {
            let found = fields.get(&journal_name(name)).map(String::as_str).unwrap_or_default();
            prop_assert_eq!(found, text.as_str());
        }
    }
}

#[test]
fn everyday_records_read_as_they_always_did() {
    let fields = [
        ("event_id", Kind::Plain, "101"),
        ("kind", Kind::String, "proxy"),
        ("address", Kind::Shown, "127.0.0.1:8080"),
        ("user", Kind::String, ""),
    ];
    let entry = entry(Level::INFO, "listening", &fields);
    let text = String::from_utf8(bytes(&entry, Form::Prefixed)).expect("text");
    let wanted = "<6>1970-01-01T00:00:00.000000Z  INFO access: listening event_id=101 kind=\"proxy\" \
                  address=127.0.0.1:8080 user=\"\"\n";
    assert_eq!(text, wanted);
    let journal = read_journal(&bytes(&entry, Form::Journal));
    let wanted = [
        ("ADDRESS", "127.0.0.1:8080"),
        ("EVENT_ID", "101"),
        ("KIND", "proxy"),
        ("MESSAGE", "listening"),
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "la-gateway"),
        ("TARGET", "access"),
    ];
    assert_eq!(journal, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn the_longest_record_fits_one_datagram() {
    let long = "\n".repeat(LONGEST_VALUE * 10);
    let entry = entry(Level::INFO, &long, &[("client", Kind::String, &*long); 64]);
    assert!(bytes(&entry, Form::Journal).len() <= LARGEST_ENTRY);
}

#[test]
fn names_are_what_the_journal_takes() {
    let cases = [
        ("event_id", "EVENT_ID"),
        ("log.file", "LOG_FILE"),
        ("_pid", "FIELD__PID"),
        ("message", "FIELD_MESSAGE"),
    ];
    for (name, wanted) in cases {
        assert_eq!(journal_name(name), wanted);
    }
    assert!(journal_name(&"x".repeat(100)).len() <= LONGEST_NAME);
}

#[track_caller]
fn assert_one_clean_line(line: &str) {
    let inner = line.strip_suffix('\n').expect("a whole line");
    let foul = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!inner.contains(foul), "{inner:?}");
}

/// Reads a line of text with the reader that the journeys use.
fn read_text(line: &str) -> (String, Vec<(String, String)>) {
    let line = line.trim_end_matches('\n');
    let read = TextLine::read(line.strip_prefix("<4>").unwrap_or(line));
    assert_eq!(read.target, "access");
    (read.message, read.fields)
}

/// Reads an entry as journald does.
fn read_journal(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("the end of a line");
        let line = &bytes[..end];
        let (name, value, used) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], &line[at + 1..], end + 1),
            None => {
                let length =
                    u64::from_le_bytes(bytes[end + 1..end + 9].try_into().expect("eight bytes")) as usize;
                assert_eq!(bytes[end + 9 + length], b'\n');
                (line, &bytes[end + 9..end + 9 + length], end + 10 + length)
            }
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert!(fields.insert(text(name), text(value)).is_none(), "a field stands twice");
        bytes = &bytes[used..];
    }
    fields
}
