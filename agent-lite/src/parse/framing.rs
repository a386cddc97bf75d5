//! Cuts a stream into messages (RFC 6587): octet counting and lines, told apart for each message.
//!
//! ```text
//! 1*9DIGIT SP "<"   octet counting: so many bytes from "<" on
//! anything else     a line, up to LF or NUL
//! ```
//!
//! A count is believed only in front of `<` (every message begins with its PRI there) and up to [`LARGEST_COUNT`]:
//! text that begins with a number is a line, and after a wrong count the stream is in step again at the next
//! line's end. A message longer than the framer may hold is handed out without its end, once, and the rest of it
//! is passed over. Between two chunks the framer owns the unfinished message and nothing else.

use crate::record::LARGEST_FIELD;

/// Most bytes of a message that are kept: the longest text, and a header.
pub const LARGEST_MESSAGE: usize = LARGEST_FIELD + 1024;
/// The largest octet count that is believed: 16 MiB.
pub const LARGEST_COUNT: usize = 16 * 1024 * 1024;
/// A count has so many digits at most.
const COUNT_DIGITS: usize = 9;

/// A message out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether bytes at its end are missing.
    pub cut: bool,
}

/// Cuts one connection's stream.
#[derive(Debug, Default)]
pub struct Framer {
    state: State,
    /// The beginning of a message whose end is not there yet, a count in front of it included.
    held: Vec<u8>,
    /// What is held was handed out.
    handed_out: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages, or within what may be a count.
    #[default]
    Begin,
    /// So many bytes of the message are still to come.
    Counted(usize),
    /// Up to the line's end.
    Line,
    /// The rest of a counted message is passed over.
    PassCounted(usize),
    /// The rest of a line is passed over.
    PassLine,
}

enum Step {
    /// The message ends behind so many bytes, of which the last ones end the line.
    Ends { length: usize, behind: usize },
    /// All there is belongs to the message.
    More,
}

impl Framer {
    /// Returns how many bytes it holds.
    pub fn held(&self) -> usize {
        if self.handed_out { 0 } else { self.held.len() }
    }

    /// Takes the next message out of a chunk; without one, the chunk is used up. `room` is the most it may hold.
    pub fn next<'a, 'b: 'a>(&'a mut self, chunk: &mut &'b [u8], room: usize) -> Option<Framed<'a>> {
        if std::mem::take(&mut self.handed_out) {
            self.held = Vec::new();
        }
        loop {
            match self.state {
                State::Begin => self.begin(chunk)?,
                State::PassCounted(left) => {
                    let passed = left.min(chunk.len());
                    *chunk = chunk.get(passed..)?;
                    self.state = State::PassCounted(left - passed);
                    if passed < left {
                        return None;
                    }
                    self.state = State::Begin;
                }
                State::PassLine => match line_end(chunk) {
                    Some(end) => {
                        *chunk = chunk.get(end + 1..)?;
                        self.state = State::Begin;
                    }
                    None => {
                        *chunk = &[];
                        return None;
                    }
                },
                State::Counted(_) | State::Line => break,
            }
        }
        self.message(chunk, room)
    }

    /// Takes what is left when the stream has ended.
    pub fn end(&mut self) -> Option<Framed<'_>> {
        let cut = matches!(self.state, State::Counted(_));
        self.state = State::Begin;
        let held = self.held();
        self.handed_out = true;
        (held > 0).then_some(Framed { bytes: &self.held, cut })
    }

    /// Finds out what the next message is; nothing if that needs more bytes.
    fn begin(&mut self, chunk: &mut &[u8]) -> Option<()> {
        while self.held.is_empty()
            && let Some((b'\n' | b'\r' | b'\0', rest)) = chunk.split_first()
        {
            *chunk = rest;
        }
        while let Some((&byte, rest)) = chunk.split_first() {
            match (byte, self.held.as_slice()) {
                (b'1'..=b'9', []) => {}
                (b'0'..=b'9', held)
                    if held.last() != Some(&b' ') && (1..COUNT_DIGITS).contains(&held.len()) => {}
                (b' ', held) if !held.is_empty() && held.last() != Some(&b' ') => {}
                (b'<', [digits @ .., b' ']) if (1..=LARGEST_COUNT).contains(&count(digits)) => {
                    self.state = State::Counted(count(digits));
                    self.held = Vec::new();
                    return Some(());
                }
                _ => {
                    self.state = State::Line;
                    return Some(());
                }
            }
            self.held.push(byte);
            *chunk = rest;
        }
        None
    }

    fn message<'a, 'b: 'a>(&'a mut self, chunk: &mut &'b [u8], room: usize) -> Option<Framed<'a>> {
        let step = match self.state {
            State::Counted(left) if left <= chunk.len() => Step::Ends { length: left, behind: 0 },
            State::Line => line_end(chunk).map_or(Step::More, |length| Step::Ends { length, behind: 1 }),
            _ => Step::More,
        };
        let room = room.min(LARGEST_MESSAGE);
        match step {
            Step::Ends { length, behind } => {
                let (bytes, rest) = chunk.split_at_checked(length)?;
                *chunk = rest.get(behind..)?;
                self.state = State::Begin;
                if self.held.is_empty() {
                    let cut = bytes.len() > LARGEST_MESSAGE;
                    return Some(Framed { bytes: bytes.get(..LARGEST_MESSAGE).unwrap_or(bytes), cut });
                }
                let cut = self.hold(bytes, LARGEST_MESSAGE);
                self.handed_out = true;
                Some(Framed { bytes: &self.held, cut })
            }
            Step::More => {
                let bytes = std::mem::take(chunk);
                let cut = self.hold(bytes, room);
                self.state = match (self.state, cut) {
                    (State::Counted(left), false) => State::Counted(left - bytes.len()),
                    (State::Counted(left), true) => State::PassCounted(left - bytes.len()),
                    (_, true) => State::PassLine,
                    (state, false) => state,
                };
                self.handed_out = cut;
                cut.then_some(Framed { bytes: &self.held, cut })
            }
        }
    }

    /// Holds bytes up to a room; returns whether some did not fit.
    fn hold(&mut self, bytes: &[u8], room: usize) -> bool {
        let fits = room.saturating_sub(self.held.len()).min(bytes.len());
        self.held.reserve_exact(fits);
        self.held.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        fits < bytes.len()
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2(b'\n', b'\0', bytes)
}

fn count(digits: &[u8]) -> usize {
    digits.iter().fold(0, |value, digit| value * 10 + usize::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests;
