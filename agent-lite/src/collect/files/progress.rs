//! How far long files are read, for whoever asks for the status.

use std::collections::BTreeSet;

use bytesize::ByteSize;

use super::entry::Entry;
use crate::counters::Notes;

/// Unread bytes from which on it is told how far a file is read.
const LONG: u64 = 4 * 1024 * 1024;

/// The files that something is told of.
#[derive(Debug, Default)]
pub(super) struct Progress {
    told: BTreeSet<String>,
}

impl Progress {
    /// Tells of files with much left to read how far they are, and nothing any more of the others.
    pub(super) fn tell(&mut self, entries: &[Entry], notes: &Notes) {
        let mut told = BTreeSet::new();
        for entry in entries {
            if let Some(text) = far(entry) {
                notes.say(&entry.path, text);
                told.insert(entry.path.clone());
            }
        }
        for path in self.told.difference(&told) {
            notes.take_back(path);
        }
        self.told = told;
    }
}

/// Returns how far a file is read, if much of it is not. Of a compressed one the bytes of the file itself count: how
/// long its content is, nobody knows.
fn far(entry: &Entry) -> Option<String> {
    if !entry.sorted || entry.over || !entry.has_file() {
        return None;
    }
    let read = match &entry.inflating {
        Some(inflating) => inflating.consumed(),
        None if entry.gzip => 0,
        None => entry.position,
    };
    let unread = entry.size.saturating_sub(read.saturating_add(entry.padding));
    (unread >= LONG).then(|| format!("{} of {} read", ByteSize::b(read), ByteSize::b(entry.size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::files::identity::Identity;
    use std::path::PathBuf;
    use std::time::Instant;

    fn entry(path: &str, position: u64, size: u64) -> Entry {
        let mut entry = Entry::new(1, path.to_owned(), Identity::default(), Instant::now());
        (entry.sorted, entry.position, entry.size) = (true, position, size);
        entry.place = Some(PathBuf::from(path));
        entry
    }

    #[test]
    fn a_long_file_is_told_of_until_little_of_it_is_left() {
        let (mut progress, notes) = (Progress::default(), Notes::default());
        notes.say("channel", "somebody else's");
        let mut entries = [entry("long", 1 << 20, 1 << 30), entry("short", 0, 1000)];
        progress.tell(&entries, &notes);
        assert_eq!(notes.all(), ["channel: somebody else's", "long: 1.0 MiB of 1.0 GiB read"]);
        entries[0].position = 1 << 29;
        progress.tell(&entries, &notes);
        assert_eq!(notes.all()[1], "long: 512.0 MiB of 1.0 GiB read");
        entries[0].position = (1 << 30) - 1000;
        progress.tell(&entries, &notes);
        assert_eq!(notes.all(), ["channel: somebody else's"]);
    }

    #[test]
    fn of_a_file_that_took_the_place_of_another_the_longer_is_told() {
        let (mut progress, notes) = (Progress::default(), Notes::default());
        let entries = [entry("a.log", 0, 1 << 30), entry("a.log", 0, 10)];
        progress.tell(&entries, &notes);
        assert_eq!(notes.all(), ["a.log: 0 B of 1.0 GiB read"]);
        progress.tell(&entries[1..], &notes);
        assert_eq!(notes.all(), [""; 0]);
    }
}
