//! A turn: at most [`WINDOW`] bytes of one file become records, and its position moves behind them.

use std::io;
use std::time::Duration;
use std::time::Instant;

use jiff::tz::TimeZone;

use super::entry::Entry;
use super::identity;
use super::identity::HEAD;
use super::identity::Head;
use super::identity::Mark;
use super::inflate::Inflated;
use super::inflate::Inflating;
use super::reader::BATCH;
use super::reader::Reader;
use crate::counters::Loss;
use crate::parse::lines::Discard;
use crate::parse::lines::Piece;
use crate::parse::lines::Rules;
use crate::parse::lines::Then;
use crate::parse::lines::Units;
use crate::parse::lines::WINDOW;
use crate::record::Column;
use crate::record::LARGEST_FIELD;
use crate::record::Timestamp;
use crate::system;

/// How long a file that was rotated away must have been quiet before it is left: its writer may still have it.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Most bytes of unfinished records that are kept in case their files are truncated.
const MOST_KEPT: usize = 512 * 1024;

/// What a turn gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing to read now.
    Idle,
    /// Something was read and there may be more.
    More,
    /// The file has another content than it had.
    Parted,
}

/// The bytes of a turn: `carry` bytes of the file before, `lead` bytes before the position, then new ones.
pub(super) struct View {
    pub(super) carry: usize,
    pub(super) lead: usize,
    /// Whether these are all there are now.
    pub(super) end: bool,
}

impl Reader {
    /// Reads a file on.
    pub(super) fn turn(&mut self, key: u64, now: Instant) -> io::Result<Turn> {
        let Some(mut entry) = self.take(key) else { return Ok(Turn::Idle) };
        let result = self.turn_of(&mut entry, now);
        self.entries.push(entry);
        result
    }

    fn turn_of(&mut self, entry: &mut Entry, now: Instant) -> io::Result<Turn> {
        if entry.handle.is_none() && entry.place.is_some() {
            let head = self.open(entry, now)?;
            if entry.handle.is_none() {
                return Ok(Turn::Idle);
            }
            self.troubles.well(&entry.path);
            if entry.raw.length > 0 && !entry.raw.is_of(&head) {
                return Ok(Turn::Parted);
            }
        }
        if entry.size < entry.position && !entry.gzip {
            // More may have been read than was there when it was looked at.
            if let Some(file) = &entry.handle {
                entry.resize(file.metadata()?.len(), now);
            }
            if entry.size < entry.position {
                return Ok(Turn::Parted);
            }
        }
        self.learn_head(entry)?;
        if !self.learn_directives(entry)? {
            return Ok(Turn::More);
        }
        let Some(carry) = self.carry(entry) else { return Ok(Turn::Idle) };
        let Some(view) = self.view(entry, carry)? else { return Ok(Turn::More) };
        let lead = self.buffer.get(view.carry..view.carry + view.lead);
        let first = self.buffer.get(view.carry..).unwrap_or_default();
        // Between two looks at a file it may become another one, at its beginning, too.
        let began = entry.position > 0 || entry.gzip || entry.handle.is_none() || entry.content.is_of(first);
        if !lead.is_some_and(|lead| entry.mark().is_of(lead)) || !began {
            return Ok(Turn::Parted);
        }
        if self.skip_mark(entry, &view) {
            return Ok(Turn::More);
        }
        match self.w3c {
            Some(encoding) => self.rows(entry, &view, encoding, now),
            None => Ok(self.records(entry, &view, now)),
        }
    }

    /// The head grows with the file until it is whole, and tells the units.
    fn learn_head(&mut self, entry: &mut Entry) -> io::Result<()> {
        let grown = !entry.content.is_full() && entry.size > entry.content.length as u64;
        if entry.gzip || (!grown && entry.units.is_some()) {
            return Ok(());
        }
        let Some(file) = &entry.handle else { return Ok(()) };
        let mut head = Vec::with_capacity(HEAD);
        identity::read_at(file, 0, HEAD, &mut head)?;
        head.truncate(self.identifying(&head).len());
        if entry.content.length == 0 || entry.content.is_of(&head) {
            entry.content = Head::of(&head);
            entry.raw = entry.content;
        }
        entry.units = Some(Units::marked(&head).map_or(self.rules.units, |(units, _)| units));
        Ok(())
    }

    /// Puts the unfinished record of the file before into the buffer; nothing if that file must be read first.
    fn carry(&mut self, entry: &mut Entry) -> Option<usize> {
        self.buffer.clear();
        let Some(before) = entry.before else { return Some(0) };
        let index =
            self.entries.iter().position(|known| known.key == before && known.is_live() && !known.gzip);
        let known = index.and_then(|index| self.entries.get(index));
        let (Some(_), Some(known)) = (self.rules.start, known) else {
            entry.before = None;
            return Some(0);
        };
        let readable = known.handle.is_some() || !known.kept.is_empty();
        if !readable || known.over || known.units != entry.units {
            entry.before = None;
            return Some(0);
        }
        if known.read_to != Some(known.size) {
            return None;
        }
        let most = usize::try_from(known.size - known.position.min(known.size)).unwrap_or(WINDOW).min(WINDOW);
        match &known.handle {
            Some(file) => identity::read_at(file, known.position, most, &mut self.buffer).ok()?,
            None => self.buffer.extend_from_slice(&known.kept),
        }
        if known.discard != Discard::Nothing {
            (entry.discard, entry.before) = (known.discard, None);
            self.buffer.clear();
        }
        if !self.buffer.is_empty() && !self.buffer.ends_with(b"\n") && known.units == Some(Units::Utf8) {
            self.buffer.push(b'\n');
        }
        Some(self.buffer.len())
    }

    /// Fills the buffer; nothing if a compressed file is still on its way to the position.
    fn view(&mut self, entry: &mut Entry, carry: usize) -> io::Result<Option<View>> {
        let lead = entry.mark().length;
        let most = WINDOW - carry.min(WINDOW) + lead;
        let from = entry.position.saturating_sub(lead as u64);
        let Some(file) = &entry.handle else {
            self.buffer.extend_from_slice(&entry.kept);
            entry.marks.clear();
            return Ok(Some(View { carry, lead: 0, end: true }));
        };
        if !entry.gzip {
            identity::read_at(file, from, most, &mut self.buffer)?;
            let end = self.buffer.len() < carry + most;
            return Ok(Some(View { carry, lead, end }));
        }
        let inflating = match &mut entry.inflating {
            Some(inflating) => inflating,
            none => none.insert(Box::new(Inflating::new(file)?)),
        };
        match inflating.read(from, most, &mut self.buffer)? {
            Inflated::Underway => Ok(None),
            inflated => Ok(Some(View { carry, lead, end: inflated == Inflated::Last })),
        }
    }

    /// Moves behind the mark of the encoding at the beginning, and over a hole.
    fn skip_mark(&mut self, entry: &mut Entry, view: &View) -> bool {
        let bytes = self.buffer.get(view.carry + view.lead..).unwrap_or_default();
        if entry.position == 0 {
            let Some((units, length)) = Units::marked(bytes) else {
                entry.units.get_or_insert(self.rules.units);
                return false;
            };
            entry.units = Some(units);
            entry.advance(Mark::of(length as u64, bytes.get(..length).unwrap_or_default()));
            return true;
        }
        let (Some(file), false) =
            (&entry.handle, view.end || entry.gzip || view.carry > 0 || self.w3c.is_some())
        else {
            return false;
        };
        if bytes.iter().any(|&byte| byte != 0) {
            return false;
        }
        let data = system::next_data(file, entry.position) & !1;
        if data <= entry.position + bytes.len() as u64 || data % 2 != entry.position % 2 {
            return false;
        }
        self.inlet.tally().losses.add(Loss::InvalidText, 1);
        entry.advance(Mark::of(data, b""));
        true
    }

    fn records(&mut self, entry: &mut Entry, view: &View, now: Instant) -> Turn {
        let rules = Rules { units: entry.units.unwrap_or(self.rules.units), start: self.rules.start };
        let waits = !self.has_successor(entry);
        let (quiet, ending) = (entry.quiet(now), entry.is_ending() || entry.gzip);
        let then = match view.end {
            false => Then::More,
            true if entry.gzip => Then::Over,
            true if waits && ending && quiet >= GRACE.min(self.settings.flush_after) => Then::Over,
            true if waits && quiet >= self.settings.flush_after => Then::Quiet,
            true => Then::Later,
        };
        let begins = if view.carry > 0 { 0 } else { view.lead };
        let data = self.buffer.get(begins..).unwrap_or_default();
        let (mut at, mut nuls, mut all) = (0, 0, false);
        let time = Timestamp(jiff::Timestamp::now().as_microsecond());
        while self.frames.bytes().len() < BATCH {
            match rules.next(data.get(at..).unwrap_or_default(), entry.discard, then) {
                Piece::Record { raw, length, cut, discard } => {
                    let invalid = push(&mut self.frames, &rules, (raw, cut), &entry.path, (time, &self.zone));
                    self.inlet.tally().losses.add(Loss::InvalidText, invalid.into());
                    (at, entry.discard) = (at + length, discard);
                }
                Piece::Nothing { length, discard, nuls: run } => {
                    nuls += u64::from(run);
                    (at, entry.discard) = (at + length, discard);
                }
                Piece::Unfinished => {
                    all = view.end;
                    break;
                }
            }
        }
        self.inlet.tally().losses.add(Loss::InvalidText, nuls);
        self.moved(entry, &View { end: all, ..*view }, begins, at);
        if all || at == 0 { Turn::Idle } else { Turn::More }
    }

    /// Moves positions behind what was read.
    pub(super) fn moved(&mut self, entry: &mut Entry, view: &View, begins: usize, at: usize) {
        let own = at.saturating_sub(view.carry);
        if at > 0 && at >= view.carry {
            if let Some(before) = entry.before.take() {
                self.finish(before);
            }
            let from = if view.carry > 0 { view.carry } else { 0 };
            let read = self.buffer.get(from..begins + at).unwrap_or_default();
            entry.advance(Mark::of(entry.position + own as u64, read));
            if entry.handle.is_none() {
                entry.kept.drain(..own.min(entry.kept.len()));
            }
        }
        let rest = self.buffer.get(begins + at.max(view.carry)..).unwrap_or_default();
        entry.read_to = (view.end).then_some(entry.position + rest.len() as u64);
        if entry.handle.is_some() && view.end && !entry.gzip {
            let room = MOST_KEPT.saturating_sub(self.kept_bytes());
            entry.kept.clear();
            entry.kept.extend_from_slice(if rest.len() <= room { rest } else { b"" });
            entry.kept.shrink_to_fit();
        }
        if entry.gzip && view.end && rest.is_empty() {
            (entry.over, entry.inflating, entry.handle) = (true, None, None);
        }
    }

    fn finish(&mut self, key: u64) {
        let Some(known) = self.entry(key) else { return };
        let mark = match &known.handle {
            Some(file) => Mark::in_file(file, known.size).unwrap_or_default(),
            None => Mark::of(known.position + known.kept.len() as u64, &known.kept),
        };
        if mark.at >= known.position {
            known.advance(mark);
        }
        known.discard = Discard::Nothing;
        known.kept = Vec::new();
    }

    fn kept_bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.kept.len()).sum()
    }

    /// Returns whether the file that came after this one has bytes that may belong to its last record.
    fn has_successor(&self, entry: &Entry) -> bool {
        self.rules.start.is_some()
            && self.entries.iter().any(|other| {
                other.before == Some(entry.key) && other.sorted && other.size > 0 && other.handle.is_some()
            })
    }
}

/// Adds a record; returns whether its bytes were no text everywhere.
fn push(
    frames: &mut crate::record::Frames,
    rules: &Rules,
    (raw, cut): (&[u8], bool),
    path: &str,
    (now, zone): (Timestamp, &TimeZone),
) -> bool {
    let (text, replaced) = rules.text(raw);
    if text.is_empty() {
        return replaced;
    }
    let pending = frames.begin(now);
    let pending = match cut || text.len() > LARGEST_FIELD {
        true => pending.cut_text(Column::RawData, &text),
        false => pending.text(Column::RawData, &text),
    };
    let pending = pending.text(Column::FilePath, path);
    match rules.time(raw).and_then(|time| time.instant(zone, now)) {
        Some(time) => pending.time(Column::EventTime, time).finish(),
        None => pending.finish(),
    }
    replaced
}
