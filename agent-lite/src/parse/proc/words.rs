/// Returns the lines that are not empty.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// Returns the words between blanks.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Reads a number; none if there is a sign, a point, anything else, or more than 64 bits.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    let digit = |sum: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0, digit)
}

/// Reads the values of lines like `name: 123 kB` into the places of these names.
pub(super) fn named<const N: usize>(text: &[u8], names: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    for line in lines(text) {
        let mut words = words(line);
        let Some(name) = words.next() else { continue };
        let name = name.strip_suffix(b":").unwrap_or(name);
        for (place, wanted) in found.iter_mut().zip(names) {
            if wanted.as_bytes() == name {
                *place = words.next().and_then(number);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_of_64_bits_are_numbers() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "-1", "1.5", "18446744073709551616", "0x1", "1kB"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
