use proptest::prelude::*;

use super::*;

/// Reads a stream in chunks of this size; a message that was cut has `…` at its end.
fn read(stream: &[u8], size: usize, room: usize) -> Vec<String> {
    let mut framer = Framer::default();
    let mut found = Vec::new();
    let text = |message: Framed<'_>| {
        format!("{}{}", String::from_utf8_lossy(message.bytes), if message.cut { "…" } else { "" })
    };
    for mut chunk in stream.chunks(size) {
        while let Some(message) = framer.next(&mut chunk, room) {
            found.push(text(message));
        }
        assert!(framer.held() <= room.max(COUNT_DIGITS + 1), "{} held", framer.held());
    }
    found.extend(framer.end().map(text));
    found
}

#[test]
fn octet_counting_and_lines_are_told_apart_for_each_message_in_chunks_of_any_size() {
    let cases: [(&str, &[&str]); 13] = [
        ("<1>a\n<2>b\n", &["<1>a", "<2>b"]),
        ("4 <1>a5 <2>bc", &["<1>a", "<2>bc"]),
        ("7 <1>a\nb\n<2>c\n", &["<1>a\nb\n", "<2>c"]),
        ("4 <1>a\n4 <2>b\n", &["<1>a", "<2>b"]),
        ("<1>a\n4 <2>b<3>c\n", &["<1>a", "<2>b", "<3>c"]),
        ("<1>a\0<2>b\0", &["<1>a", "<2>b"]),
        ("<1>a\r\n\r\n\n<2>b", &["<1>a\r", "<2>b"]),
        ("2026-11-22 text\n12 monkeys\n", &["2026-11-22 text", "12 monkeys"]),
        // A count that nobody means is a line; so is what follows a wrong one.
        ("999999999 <1>a\n4 <2>b", &["999999999 <1>a", "<2>b"]),
        ("9999999999 <1>a\n4 <2>b", &["9999999999 <1>a", "<2>b"]),
        ("0 <1>a\n4  <2>b\n", &["0 <1>a", "4  <2>b"]),
        ("3 <1>abc\n4 <2>b", &["<1>", "abc", "<2>b"]),
        // The end of the stream ends a line, and cuts a counted message.
        ("<1>last", &["<1>last"]),
    ];
    for (stream, wanted) in cases {
        for size in 1..=stream.len() {
            assert_eq!(read(stream.as_bytes(), size, LARGEST_MESSAGE), wanted, "{stream:?} by {size}");
        }
    }
    assert_eq!(read(b"9 <1>a", 2, LARGEST_MESSAGE), ["<1>a…"]);
}

#[test]
fn a_message_that_is_too_long_is_cut_once_and_the_next_one_is_whole() {
    let long = "x".repeat(3 * LARGEST_MESSAGE);
    for stream in [format!("<1>{long}\n<2>b\n"), format!("{} <1>{long}4 <2>b", long.len() + 3)] {
        for size in [1, 1000, LARGEST_MESSAGE - 1, LARGEST_MESSAGE, 64 * 1024, stream.len()] {
            let found = read(stream.as_bytes(), size, LARGEST_MESSAGE);
            assert_eq!(found.len(), 2, "by {size}");
            assert_eq!(found[0].len(), LARGEST_MESSAGE + "…".len(), "by {size}");
            assert_eq!(found[1], "<2>b");
        }
    }
}

#[test]
fn less_room_cuts_only_what_does_not_fit_between_two_chunks() {
    assert_eq!(read(b"<1>whole in its chunk\n", 100, 4), ["<1>whole in its chunk"]);
    assert_eq!(read(b"<1>abcdef\n<2>b\n", 3, 4), ["<1>a…", "<2>b"]);
}

proptest! {
    #[test]
    fn the_sizes_of_chunks_change_nothing(
        stream in "([1-9]{1,3} ?<?|<1>|[a-c\\n\\x00 ]){0,60}",
        size in 1_usize..9,
    ) {
        let whole = read(stream.as_bytes(), stream.len().max(1), LARGEST_MESSAGE);
        prop_assert_eq!(read(stream.as_bytes(), size, LARGEST_MESSAGE), whole);
    }
}
