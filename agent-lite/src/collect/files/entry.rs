//! One content that is read, has been read or will be.

use std::fs::File;
use std::fs::Metadata;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use super::identity;
use super::identity::HEAD;
use super::identity::Head;
use super::identity::Identity;
use super::identity::Mark;
use super::inflate::Inflating;
use super::links;
use super::w3c::Learning;
use crate::parse::lines::Discard;
use crate::parse::lines::Units;
use crate::parse::w3c::Directives;
use crate::system;

/// Positions of one content that are kept: a copy made a moment ago is known by an older one.
const MARKS: usize = 4;

/// One content, and the file it is in while there is one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: u64,
    /// Where it was found first: this is what its records say.
    pub(super) path: String,
    pub(super) id: Identity,
    /// The file's own beginning; the content's, unless the file is compressed.
    pub(super) raw: Head,
    pub(super) content: Head,
    pub(super) gzip: bool,
    pub(super) position: u64,
    /// Positions, the last one the current.
    pub(super) marks: Vec<Mark>,
    pub(super) discard: Discard,
    /// Nothing more is expected of it.
    pub(super) over: bool,
    /// Where it is now.
    pub(super) place: Option<PathBuf>,
    /// No pattern finds it: it is read to its end because it was once known, and no longer.
    pub(super) relic: bool,
    /// It may be what rotation made of a known content; if it is not, it is none of ours.
    pub(super) guess: bool,
    pub(super) handle: Option<File>,
    pub(super) inflating: Option<Box<Inflating>>,
    /// What it is has been decided.
    pub(super) sorted: bool,
    pub(super) units: Option<Units>,
    pub(super) size: u64,
    pub(super) grew: Instant,
    /// When it was written to, by its own clock.
    pub(super) written: (i64, i64),
    /// The largest size before.
    pub(super) was: u64,
    /// The size at which everything that can be read has been.
    pub(super) read_to: Option<u64>,
    /// What was read and is no whole record yet, should the file be truncated.
    pub(super) kept: Vec<u8>,
    /// The content that was in the same place before and may end in a record that goes on here.
    pub(super) before: Option<u64>,
    /// It was truncated away, and its file goes on with another content.
    pub(super) parted: bool,
    /// It vanished before it was read to its end; perhaps a copy turns up.
    pub(super) doubt: bool,
    pub(super) armed: bool,
    /// NULs at the end that wait to be written over, of a W3C log.
    pub(super) padding: u64,
    /// What the directives before the position said, of a W3C log.
    pub(super) directives: Option<Directives>,
    pub(super) learning: Option<Learning>,
}

impl Entry {
    pub(super) fn new(key: u64, path: String, id: Identity, now: Instant) -> Self {
        Self {
            key,
            path,
            id,
            raw: Head::default(),
            content: Head::default(),
            gzip: false,
            position: 0,
            marks: Vec::new(),
            discard: Discard::Nothing,
            over: false,
            place: None,
            relic: false,
            guess: false,
            handle: None,
            inflating: None,
            sorted: false,
            units: None,
            size: 0,
            grew: now,
            written: (0, 0),
            was: 0,
            read_to: None,
            kept: Vec::new(),
            before: None,
            parted: false,
            doubt: false,
            armed: false,
            padding: 0,
            directives: None,
            learning: None,
        }
    }

    /// Returns whether there is a file with its bytes.
    pub(super) fn has_file(&self) -> bool {
        self.place.is_some() || self.handle.is_some()
    }

    /// Returns whether any of its bytes can still be had.
    pub(super) fn is_live(&self) -> bool {
        self.has_file() || !self.kept.is_empty()
    }

    /// Returns whether it has no place any more that a pattern finds, so that nobody should write to it.
    pub(super) fn is_ending(&self) -> bool {
        self.place.is_none() || self.relic
    }

    /// Returns whether the file of this content is gone, and its inode is another file's now.
    pub(super) fn is_refuted_by(&self, path: &Path) -> bool {
        if self.has_file() {
            return false;
        }
        let known = if self.gzip { &self.raw } else { &self.content };
        let mut head = Vec::new();
        let read = links::open(path).and_then(|(file, _)| identity::read_at(&file, 0, HEAD, &mut head));
        read.is_ok() && !known.is_of(&head)
    }

    pub(super) fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.grew)
    }

    pub(super) fn mark(&self) -> Mark {
        self.marks.last().copied().unwrap_or_default()
    }

    /// Moves on to a mark.
    pub(super) fn advance(&mut self, mark: Mark) {
        self.position = mark.at;
        if self.marks.last() != Some(&mark) {
            if self.marks.len() >= MARKS {
                self.marks.remove(0);
            }
            self.marks.push(mark);
        }
    }

    pub(super) fn resize(&mut self, size: u64, now: Instant) {
        if size != self.size {
            self.was = self.was.max(self.size);
            (self.size, self.grew) = (size, now);
        }
    }

    /// Takes the size, and notices a write that did not change it.
    pub(super) fn update(&mut self, metadata: &Metadata, now: Instant) {
        self.resize(metadata.len(), now);
        let written = system::written(metadata);
        if self.written != written {
            (self.written, self.read_to) = (written, None);
            if self.padding > 0 {
                self.grew = now;
            }
        }
    }

    /// Takes the file of another entry for this content.
    pub(super) fn take_file(&mut self, of: Self) {
        self.id = of.id;
        self.raw = of.raw;
        self.gzip = of.gzip;
        self.place = of.place;
        (self.relic, self.guess) = (of.relic, false);
        self.handle = of.handle;
        self.units = of.units;
        self.size = of.size;
        self.grew = of.grew;
        self.armed = of.armed;
        self.inflating = None;
        self.read_to = None;
        self.padding = 0;
        self.doubt = false;
        self.kept = Vec::new();
    }

    /// Parts the content, which is known, from its file, which has another one now. Returns the content.
    pub(super) fn part(&mut self, key: u64, now: Instant) -> Self {
        let mut content = Self::new(key, self.path.clone(), Identity::default(), now);
        (content.sorted, content.parted) = (true, true);
        content.content = std::mem::take(&mut self.content);
        content.position = std::mem::take(&mut self.position);
        content.marks = std::mem::take(&mut self.marks);
        content.discard = std::mem::take(&mut self.discard);
        content.over = std::mem::take(&mut self.over);
        content.kept = std::mem::take(&mut self.kept);
        content.units = self.units.take();
        content.directives = self.directives.take();
        (self.padding, self.learning) = (0, None);
        content.size = content.position + content.kept.len() as u64;
        content.doubt = !content.over && !self.gzip && self.was > content.size;
        self.was = 0;
        self.raw = Head::default();
        self.inflating = None;
        // A compressed file that is not what its head promised is read whole.
        self.sorted = self.gzip;
        self.read_to = None;
        self.before = (!self.gzip).then_some(key);
        self.grew = now;
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_that_has_another_content_now_is_another_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.log");
        std::fs::write(&path, "the second file\n").unwrap();
        let mut gone = Entry::new(1, "a.log".to_owned(), Identity::default(), Instant::now());
        for (content, refuted) in
            [("the first file\n", true), ("the second file\n", false), ("the sec", false)]
        {
            gone.content = Head::of(content.as_bytes());
            assert_eq!(gone.is_refuted_by(&path), refuted, "{content}");
        }
        gone.content = Head::of(b"the first file\n");
        gone.handle = Some(File::open(&path).unwrap());
        assert!(!gone.is_refuted_by(&path), "a file that is open keeps its inode");
    }
}
