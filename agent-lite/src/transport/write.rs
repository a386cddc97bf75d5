//! JSON, written by hand on the hot path; `serde_json` is the oracle of the tests.

/// Writes text as a JSON string, at most so many bytes of it, and returns whether it was cut.
pub(super) fn write_text(text: &str, most: usize, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    let cut = text.len() > most;
    if cut {
        let (kept, mark) = shorten(text, most);
        write_escaped(kept, out);
        out.extend_from_slice(mark.as_bytes());
    } else {
        write_escaped(text, out);
    }
    out.push(b'"');
    cut
}

/// Returns the whole characters of a text that fit in front of a mark, and the mark if it fits itself.
pub(super) fn shorten(text: &str, most: usize) -> (&str, &'static str) {
    let mark = if most >= CUT.len() { CUT } else { "" };
    let mut end = (most - mark.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default(), mark)
}

/// What stands at the end of a text that was cut.
pub(super) const CUT: &str = "…[cut by agent-lite]";

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Writes text as the inside of a JSON string.
pub(super) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
                }
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// Returns where the first byte is that must be escaped (RFC 8259, section 7): quotation mark, reverse solidus and
/// what is below a space. Whole blocks without one are passed over first: the compiler makes vectors of that.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<16>();
    let clean =
        blocks.iter().take_while(|block| !block.iter().fold(false, |found, byte| found | special(*byte)));
    let passed = clean.count() * 16;
    let rest = bytes.get(passed..)?;
    Some(passed + rest.iter().position(|byte| special(*byte))?)
}

fn special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// Writes an integer.
pub(super) fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a number, `null` if it is not finite.
pub(super) fn write_real(value: f64, out: &mut Vec<u8>) {
    match value.is_finite() {
        true => out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
        false => out.extend_from_slice(b"null"),
    }
}

/// Writes a number as text: a whole one without a fraction, as the legacy agent does.
pub(super) fn write_real_text(value: f64, out: &mut Vec<u8>) {
    out.push(b'"');
    if value.is_finite() {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_marked_if_there_is_room() {
        let text = "ä".repeat(40);
        for most in 0..text.len() {
            let json = written(|out| assert!(write_text(&text, most, out)));
            let back: String = serde_json::from_str(&json).unwrap();
            assert!(back.len() <= most && back.len() + 1 >= most.min(back.len() + 1), "{most}");
            assert_eq!(back.ends_with(CUT), most >= CUT.len(), "{most}");
        }
        assert!(!write_text(&text, text.len(), &mut Vec::new()));
    }

    #[test]
    fn numbers_are_written_so_that_they_come_back() {
        for value in [0.0, -0.0, 72.0, 0.1, 1e300, -5e-324, 1e16, f64::MAX] {
            assert_eq!(written(|out| write_real(value, out)).parse::<f64>().unwrap(), value);
        }
        assert_eq!(written(|out| write_real(f64::NAN, out)), "null");
        assert_eq!(written(|out| write_real_text(72.0, out)), "\"72\"");
        assert_eq!(written(|out| write_real_text(0.25, out)), "\"0.25\"");
        assert_eq!(written(|out| write_integer(i64::MIN, out)), i64::MIN.to_string());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_reads_it(text in any::<String>(), bytes in proptest::collection::vec(0u8..64, 0..40)) {
            let text = text + str::from_utf8(&bytes).unwrap();
            let json = written(|out| assert!(!write_text(&text, usize::MAX, out)));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
