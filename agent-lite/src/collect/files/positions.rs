//! Where the reading stands, on the disk: one file a source, replaced whole.

use std::fs;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use super::entry::Entry;
use super::identity::Head;
use super::identity::Identity;
use super::identity::Mark;
use crate::durable;
use crate::parse::lines::Discard;
use crate::parse::w3c::Directives;

/// The form of the file; another one is set aside like a damaged one.
const VERSION: u32 = 1;
/// Most bytes of it that are read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The file of one source.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    path: PathBuf,
}

/// What was found at the start.
#[derive(Debug)]
pub(super) enum Loaded {
    /// Nothing: the source is new.
    New,
    /// Where it stood.
    Known(Vec<Entry>),
    /// Something else; it lies aside now.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    files: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    id: Identity,
    raw: Head,
    content: Head,
    gzip: bool,
    position: u64,
    marks: Vec<Mark>,
    discard: u8,
    over: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directives: Option<Directives>,
}

impl Positions {
    pub(super) fn new(state: &Path, source: &str) -> Self {
        Self { path: state.join("positions").join(format!("{source}.json")) }
    }

    /// Reads what was saved. An error means that it cannot be told now; nothing may be read then.
    pub(super) fn load(&self, now: Instant) -> io::Result<Loaded> {
        let name = self.path.display();
        let bytes = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > LARGEST => Vec::new(),
            Ok(_) => fs::read(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::New),
            Err(error) => return Err(error),
        };
        let error = match serde_json::from_slice::<Document>(&bytes) {
            Ok(Document { version: VERSION, files }) => return Ok(Loaded::Known(entries(files, now))),
            Ok(Document { version, .. }) => format!("version {version} is not known"),
            Err(error) => error.to_string(),
        };
        let aside = self.path.with_extension("json.damaged");
        durable::rename(&self.path, &aside)?;
        Ok(Loaded::Damaged(format!("{name}: {error}; it lies in {} now", aside.display())))
    }

    /// Returns what [`Positions::save`] writes.
    pub(super) fn image(entries: &[Entry]) -> Vec<u8> {
        let files = entries.iter().filter(|entry| entry.sorted && (entry.position > 0 || entry.over));
        let document = Document { version: VERSION, files: files.map(line).collect() };
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Returns a number that changes when the image does.
    pub(super) fn fingerprint(entries: &[Entry]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in entries.iter().filter(|entry| entry.sorted && (entry.position > 0 || entry.over)) {
            let (mark, content) = (entry.mark(), entry.content.length);
            (entry.key, entry.position, entry.over, entry.gzip, entry.id, content).hash(&mut hasher);
            (mark, entry.raw, entry.discard as u8).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Replaces the file: after a crash there is the old one or the new one.
    pub(super) fn save(&self, image: &[u8]) -> io::Result<()> {
        durable::make_folder(durable::folder_of(&self.path))?;
        durable::replace(&self.path, image)
    }
}

fn line(entry: &Entry) -> Line {
    Line {
        path: entry.path.clone(),
        id: entry.id,
        raw: entry.raw,
        content: entry.content,
        gzip: entry.gzip,
        position: entry.position,
        marks: entry.marks.clone(),
        discard: match entry.discard {
            Discard::Nothing => 0,
            Discard::Line => 1,
            Discard::Record => 2,
        },
        over: entry.over,
        directives: entry.directives.clone().filter(|_| !entry.over),
    }
}

fn entries(lines: Vec<Line>, now: Instant) -> Vec<Entry> {
    let entry = |(line, key): (Line, u64)| {
        let mut entry = Entry::new(key, line.path, line.id, now);
        (entry.raw, entry.content, entry.gzip) = (line.raw, line.content, line.gzip);
        (entry.position, entry.marks, entry.over) = (line.position, line.marks, line.over);
        entry.directives = line.directives;
        // A mark that is not the position's proves nothing about it.
        if entry.mark().at != entry.position {
            entry.marks = vec![Mark::of(entry.position, b"")];
        }
        entry.discard = match line.discard {
            1 => Discard::Line,
            2 => Discard::Record,
            _ => Discard::Nothing,
        };
        entry.sorted = true;
        entry
    };
    lines.into_iter().zip(1..).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_and_damaged_ones_lie_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (positions, now) = (Positions::new(folder.path(), "files.app"), Instant::now());
        assert!(matches!(positions.load(now), Ok(Loaded::New)));
        let mut entry = Entry::new(1, "/a".to_owned(), Identity::default(), now);
        entry.sorted = true;
        entry.discard = Discard::Record;
        entry.advance(Mark::of(7, b"1234567"));
        let image = Positions::image(&[entry]);
        positions.save(&image).unwrap();
        let Ok(Loaded::Known(entries)) = positions.load(now) else { panic!("known") };
        assert_eq!((entries[0].position, entries[0].discard), (7, Discard::Record));
        for length in 0..image.len() {
            fs::write(&positions.path, &image[..length]).unwrap();
            assert!(matches!(positions.load(now), Ok(Loaded::Damaged(_))), "{length}");
            assert!(matches!(positions.load(now), Ok(Loaded::New)), "{length}");
        }
    }
}
