//! Deciding what a file is that was not known: another one, or a content that is known already.
//!
//! A content is known again by its head, and by the bytes before a position that was reached in it. Heads of
//! less than 1 KiB count only for names that rotation makes (`app.log.1`, `app-20260101.log.gz`).

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use super::entry::Entry;
use super::identity;
use super::identity::HEAD;
use super::identity::Head;
use super::identity::Identity;
use super::identity::Mark;
use super::inflate;
use super::links;
use super::reader::Reader;

/// How long a file that looks like a copy must have been quiet before it is judged by its length.
const SETTLES: Duration = Duration::from_secs(1);

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// A content of its own.
    New,
    /// Not decided while the file grows, or while the content is read where it was.
    Later,
    /// The known content of this key, which has no file of its own any more.
    Of(u64),
    /// A content of its own that is known up to here.
    From(Mark),
    /// Compressed, and everything in it was read.
    Done,
}

impl Reader {
    /// Decides about every file that is not sorted yet.
    pub(super) fn sort(&mut self, now: Instant) {
        let keys: Vec<u64> = self
            .entries
            .iter()
            .filter(|entry| !entry.sorted && (entry.size > 0 || entry.handle.is_none()))
            .map(|entry| entry.key)
            .collect();
        for key in keys {
            if let Err(error) = self.sort_one(key, now) {
                self.meet(key, &error);
            }
        }
        self.entries.retain(|entry| entry.sorted || entry.is_live());
    }

    fn sort_one(&mut self, key: u64, now: Instant) -> io::Result<()> {
        let Some(mut entry) = self.take(key) else { return Ok(()) };
        let opened = self.open(&mut entry, now);
        let (id, compressed) = (entry.id, entry.gzip);
        let judged = match (&opened, &entry.handle) {
            (Ok(head), Some(file)) if !head.is_empty() => match entry.gzip {
                true => self.judge_compressed(&mut entry, now),
                false => Ok(self.judge(&entry, file, head, now)),
            },
            _ => Ok(Verdict::Later),
        };
        let verdict = match judged {
            Ok(verdict) => verdict,
            Err(error) => {
                // A compressed file that is damaged in its first bytes will not get better.
                (entry.sorted, entry.over) = (true, true);
                self.entries.push(entry);
                return Err(error);
            }
        };
        match verdict {
            Verdict::Later => {}
            Verdict::Of(known) => {
                if let Some(content) = self.entry(known) {
                    content.take_file(entry);
                    content.over &= compressed;
                    debug_assert_eq!(content.id, id);
                    return opened.map(drop);
                }
            }
            Verdict::New if entry.guess => return Ok(()),
            Verdict::New => entry.sorted = true,
            Verdict::From(mark) => {
                entry.advance(mark);
                entry.sorted = true;
            }
            Verdict::Done => (entry.sorted, entry.over) = (true, true),
        }
        self.entries.push(entry);
        opened.map(drop)
    }

    /// Opens a file if it is not open, proves that it is the one that was found, and returns its beginning.
    pub(super) fn open(&self, entry: &mut Entry, now: Instant) -> io::Result<Vec<u8>> {
        if entry.handle.is_none() {
            let Some(place) = &entry.place else { return Ok(Vec::new()) };
            let (file, metadata) = links::open(place)?;
            if Identity::of(&file, &metadata)? != entry.id {
                return Ok(Vec::new());
            }
            entry.resize(metadata.len(), now);
            entry.handle = Some(file);
        }
        let mut head = Vec::new();
        if let Some(file) = &entry.handle {
            identity::read_at(file, 0, HEAD, &mut head)?;
            head.truncate(self.identifying(&head).len());
        }
        if !entry.sorted {
            entry.raw = Head::of(&head);
            entry.gzip = inflate::is_compressed(&head);
            if !entry.gzip {
                entry.content = entry.raw;
            }
        }
        Ok(head)
    }

    fn judge(&self, entry: &Entry, file: &File, head: &[u8], now: Instant) -> Verdict {
        let settled = entry.quiet(now) >= SETTLES;
        let mut best: Option<(&Entry, Mark)> = None;
        for known in self.entries.iter().filter(|known| known.sorted && known.content.is_of(head)) {
            if !is_related(entry, known) {
                continue;
            }
            let holds = |mark: &&Mark| mark.at <= entry.size && mark.holds(file);
            let mark = known.marks.iter().rev().find(holds).copied().or_else(|| twin(entry, file, known));
            let mark = mark.unwrap_or_default();
            if best.is_none_or(|(_, found)| found.at < mark.at) {
                best = Some((known, mark));
            }
        }
        let Some((known, mark)) = best else { return Verdict::New };
        if mark.at == known.position && !known.has_file() {
            return Verdict::Of(known.key);
        }
        if known.has_file() && !known.gzip && (entry.size > known.position && entry.size <= known.size) {
            return if mark.at > 0 || known.position == 0 { Verdict::Later } else { Verdict::New };
        }
        match (settled, mark.at) {
            (false, _) => Verdict::Later,
            (true, 0) => Verdict::New,
            // All that the copy has was read before, except behind the position.
            (true, _) if entry.size <= known.position => {
                Mark::in_file(file, entry.size).map_or(Verdict::Later, Verdict::From)
            }
            (true, _) => Verdict::From(mark),
        }
    }

    fn judge_compressed(&self, entry: &mut Entry, now: Instant) -> io::Result<Verdict> {
        if entry.quiet(now) < SETTLES {
            return Ok(Verdict::Later);
        }
        let Some(file) = &entry.handle else { return Ok(Verdict::Later) };
        let (head, length) = inflate::peek(file, entry.size)?;
        entry.content = Head::of(&head);
        let mut verdict = Verdict::New;
        let mut reached = 0;
        for known in self.entries.iter().filter(|known| known.sorted && known.content.is_of(&head)) {
            if !is_related(entry, known) {
                continue;
            }
            // The length is known modulo 2³² only.
            let same_length = known.position as u32 == length;
            match (known.has_file(), same_length) {
                (true, true) => return Ok(Verdict::Done),
                (true, false) if known.gzip && known.over => {}
                (true, false) => return Ok(Verdict::Later),
                (false, true) => return Ok(Verdict::Of(known.key)),
                (false, false) if known.position >= reached && known.position < u64::from(length) => {
                    (verdict, reached) = (Verdict::Of(known.key), known.position);
                }
                (false, false) if known.marks.iter().any(|mark| mark.at == u64::from(length)) => {
                    return Ok(Verdict::Done);
                }
                (false, false) => {}
            }
        }
        Ok(verdict)
    }
}

/// Returns whether the one may be a copy of the other at all.
fn is_related(entry: &Entry, known: &Entry) -> bool {
    let name = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    match known.content.is_full() {
        true => entry.path != known.path || known.position > HEAD as u64,
        false => match (name(&entry.path), name(&known.path)) {
            (Some(one), Some(other)) => identity::is_derived(&one, &other),
            _ => false,
        },
    }
}

/// Compares a file with one that is still whole, at the end of the shorter.
fn twin(entry: &Entry, file: &File, known: &Entry) -> Option<Mark> {
    let other = known.handle.as_ref().filter(|_| !known.gzip)?;
    let at = entry.size.min(known.size).min(known.position);
    let mark = Mark::in_file(file, at).ok()?;
    mark.holds(other).then_some(mark)
}
