/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    /// Returns the byte that is next.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.as_bytes().first().copied()
    }

    /// Passes an ASCII byte if it is next.
    pub(super) fn skip(&mut self, byte: u8) -> bool {
        debug_assert!(byte.is_ascii());
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.0 = self.0.get(1..).unwrap_or_default();
        }
        is_next
    }

    /// Passes an ASCII byte that must be next.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip(byte).then_some(())
    }

    /// Reads so many digits at least, and at most; at most nine.
    pub(super) fn number(&mut self, fewest: usize, most: usize) -> Option<u32> {
        debug_assert!(most <= 9);
        let mut value = 0;
        let mut length = 0;
        for byte in self.0.bytes().take(most) {
            if !byte.is_ascii_digit() {
                break;
            }
            value = value * 10 + u32::from(byte - b'0');
            length += 1;
        }
        if length < fewest {
            return None;
        }
        self.0 = self.0.get(length..)?;
        Some(value)
    }

    /// Reads so many bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads up to a space, which is passed; up to the end if there is none.
    pub(super) fn word(&mut self) -> &'a str {
        let end = memchr::memchr(b' ', self.0.as_bytes()).unwrap_or(self.0.len());
        let word = self.take(end).unwrap_or_default();
        self.skip(b' ');
        word
    }
}
