//! A text log that grows in any steps is read to its end, with the same records as when it is there at once.
#![no_main]

use agent_lite::parse::lines::Discard;
use agent_lite::parse::lines::Piece;
use agent_lite::parse::lines::Rules;
use agent_lite::parse::lines::Then;
use agent_lite::parse::lines::Units;
use agent_lite::parse::lines::WINDOW;
use agent_lite::parse::timestamps::Form;
use agent_lite::record::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(([how, step], text)) = bytes.split_first_chunk::<2>() else { return };
    let units = match how % 3 {
        0 => Units::Utf8,
        1 => Units::Utf16Le,
        _ => Units::Utf16Be,
    };
    let start = match how / 3 % 5 {
        0 => None,
        1 => Some(Form::YearFirst),
        2 => Some(Form::Iso8601),
        3 => Some(Form::Syslog),
        _ => Some(Form::MonthName),
    };
    let rules = Rules { units, start };
    let whole = records(&rules, text, text.len().max(1));
    // A time that is not there whole yet begins no record, so only plain lines are the same in any steps.
    let grown = records(&rules, text, usize::from(*step).max(1));
    if start.is_none() {
        assert_eq!(grown, whole);
    }
});

fn records(rules: &Rules, bytes: &[u8], step: usize) -> Vec<String> {
    let (mut at, mut shown, mut discard, mut found) = (0, 0, Discard::Nothing, Vec::new());
    loop {
        shown = (shown + step).min(bytes.len());
        loop {
            let end = shown.min(at + WINDOW);
            let then = match (end < shown, shown == bytes.len()) {
                (true, _) => Then::More,
                (false, true) => Then::Over,
                (false, false) => Then::Later,
            };
            match rules.next(bytes.get(at..end).unwrap_or_default(), discard, then) {
                Piece::Record { raw, length, discard: next, .. } => {
                    if let Some(time) = rules.time(raw) {
                        let _ = time.instant(&TimeZone::UTC, Timestamp(1_795_369_804_000_000));
                    }
                    found.push(rules.text(raw).0.into_owned());
                    assert!(length > 0);
                    (at, discard) = (at + length, next);
                }
                Piece::Nothing { length, discard: next, .. } => {
                    assert!(length > 0);
                    (at, discard) = (at + length, next);
                }
                Piece::Unfinished => break,
            }
        }
        if shown == bytes.len() {
            assert_eq!(at, bytes.len(), "nothing is left behind");
            return found;
        }
    }
}
