use super::*;
use proptest::prelude::*;

/// Reads a whole file of bytes that grows by these steps; text and whether it was cut.
fn records(rules: Rules, bytes: &[u8], steps: &[usize]) -> Vec<(String, bool)> {
    let (mut at, mut shown, mut discard, mut found) = (0, 0, Discard::Nothing, Vec::new());
    let mut steps = steps.iter().cycle();
    loop {
        shown = (shown + steps.next().copied().unwrap_or(WINDOW).max(1)).min(bytes.len());
        loop {
            let end = shown.min(at + WINDOW);
            let then = match (end < shown, shown == bytes.len()) {
                (true, _) => Then::More,
                (false, true) => Then::Over,
                (false, false) => Then::Later,
            };
            match rules.next(&bytes[at..end], discard, then) {
                Piece::Record { raw, length, cut, discard: next } => {
                    found.push((rules.text(raw).0.into_owned(), cut));
                    (at, discard) = (at + length, next);
                }
                Piece::Nothing { length, discard: next, .. } => (at, discard) = (at + length, next),
                Piece::Unfinished => break,
            }
        }
        if shown == bytes.len() {
            assert_eq!(at, bytes.len(), "nothing is left behind");
            return found;
        }
    }
}

fn utf16(text: &str, units: Units) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|unit| match units {
            Units::Utf16Be => unit.to_be_bytes(),
            _ => unit.to_le_bytes(),
        })
        .collect()
}

const LINES: Rules = Rules { units: Units::Utf8, start: None };
const TIMES: Rules = Rules { units: Units::Utf8, start: Some(Form::YearFirst) };

#[test]
fn every_line_is_a_record_and_empty_ones_and_nuls_are_none() {
    let cases: [(&[u8], &[&str]); 7] = [
        (b"one\ntwo\r\nthree", &["one", "two", "three"]),
        (b"\n\n\none\n\n", &["one"]),
        (b"\0\0\0\0one\n\0\0", &["one"]),
        (b"o\0ne\n", &["one"]),
        (b"one\rtwo\n", &["one\rtwo"]),
        (b"a\xffb\n", &["a\u{fffd}b"]),
        (b"", &[]),
    ];
    for (bytes, lines) in cases {
        for step in [1, 2, 3, 100] {
            let found: Vec<_> = records(LINES, bytes, &[step]).into_iter().map(|found| found.0).collect();
            assert_eq!(found, lines, "{bytes:?} by {step}");
        }
    }
}

#[test]
fn lines_without_a_time_belong_to_the_record_before() {
    let text =
        "stray\n2026-01-01 00:00:00 a\r\n\tat b\r\n\r\n  c\n2026-01-01 00:00:01 d\n2026-01-01 00:00:02 e";
    let wanted =
        ["stray", "2026-01-01 00:00:00 a\n\tat b\n\n  c", "2026-01-01 00:00:01 d", "2026-01-01 00:00:02 e"];
    for units in [Units::Utf8, Units::Utf16Le, Units::Utf16Be] {
        let bytes = if units == Units::Utf8 { text.as_bytes().to_vec() } else { utf16(text, units) };
        for step in [1, 7, 1000] {
            let found: Vec<_> =
                records(Rules { units, ..TIMES }, &bytes, &[step]).into_iter().map(|found| found.0).collect();
            assert_eq!(found, wanted, "{units:?} by {step}");
        }
    }
}

#[test]
fn a_record_of_ten_megabytes_is_cut_and_the_next_one_is_whole() {
    let long = "x".repeat(10_000_000);
    let found = records(LINES, format!("{long}\nnext\n").as_bytes(), &[50_000]);
    assert_eq!(
        (found[0].1, found[0].0.len(), &found[1..]),
        (true, WINDOW, &[("next".to_owned(), false)][..])
    );
    let lines = format!("2026-01-01 00:00:00 {}\n2026-01-01 00:00:01 next\n", "line\n".repeat(100_000));
    let found = records(TIMES, lines.as_bytes(), &[50_000]);
    assert_eq!((found[0].1, found.len(), found[1].0.as_str()), (true, 2, "2026-01-01 00:00:01 next"));
}

#[test]
fn a_cut_never_splits_a_character() {
    for units in [Units::Utf8, Units::Utf16Le, Units::Utf16Be] {
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{}", "😀".repeat(WINDOW / 2));
            let bytes = if units == Units::Utf8 { text.into_bytes() } else { utf16(&text, units) };
            let found = records(Rules { units, start: None }, &bytes, &[WINDOW]);
            assert!(found.iter().all(|(text, _)| !text.contains('\u{fffd}')), "{units:?} {before}");
        }
    }
}

#[test]
fn a_quiet_file_gives_what_it_has_but_no_half_character() {
    let piece = LINES.next("ab€".as_bytes().get(..4).unwrap(), Discard::Nothing, Then::Quiet);
    assert_eq!(piece, Piece::Record { raw: b"ab", length: 2, cut: false, discard: Discard::Nothing });
    assert_eq!(LINES.next(b"\xe2\x82", Discard::Nothing, Then::Quiet), Piece::Unfinished);
    let wide = Rules { units: Units::Utf16Le, start: None };
    assert_eq!(wide.next(b"a", Discard::Nothing, Then::Quiet), Piece::Unfinished);
    assert!(matches!(wide.next(b"a", Discard::Nothing, Then::Over), Piece::Record { length: 1, .. }));
}

#[test]
fn a_mark_tells_the_units() {
    assert_eq!(Units::marked(b"\xef\xbb\xbfa"), Some((Units::Utf8, 3)));
    assert_eq!(Units::marked(b"\xff\xfea\0"), Some((Units::Utf16Le, 2)));
    assert_eq!(Units::marked(b"\xfe\xff\0a"), Some((Units::Utf16Be, 2)));
    assert_eq!(Units::marked(b"abc"), None);
}

proptest! {
    #[test]
    fn any_growth_gives_the_lines_of_the_whole(
        lines in proptest::collection::vec("[a-zß€😀\t ]{0,30}", 0..40),
        steps in proptest::collection::vec(1usize..200, 1..20),
        units in prop_oneof![Just(Units::Utf8), Just(Units::Utf16Le), Just(Units::Utf16Be)],
        crlf in any::<bool>(),
    ) {
        let text = lines.join(if crlf { "\r\n" } else { "\n" });
        let bytes = if units == Units::Utf8 { text.into_bytes() } else { utf16(&text, units) };
        let found = records(Rules { units, start: None }, &bytes, &steps);
        let wanted: Vec<_> = lines.iter().filter(|line| !line.is_empty()).collect();
        prop_assert_eq!(found.iter().map(|found| &found.0).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn any_growth_gives_the_records_of_the_whole(
        lines in proptest::collection::vec(("[a-z ]{0,30}", any::<bool>()), 1..40),
        steps in proptest::collection::vec(1usize..200, 1..20),
    ) {
        let mut wanted: Vec<String> = Vec::new();
        let mut text = String::new();
        for (line, begins) in &lines {
            let line = if *begins { format!("2026-01-02 03:04:05 {line}") } else { format!("-{line}") };
            match wanted.last_mut() {
                Some(last) if !begins => { last.push('\n'); last.push_str(&line) }
                _ => wanted.push(line.clone()),
            }
            text.push_str(&line);
            text.push('\n');
        }
        let found: Vec<_> = records(TIMES, text.as_bytes(), &steps).into_iter().map(|found| found.0).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn any_bytes_are_read_to_their_end(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(0)], 0..400),
        steps in proptest::collection::vec(1usize..50, 1..10),
        timed in any::<bool>(),
        units in prop_oneof![Just(Units::Utf8), Just(Units::Utf16Le), Just(Units::Utf16Be)],
    ) {
        let start = timed.then_some(Form::Iso8601);
        records(Rules { units, start }, &bytes, &steps);
    }
}
