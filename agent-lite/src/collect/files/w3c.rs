//! A turn of a W3C log: lines become rows, and what the directives said stays with the position.

use std::fs::File;
use std::io;
use std::time::Instant;

use encoding_rs::Encoding;

use super::entry::Entry;
use super::identity;
use super::identity::Mark;
use super::reader::BATCH;
use super::reader::Reader;
use super::scan::Rolled;
use super::turn::GRACE;
use super::turn::Turn;
use super::turn::View;
use crate::counters::Loss;
use crate::parse::lines::Piece;
use crate::parse::lines::Then;
use crate::parse::w3c::Content;
use crate::parse::w3c::Directives;
use crate::parse::w3c::lines;
use crate::record::Column;
use crate::record::LARGEST_FIELD;
use crate::record::LARGEST_RECORD;
use crate::record::Timestamp;
use crate::system;

/// Bytes of a file that are looked through for directives, or for text behind NULs, before others have their turn.
const STEP: usize = 1024 * 1024;
/// So many NULs are none that somebody will fill.
const MOST_PADDING: u64 = 16 * 1024 * 1024;
/// Most bytes of frames with one more record; the largest is [`LARGEST_ROW`].
const MOST_FRAMES: usize = 256 * 1024;
/// Its texts, the line itself, other fields and the path.
const LARGEST_ROW: usize = 2 * LARGEST_FIELD + 40 * 1024;
const _: () = assert!(LARGEST_ROW <= LARGEST_RECORD && BATCH + 16 * 1024 <= MOST_FRAMES);

/// Directives that are gathered from the beginning of a file up to its position.
#[derive(Debug, Default)]
pub(super) struct Learning {
    at: u64,
    directives: Directives,
}

/// What stands behind NULs.
enum Behind {
    Text(u64),
    /// Nothing, up to here: they are space that is not written yet.
    End(u64),
}

impl Reader {
    /// Gathers the directives before a position that was not reached by reading. Returns whether they are known.
    pub(super) fn learn_directives(&self, entry: &mut Entry) -> io::Result<bool> {
        if entry.directives.is_some() {
            return Ok(true);
        }
        let Some(encoding) = self.w3c else { return Ok(true) };
        let mut learning = entry.learning.take().unwrap_or_default();
        let left = entry.position.saturating_sub(learning.at);
        let (Some(file), false) = (&entry.handle, left == 0 || entry.gzip) else {
            entry.directives = Some(learning.directives);
            return Ok(true);
        };
        let mut bytes = Vec::new();
        identity::read_at(file, learning.at, usize::try_from(left).unwrap_or(STEP).min(STEP), &mut bytes)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
        for line in bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            let start = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
            let (text, _) = lines::text(line.get(start..).unwrap_or_default(), encoding);
            learning.directives.pass(&text);
        }
        // A file that has become shorter in the meantime is another one; that is seen elsewhere.
        learning.at = if bytes.is_empty() { entry.position } else { learning.at + whole as u64 };
        entry.learning = Some(learning);
        Ok(false)
    }

    /// Makes records of the bytes in the buffer.
    pub(super) fn rows(
        &mut self,
        entry: &mut Entry,
        view: &View,
        encoding: &'static Encoding,
        now: Instant,
    ) -> io::Result<Turn> {
        let shown = entry.position - view.lead as u64 + self.buffer.len() as u64;
        let mut end = view.end;
        entry.padding = 0;
        let nuls = lines::padding(self.buffer.get(view.lead..).unwrap_or_default());
        if nuls > 0 && !entry.gzip {
            match self.behind(entry, view.end, shown)? {
                Behind::End(size) => {
                    entry.padding = size - shown + nuls as u64;
                    self.buffer.truncate(self.buffer.len() - nuls);
                    end = true;
                }
                Behind::Text(at) if nuls + view.lead == self.buffer.len() => {
                    // A run that began before is counted already.
                    let begins =
                        view.lead == 0 || self.buffer.get(view.lead - 1).is_some_and(|byte| *byte != 0);
                    self.inlet.tally().losses.add(Loss::InvalidText, begins.into());
                    entry.advance(Mark::of(at, b""));
                    return Ok(Turn::More);
                }
                Behind::Text(_) => {}
            }
        }
        let then = match end {
            false => Then::More,
            true if entry.gzip => Then::Over,
            true if entry.is_ending() && entry.quiet(now) >= GRACE.min(self.settings.flush_after) => {
                Then::Over
            }
            true => Then::Later,
        };
        let (at, all) = self.lines(entry, view.lead, encoding, then);
        let view = View { end: end && all, ..*view };
        self.moved(entry, &view, view.lead, at);
        entry.read_to = entry.read_to.map(|size| size + entry.padding);
        let full = !self.frames.is_empty() && !all;
        Ok(if (end && all) || (at == 0 && !full) { Turn::Idle } else { Turn::More })
    }

    /// Returns what stands behind the NULs at the end of what is shown.
    fn behind(&self, entry: &Entry, end: bool, shown: u64) -> io::Result<Behind> {
        let (Some(file), false) = (&entry.handle, end) else { return Ok(Behind::End(shown)) };
        let mut at = system::next_data(file, shown).max(shown);
        let mut bytes = Vec::new();
        while at < shown + MOST_PADDING {
            bytes.clear();
            identity::read_at(file, at, STEP / 16, &mut bytes)?;
            if bytes.is_empty() {
                return Ok(Behind::End(at));
            }
            match bytes.iter().position(|byte| *byte != 0) {
                Some(text) => return Ok(Behind::Text(at + text as u64)),
                None => at += bytes.len() as u64,
            }
        }
        Ok(Behind::Text(at))
    }

    /// Takes lines until the batch is full. Returns how far it came, and whether nothing whole is left.
    fn lines(
        &mut self,
        entry: &mut Entry,
        begins: usize,
        encoding: &'static Encoding,
        then: Then,
    ) -> (usize, bool) {
        let buffer = std::mem::take(&mut self.buffer);
        let data = buffer.get(begins..).unwrap_or_default();
        let time = Timestamp(jiff::Timestamp::now().as_microsecond());
        let (mut at, mut nuls, mut all) = (0, 0, false);
        while self.frames.bytes().len() < BATCH {
            match lines::next(data.get(at..).unwrap_or_default(), entry.discard, then) {
                Piece::Record { raw, length, cut, discard } => {
                    let row = (12 * raw.len() + 16 * 1024).min(LARGEST_ROW);
                    if !self.frames.is_empty() && self.frames.bytes().len() + row > MOST_FRAMES {
                        break;
                    }
                    self.row(entry, (raw, cut), encoding, time);
                    (at, entry.discard) = (at + length, discard);
                }
                Piece::Nothing { length, discard, nuls: run } => {
                    nuls += u64::from(run);
                    (at, entry.discard) = (at + length, discard);
                }
                Piece::Unfinished => {
                    all = true;
                    break;
                }
            }
        }
        self.buffer = buffer;
        self.inlet.tally().losses.add(Loss::InvalidText, nuls);
        (at, all)
    }

    /// Adds a line as a record, unless it is a directive.
    fn row(
        &mut self,
        entry: &mut Entry,
        (raw, cut): (&[u8], bool),
        encoding: &'static Encoding,
        now: Timestamp,
    ) {
        let directives = entry.directives.get_or_insert_default();
        let (text, replaced) = lines::text(raw, encoding);
        let kept = text.floor_char_boundary(LARGEST_FIELD);
        let (text, cut) = (text.get(..kept).unwrap_or_default(), cut || kept < text.len());
        if text.trim_ascii().is_empty() || directives.take(text) {
            return;
        }
        let line = directives.line(text);
        let losses = &self.inlet.tally().losses;
        losses.add(Loss::InvalidText, replaced.into());
        losses.add(Loss::Unparsed, line.flaw.is_some().into());
        losses.add(Loss::Shortened, line.cut.into());
        let mut record = self.frames.begin(line.time.unwrap_or(now)).text(Column::FilePath, &entry.path);
        for (column, content) in &line.values {
            record = match content {
                Content::Text(text) => record.text(*column, text),
                Content::Number(number) => record.integer(*column, *number),
            };
        }
        record = record.text_if(Column::CustomFields, line.custom.as_deref());
        record = match (cut, line.flaw) {
            (true, _) => record.cut_text(Column::RawData, text),
            (false, Some(_)) => record.text(Column::RawData, text),
            (false, None) => record,
        };
        record.finish();
    }

    /// Returns what identity is told by: the bytes of a file's beginning that are written.
    pub(super) fn identifying<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        match self.w3c {
            Some(_) => lines::written(head),
            None => head,
        }
    }

    /// Has what is not read yet looked at again: a file that is open on Windows tells late when it was written.
    pub(super) fn look_again(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.padding > 0) {
            entry.read_to = None;
        }
    }

    /// Returns what becomes of full files.
    pub(super) fn rolled(&self) -> Rolled {
        if self.w3c.is_some() { Rolled::Beside } else { Rolled::Away }
    }

    /// Returns whether a record without an end becomes one when its file is quiet. A line of a W3C log has one.
    pub(super) fn flushes(&self, entry: &Entry) -> bool {
        self.w3c.is_none() || entry.is_ending()
    }
}

/// Returns where the text of a file ends that may end in NULs.
pub(super) fn text_end(file: &File, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut bytes = Vec::new();
    while end > size.saturating_sub(MOST_PADDING) {
        let from = end.saturating_sub(STEP as u64 / 16);
        bytes.clear();
        identity::read_at(file, from, usize::try_from(end - from).unwrap_or_default(), &mut bytes)?;
        let text = lines::written(&bytes).len();
        if text > 0 {
            return Ok(from + text as u64);
        }
        end = from;
    }
    Ok(end)
}
