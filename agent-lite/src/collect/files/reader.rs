//! The state of one source, and what is done with it again and again: look, sort, read, save.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use encoding_rs::Encoding;
use jiff::tz::TimeZone;
use tokio::task;

use super::entry::Entry;
use super::identity::Identity;
use super::identity::Mark;
use super::positions::Positions;
use super::progress::Progress;
use super::scan;
use super::scan::Found;
use super::scan::Seen;
use super::troubles::Troubles;
use super::turn::GRACE;
use super::turn::Turn;
use super::w3c;
use crate::collect::inlet::Inlet;
use crate::config::settings::FilesSettings;
use crate::counters::Loss;
use crate::events::Event;
use crate::events::say;
use crate::parse::lines::Discard;
use crate::parse::lines::Rules;
use crate::record::Frames;
use crate::system;

/// Bytes of frames that make a round full; one record more fits into 256 KiB with it.
pub(super) const BATCH: usize = 160 * 1024;
/// Most contents that are remembered although their files are gone.
const MOST_GONE: usize = 500;
/// How long a file is held open while nothing is written to it.
const IDLE: Duration = Duration::from_secs(300);
/// How much of each file is read again when the positions are lost.
pub(super) const AGAIN: u64 = 64 * 1024 * 1024;
/// A look at folders that takes less is done without a thread of its own.
const QUICK: Duration = Duration::from_millis(2);
/// Most bytes of a path in a record.
const LONGEST_PATH: usize = 4096;

/// Where files begin that the first look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// At what is known of them.
    Known,
    /// At their end.
    End,
    /// So many bytes before their end.
    Again,
}

/// One source.
pub(super) struct Reader {
    pub(super) settings: FilesSettings,
    pub(super) source: String,
    pub(super) rules: Rules,
    /// How lines of W3C logs become text, if these are some.
    pub(super) w3c: Option<&'static Encoding>,
    pub(super) zone: TimeZone,
    pub(super) inlet: Inlet,
    pub(super) positions: Positions,
    pub(super) entries: Vec<Entry>,
    pub(super) next_key: u64,
    pub(super) first: First,
    pub(super) looked: Option<Instant>,
    pub(super) folders: Vec<PathBuf>,
    pub(super) troubles: Troubles,
    pub(super) progress: Progress,
    pub(super) frames: Frames,
    pub(super) buffer: Vec<u8>,
    /// What the saved positions are, in short.
    pub(super) saved: Option<u64>,
    /// The last look took so little time that the next one needs no thread.
    pub(super) look_is_quick: bool,
    pub(super) save_failed: bool,
    /// The last file that had a turn.
    pub(super) turned: u64,
}

impl Reader {
    /// Looks at the folders.
    pub(super) async fn look(&mut self) {
        let begun = Instant::now();
        let seen = if self.look_is_quick {
            scan::scan(&self.settings.paths, &self.settings.within, self.rolled())
        } else {
            let (patterns, within) = (self.settings.paths.clone(), self.settings.within.clone());
            let rolled = self.rolled();
            task::spawn_blocking(move || scan::scan(&patterns, &within, rolled)).await.unwrap_or_default()
        };
        let now = Instant::now();
        self.look_is_quick = now.saturating_duration_since(begun) < QUICK;
        self.looked = Some(now);
        self.apply(seen, now);
    }

    fn apply(&mut self, seen: Seen, now: Instant) {
        self.troubles.look(&self.source, &self.inlet.tally().losses, seen.troubles);
        self.folders = seen.folders;
        self.look_again();
        let first = std::mem::replace(&mut self.first, First::Known);
        let starting = self.looked.is_some() && self.saved.is_none();
        let ids: BTreeSet<u64> =
            self.entries.iter().filter(|entry| entry.place.is_some()).map(|e| e.key).collect();
        let mut met = BTreeSet::new();
        for found in seen.files {
            match self
                .entries
                .iter_mut()
                .find(|entry| entry.id == found.id && entry.id != Identity::default())
            {
                Some(entry) if entry.is_refuted_by(&found.path) => {
                    entry.id = Identity::default();
                    let key = self.add(found, first, now);
                    met.insert(key);
                }
                Some(entry) => {
                    // What was over may go on, when it comes back.
                    entry.over &= entry.has_file() || entry.gzip;
                    entry.place = Some(found.path);
                    (entry.relic, entry.guess) = (false, false);
                    entry.resize(found.size, now);
                    met.insert(entry.key);
                }
                None => {
                    let key = self.add(found, first, now);
                    met.insert(key);
                }
            }
        }
        for key in ids.difference(&met) {
            self.vanished(*key, now);
        }
        if starting {
            let unmet = |entry: &&Entry| !met.contains(&entry.key) && !entry.over && !entry.is_live();
            let lost: Vec<u64> = self.entries.iter().filter(unmet).map(|entry| entry.key).collect();
            for key in lost {
                self.search(key, now);
            }
        }
    }

    fn add(&mut self, found: Found, first: First, now: Instant) -> u64 {
        let path: String = found.path.to_string_lossy().chars().take(LONGEST_PATH / 4).collect();
        self.next_key += 1;
        let key = self.next_key;
        let mut entry = Entry::new(key, path, found.id, now);
        // What was in this place before may end in a record that goes on in the new file.
        // A content that was truncated away has a younger key than the file that was there until now.
        let before = |known: &&Entry| known.sorted && !known.over && known.path == entry.path;
        let youngest = |known: &&Entry| (!known.parted, known.key);
        entry.before = self.entries.iter().filter(before).max_by_key(youngest).map(|known| known.key);
        entry.place = Some(found.path);
        entry.size = found.size;
        if first != First::Known
            && let Err(error) = self.begin_late(&mut entry, first, now)
        {
            self.troubles.meet(&self.source, &self.inlet.tally().losses, &entry.path, error);
        }
        self.entries.push(entry);
        key
    }

    /// Begins a file at its end, or a bounded part before it; a compressed one was read already.
    fn begin_late(&self, entry: &mut Entry, first: First, now: Instant) -> std::io::Result<()> {
        self.open(entry, now)?;
        let Some(file) = &entry.handle else { return Ok(()) };
        (entry.sorted, entry.over) = (true, entry.gzip);
        let back = if first == First::Again { AGAIN } else { 0 };
        // Two bytes are a unit of UTF-16.
        let size = if self.w3c.is_some() { w3c::text_end(file, entry.size)? } else { entry.size };
        let at = size.saturating_sub(back) & !1;
        if at == 0 || entry.gzip {
            return Ok(());
        }
        let mut last = [0];
        system::read_exact_at(file, &mut last, at - 1)?;
        let mark = Mark::in_file(file, at)?;
        entry.advance(mark);
        entry.discard = if last == *b"\n" { Discard::Nothing } else { Discard::Line };
        Ok(())
    }

    /// A file is no longer where a pattern finds it.
    fn vanished(&mut self, key: u64, now: Instant) {
        let Some(entry) = self.entry(key) else { return };
        entry.place = None;
        entry.grew = now;
        if entry.handle.is_none() && !entry.over {
            entry.doubt = entry.size > entry.position + entry.padding + entry.kept.len() as u64;
            self.search(key, now);
        }
    }

    /// Looks for what rotation made of a content that is not read to its end.
    fn search(&mut self, key: u64, now: Instant) {
        let Some(entry) = self.entry(key) else { return };
        let (path, id) = (PathBuf::from(&entry.path), entry.id);
        for found in scan::left_of(&path, id) {
            if found.id == id
                && let Some(entry) = self.entry(key)
            {
                entry.place = Some(found.path);
                entry.relic = true;
                entry.resize(found.size, now);
                return;
            }
            if self.entries.iter().all(|entry| entry.id != found.id) {
                let key = self.add(found, First::Known, now);
                if let Some(entry) = self.entry(key) {
                    (entry.relic, entry.guess) = (true, true);
                }
            }
        }
    }

    /// Looks at the size of every file; returns whether the folders must be looked at.
    pub(super) fn glance(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for entry in &mut self.entries {
            let there = entry.place.as_ref().and_then(|place| {
                let metadata = std::fs::metadata(place).ok()?;
                Some((Identity::at(place, &metadata).ok()?, metadata))
            });
            match (there, &entry.handle) {
                (Some((id, metadata)), _) if id == entry.id => entry.update(&metadata, now),
                (_, Some(file)) => {
                    moved |= entry.place.is_some();
                    if let Ok(metadata) = file.metadata() {
                        entry.update(&metadata, now);
                    }
                }
                (_, None) => moved |= entry.place.is_some(),
            }
        }
        moved
    }

    /// Gives turns until a batch is full or nothing more is to be read. Returns whether there may be more.
    pub(super) fn collect(&mut self, now: Instant) -> bool {
        let mut more = false;
        let mut keys: Vec<u64> =
            self.entries.iter().filter(|entry| self.is_due(entry, now)).map(|entry| entry.key).collect();
        keys.sort_unstable();
        let turned = keys.partition_point(|&key| key <= self.turned);
        keys.rotate_left(turned);
        for key in keys {
            if self.frames.bytes().len() >= BATCH {
                return true;
            }
            self.turned = key;
            match self.turn(key, now) {
                Ok(Turn::Idle) => {}
                Ok(Turn::More) => more = true,
                Ok(Turn::Parted) => {
                    self.part(key, now);
                    more = true;
                }
                Err(error) => self.meet(key, &error),
            }
        }
        more
    }

    fn is_due(&self, entry: &Entry, now: Instant) -> bool {
        let rest = entry.read_to.is_some_and(|size| size > entry.position);
        let flush = rest && self.flushes(entry) && entry.quiet(now) >= self.settings.flush_after.min(GRACE);
        let due = flush || entry.read_to != Some(entry.size);
        entry.sorted && !entry.over && entry.is_live() && due && (entry.size > 0 || entry.position > 0)
    }

    fn part(&mut self, key: u64, now: Instant) {
        self.next_key += 1;
        let new_key = self.next_key;
        let Some(entry) = self.entry(key) else { return };
        let content = entry.part(new_key, now);
        let unread = !content.over;
        self.entries.push(content);
        if unread {
            self.search(new_key, now);
        }
        self.sort(now);
    }

    /// Ends what is ended, closes what is idle, and forgets the oldest of what is gone.
    pub(super) fn tidy(&mut self, now: Instant) {
        let mut unread = 0;
        for entry in &mut self.entries {
            let all = entry.read_to == Some(entry.size) && entry.size <= entry.position + entry.padding;
            // A copy may turn up, compressed even, until then.
            if entry.doubt && !entry.has_file() && entry.quiet(now) >= GRACE {
                unread += 1;
                entry.doubt = false;
            }
            if !entry.sorted && entry.is_ending() && entry.quiet(now) >= GRACE {
                (entry.handle, entry.place) = (None, None);
            }
            if entry.sorted && entry.is_ending() && entry.is_live() && all && entry.quiet(now) >= GRACE {
                entry.over = true;
                (entry.handle, entry.place, entry.relic) = (None, None, false);
            }
            if entry.handle.is_some() && entry.place.is_some() && all && entry.quiet(now) >= IDLE {
                entry.handle = None;
            }
        }
        self.inlet.tally().losses.add(Loss::Unread, unread);
        let mut gone = self.entries.iter().filter(|entry| !entry.is_live()).count();
        self.entries.sort_by_key(|entry| entry.key);
        self.entries.retain(|entry| {
            let forgotten = gone > MOST_GONE && !entry.is_live();
            gone -= usize::from(forgotten);
            !forgotten
        });
    }

    /// Delivers what was collected, waits for the disk, and then saves the positions.
    pub(super) async fn settle(&mut self) {
        self.progress.tell(&self.entries, &self.inlet.tally().notes);
        if !self.frames.is_empty() {
            let delivery = self.inlet.deliver(&self.settings.table, &self.frames).await;
            self.frames.clear();
            self.inlet.durable(&delivery).await;
        }
        let fingerprint = Positions::fingerprint(&self.entries);
        if self.saved == Some(fingerprint) {
            return;
        }
        let positions = self.positions.clone();
        let image = Positions::image(&self.entries);
        let saved = task::spawn_blocking(move || positions.save(&image)).await;
        match saved.map_err(std::io::Error::other).flatten() {
            Ok(()) => (self.saved, self.save_failed) = (Some(fingerprint), false),
            Err(error) => {
                if !std::mem::replace(&mut self.save_failed, true) {
                    let text =
                        format!("positions cannot be saved, records may come twice after a restart: {error}");
                    say(Event::SourceTrouble, &self.source, text);
                }
            }
        }
    }

    pub(super) fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    pub(super) fn take(&mut self, key: u64) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(index))
    }

    pub(super) fn meet(&mut self, key: u64, error: &std::io::Error) {
        let Some(entry) = self.entry(key) else { return };
        let path = entry.path.clone();
        entry.handle = None;
        entry.inflating = None;
        // A damaged file is not decompressed again and again.
        entry.read_to = entry.gzip.then_some(entry.size);
        self.troubles.meet(&self.source, &self.inlet.tally().losses, &path, error);
    }
}
