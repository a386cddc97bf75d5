//! Bytes of a file become records: a line each, or a line that begins with a time and those after it.
//!
//! Nothing is kept between calls but a position and a [`Discard`]: whoever reads shows the bytes from the
//! position on, as many as there are up to [`WINDOW`], takes the pieces and moves the position behind them.
//! What is no whole record yet is simply shown again.

use std::borrow::Cow;

use encoding_rs::UTF_16BE;
use encoding_rs::UTF_16LE;
use memchr::memchr;

use crate::parse::timestamps;
use crate::parse::timestamps::Form;
use crate::parse::timestamps::Written;
use crate::record::LARGEST_FIELD;

/// Bytes that are shown at once: a record of [`LARGEST_FIELD`] and its end fit. A longer one is cut.
pub const WINDOW: usize = LARGEST_FIELD + 1024;

/// How characters lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// UTF-8.
    Utf8,
    /// UTF-16, little end first.
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
}

/// What is left out because it belongs to a record that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Discard {
    /// Nothing.
    #[default]
    Nothing,
    /// The rest of the line.
    Line,
    /// Whole lines, until one begins a record.
    Record,
}

/// What follows the bytes that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More, right now: the window is full.
    More,
    /// Perhaps more, later.
    Later,
    /// Nothing for so long that what is there is a record.
    Quiet,
    /// Nothing, ever.
    Over,
}

/// What the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A record.
    Record {
        /// Its bytes, for [`Rules::text`].
        raw: &'a [u8],
        /// Bytes to move on.
        length: usize,
        /// Whether its end is missing.
        cut: bool,
        /// What to leave out after it.
        discard: Discard,
    },
    /// Bytes that belong to no record.
    Nothing {
        /// Bytes to move on, at least one.
        length: usize,
        /// What to leave out after them.
        discard: Discard,
        /// Whether they were NULs, as a crash or a truncation under a writer leaves them.
        nuls: bool,
    },
    /// No whole record yet.
    Unfinished,
}

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How characters lie in it.
    pub units: Units,
    /// The time that a record begins with; none: every line is a record.
    pub start: Option<Form>,
}

impl Units {
    /// Returns what the mark at the beginning of a file says, and the mark's length.
    pub fn marked(head: &[u8]) -> Option<(Self, usize)> {
        match head {
            [0xef, 0xbb, 0xbf, ..] => Some((Self::Utf8, 3)),
            [0xff, 0xfe, ..] => Some((Self::Utf16Le, 2)),
            [0xfe, 0xff, ..] => Some((Self::Utf16Be, 2)),
            _ => None,
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Utf8 => 1,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    /// Returns where the first line ends and the next begins.
    fn line_end(self, bytes: &[u8]) -> Option<(usize, usize)> {
        let end = match self {
            Self::Utf8 => memchr(b'\n', bytes)?,
            Self::Utf16Le => 2 * bytes.as_chunks().0.iter().position(|unit| unit == &[b'\n', 0])?,
            Self::Utf16Be => 2 * bytes.as_chunks().0.iter().position(|unit| unit == &[0, b'\n'])?,
        };
        Some((end, end + self.width()))
    }

    fn nuls(self, bytes: &[u8]) -> usize {
        let run = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        run - run % self.width()
    }

    /// Returns the length of the bytes without a character at their end that is not all there.
    fn whole(self, bytes: &[u8]) -> usize {
        match self {
            Self::Utf8 => {
                let back = bytes.iter().rev().take(4).take_while(|&&byte| byte & 0xc0 == 0x80).count();
                let lead = bytes.len().checked_sub(back + 1).and_then(|at| Some((at, *bytes.get(at)?)));
                match lead {
                    Some((at, 0xf0..=0xf7)) if back < 3 => at,
                    Some((at, 0xe0..=0xef)) if back < 2 => at,
                    Some((at, 0xc0..=0xdf)) if back < 1 => at,
                    _ => bytes.len(),
                }
            }
            Self::Utf16Le | Self::Utf16Be => {
                let even = bytes.len() - bytes.len() % 2;
                let high = match self {
                    Self::Utf16Le => even.checked_sub(1),
                    _ => even.checked_sub(2),
                };
                let surrogate = high.and_then(|at| bytes.get(at)).is_some_and(|byte| byte & 0xfc == 0xd8);
                if surrogate { even - 2 } else { even }
            }
        }
    }

    /// Copies the first characters as ASCII and returns them.
    fn ascii<'a>(self, line: &'a [u8], into: &'a mut [u8; timestamps::LONGEST]) -> &'a [u8] {
        let high = match self {
            Self::Utf8 => return line,
            Self::Utf16Le => 1,
            Self::Utf16Be => 0,
        };
        let mut count = 0;
        for (unit, to) in line.as_chunks::<2>().0.iter().zip(into.iter_mut()) {
            let [first, second] = *unit;
            let (zero, letter) = if high == 1 { (second, first) } else { (first, second) };
            if zero != 0 {
                break;
            }
            *to = letter;
            count += 1;
        }
        into.get(..count).unwrap_or_default()
    }
}

impl Rules {
    /// Returns what the bytes begin with. Show at most [`WINDOW`] of them.
    pub fn next<'a>(&self, bytes: &'a [u8], discard: Discard, then: Then) -> Piece<'a> {
        if bytes.is_empty() {
            return Piece::Unfinished;
        }
        match discard {
            Discard::Nothing => self.record(bytes, then),
            Discard::Line => self.rest_of_line(bytes, then),
            Discard::Record => self.rest_of_record(bytes, then),
        }
    }

    /// Returns a record's text: CRs before LFs and NULs left out, what is no text replaced; and whether anything
    /// was.
    pub fn text<'a>(&self, raw: &'a [u8]) -> (Cow<'a, str>, bool) {
        let (mut text, mut replaced) = match self.units {
            Units::Utf8 => match str::from_utf8(raw) {
                Ok(text) => (Cow::Borrowed(text), false),
                Err(_) => (String::from_utf8_lossy(raw), true),
            },
            Units::Utf16Le => UTF_16LE.decode_without_bom_handling(raw),
            Units::Utf16Be => UTF_16BE.decode_without_bom_handling(raw),
        };
        if memchr(0, text.as_bytes()).is_some() {
            text.to_mut().retain(|letter| letter != '\0');
            replaced = true;
        }
        if text.ends_with('\r') {
            text = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\r').unwrap_or(text)),
                Cow::Owned(mut text) => {
                    text.pop();
                    Cow::Owned(text)
                }
            };
        }
        if self.start.is_some() && text.contains("\r\n") {
            text = Cow::Owned(text.replace("\r\n", "\n"));
        }
        (text, replaced)
    }

    /// Returns the time that a record begins with.
    pub fn time(&self, raw: &[u8]) -> Option<Written> {
        timestamps::read(self.start?, self.units.ascii(raw, &mut [0; timestamps::LONGEST]))
    }

    fn record<'a>(&self, bytes: &'a [u8], then: Then) -> Piece<'a> {
        let nuls = self.units.nuls(bytes);
        if nuls > 0 {
            return Piece::Nothing { length: nuls, discard: Discard::Nothing, nuls: true };
        }
        let found = match self.start {
            None => self.units.line_end(bytes),
            Some(_) => self.record_end(bytes, then),
        };
        if let Some((end, length)) = found {
            let raw = bytes.get(..end).unwrap_or_default();
            if self.units.is_blank(raw) {
                return Piece::Nothing { length, discard: Discard::Nothing, nuls: false };
            }
            return Piece::Record { raw, length, cut: false, discard: Discard::Nothing };
        }
        match then {
            Then::Later => Piece::Unfinished,
            Then::More if bytes.len() < WINDOW - 4 => Piece::Unfinished,
            Then::More => self.cut(bytes),
            Then::Quiet | Then::Over => self.unended(bytes, then),
        }
    }

    /// The end of a record of lines: the last LF before a line that begins one.
    fn record_end(&self, bytes: &[u8], then: Then) -> Option<(usize, usize)> {
        let mut at = 0;
        loop {
            let (end, next) = self.units.line_end(bytes.get(at..)?)?;
            let (end, next) = (at + end, at + next);
            if self.begins(bytes.get(next..)?, then)? {
                return Some((end, next));
            }
            at = next;
        }
    }

    /// Returns whether a record begins here, or nothing if there are too few bytes to tell.
    fn begins(&self, bytes: &[u8], then: Then) -> Option<bool> {
        let enough = bytes.len() >= timestamps::LONGEST * self.units.width()
            || (matches!(then, Then::Quiet | Then::Over) && !bytes.is_empty());
        let line = match self.units.line_end(bytes) {
            Some((end, _)) => bytes.get(..end)?,
            None if enough => bytes,
            None => return None,
        };
        Some(self.time(line).is_some())
    }

    fn cut<'a>(&self, bytes: &'a [u8]) -> Piece<'a> {
        let mut length = self.units.whole(bytes);
        if self.start.is_some() {
            length = self.before_undecided(bytes).unwrap_or(length);
        }
        let raw = bytes.get(..length).unwrap_or_default();
        let at_line_end = self.units.strip_line_end(raw).len() < raw.len();
        let discard = match self.start {
            Some(_) if at_line_end => Discard::Record,
            _ => Discard::Line,
        };
        Piece::Record { raw, length, cut: true, discard }
    }

    /// Returns the length of the bytes before a last line that is too short to tell whether it begins a record.
    fn before_undecided(&self, bytes: &[u8]) -> Option<usize> {
        let from = bytes.len().saturating_sub(timestamps::LONGEST * self.units.width());
        let mut at = from - from % self.units.width();
        let mut last = None;
        while let Some((_, next)) = self.units.line_end(bytes.get(at..)?) {
            at += next;
            last = Some(at);
        }
        last
    }

    fn unended<'a>(&self, bytes: &'a [u8], then: Then) -> Piece<'a> {
        let length = if then == Then::Over { bytes.len() } else { self.units.whole(bytes) };
        let whole = bytes.get(..length).unwrap_or_default();
        let raw = self.units.strip_line_end(whole);
        match (whole.is_empty(), self.units.is_blank(raw)) {
            (true, _) => Piece::Unfinished,
            (false, true) => Piece::Nothing { length, discard: Discard::Nothing, nuls: false },
            (false, false) => Piece::Record { raw, length, cut: false, discard: Discard::Nothing },
        }
    }

    fn rest_of_line<'a>(&self, bytes: &'a [u8], then: Then) -> Piece<'a> {
        let after = match self.start {
            Some(_) => Discard::Record,
            None => Discard::Nothing,
        };
        if let Some((_, length)) = self.units.line_end(bytes) {
            return Piece::Nothing { length, discard: after, nuls: false };
        }
        let length =
            if then == Then::Over { bytes.len() } else { bytes.len() - bytes.len() % self.units.width() };
        match length {
            0 => Piece::Unfinished,
            length => Piece::Nothing { length, discard: Discard::Line, nuls: false },
        }
    }

    fn rest_of_record<'a>(&self, bytes: &'a [u8], then: Then) -> Piece<'a> {
        match (self.begins(bytes, then), self.units.line_end(bytes)) {
            (Some(true), _) => self.record(bytes, then),
            (Some(false), Some((_, length))) => {
                Piece::Nothing { length, discard: Discard::Record, nuls: false }
            }
            (Some(false), None) => self.rest_of_line(bytes, then),
            (None, _) if matches!(then, Then::Quiet | Then::Over) => self.record(bytes, then),
            (None, _) => Piece::Unfinished,
        }
    }
}

impl Units {
    /// Returns whether there is nothing, or only the CR of an empty line.
    fn is_blank(self, raw: &[u8]) -> bool {
        match self {
            Self::Utf8 => matches!(raw, [] | [b'\r']),
            Self::Utf16Le => matches!(raw, [] | [b'\r', 0]),
            Self::Utf16Be => matches!(raw, [] | [0, b'\r']),
        }
    }

    fn strip_line_end(self, raw: &[u8]) -> &[u8] {
        let end: &[u8] = match self {
            Self::Utf8 => b"\n",
            Self::Utf16Le => b"\n\0",
            Self::Utf16Be => b"\0\n",
        };
        raw.strip_suffix(end).unwrap_or(raw)
    }
}

#[cfg(test)]
mod tests;
