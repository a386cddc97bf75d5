//! Bytes of a W3C log become lines.
//!
//! HTTP.sys makes a file longer by 64 KiB of NULs and fills them later. So NULs at the end are no end: nothing is
//! read past them until text stands behind them, or the file is over. After a crash they stay, behind a torn line:
//! a run of them ends a line, too.

use std::borrow::Cow;

use encoding_rs::Encoding;
use memchr::memchr;

use crate::parse::lines::Discard;
use crate::parse::lines::Piece;
use crate::parse::lines::Then;
use crate::parse::lines::WINDOW;

/// So many NULs are no mistake in a text but space that nobody filled.
const RUN: usize = 16;

/// Returns how many NULs the bytes end in.
pub fn padding(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|byte| **byte == 0).count()
}

/// Returns the bytes without NULs at their end.
pub fn written(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() - padding(bytes)).unwrap_or_default()
}

/// Returns what the bytes begin with: a line is a record. Show at most [`WINDOW`] of them, and no NULs at their end
/// but those behind which there is text.
pub fn next(bytes: &[u8], discard: Discard, then: Then) -> Piece<'_> {
    let nuls = bytes.iter().take_while(|byte| **byte == 0).count();
    if nuls > 0 {
        // At the end of a file that is over they are what nobody filled: nothing is lost.
        let lost = then != Then::Over || nuls < bytes.len();
        return Piece::Nothing { length: nuls, discard: Discard::Nothing, nuls: lost };
    }
    let (end, length) = match line_end(bytes) {
        Some(found) => found,
        None if bytes.is_empty() => return Piece::Unfinished,
        None if then == Then::Over => (bytes.len(), bytes.len()),
        None if then == Then::More && bytes.len() >= WINDOW - RUN => {
            return match discard {
                Discard::Nothing => {
                    Piece::Record { raw: bytes, length: bytes.len(), cut: true, discard: Discard::Line }
                }
                _ => Piece::Nothing { length: bytes.len(), discard: Discard::Line, nuls: false },
            };
        }
        None => return Piece::Unfinished,
    };
    let raw = bytes.get(..end).unwrap_or_default();
    let blank = raw.iter().all(|byte| matches!(byte, b'\r' | b' ' | b'\t'));
    match discard {
        Discard::Nothing if !blank => Piece::Record { raw, length, cut: false, discard: Discard::Nothing },
        _ => Piece::Nothing { length, discard: Discard::Nothing, nuls: false },
    }
}

/// Returns where the first line ends and the next begins.
fn line_end(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = memchr(b'\n', bytes);
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let torn = memchr(0, line).and_then(|first| {
        let rest = line.get(first..).unwrap_or_default();
        let run = rest.windows(RUN).position(|bytes| bytes.iter().all(|byte| *byte == 0))?;
        Some(first + run)
    });
    torn.map(|at| (at, at)).or(end.map(|end| (end, end + 1)))
}

/// Returns a line's text without its CR and single NULs, and whether any of its bytes were no text.
pub fn text<'a>(raw: &'a [u8], encoding: &'static Encoding) -> (Cow<'a, str>, bool) {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let (mut text, mut replaced) = encoding.decode_without_bom_handling(raw);
    if memchr(0, text.as_bytes()).is_some() {
        text.to_mut().retain(|letter| letter != '\0');
        replaced = true;
    }
    (text, replaced)
}
