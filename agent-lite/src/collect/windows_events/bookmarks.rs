//! Where each channel was left, in a file of its own below the state folder.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::config::settings::ChannelQuery;
use crate::durable;

const VERSION: u32 = 1;
/// Largest file of bookmarks that is read: 16 MiB.
const LARGEST: u64 = 16 << 20;
/// Most channels and queries that are remembered; those that nobody asks for any more are forgotten first.
const MOST: usize = 500;

/// Where bookmarks lie.
#[derive(Clone, Debug)]
pub(super) struct Bookmarks {
    path: PathBuf,
}

/// Where one channel was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Left {
    pub(super) channel: String,
    pub(super) query: String,
    /// The event log's own bookmark.
    pub(super) bookmark: String,
    /// The number of the event before it.
    pub(super) record: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    channels: Vec<Left>,
}

impl Bookmarks {
    pub(super) fn new(state: &Path, source: &str) -> Self {
        Self { path: state.join("positions").join(format!("{source}.json")) }
    }

    /// Reads what was saved, and says if it is damaged. An error means that it cannot be told now.
    pub(super) fn load(&self) -> io::Result<(Vec<Left>, Option<String>)> {
        let bytes = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > LARGEST => Vec::new(),
            Ok(_) => fs::read(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        };
        let error = match serde_json::from_slice::<Document>(&bytes) {
            Ok(Document { version: VERSION, channels }) => return Ok((channels, None)),
            Ok(Document { version, .. }) => format!("version {version} is not known"),
            Err(error) => error.to_string(),
        };
        let aside = self.path.with_extension("json.damaged");
        durable::rename(&self.path, &aside)?;
        let damage = format!("{}: {error}; it lies in {} now", self.path.display(), aside.display());
        Ok((Vec::new(), Some(damage)))
    }

    /// Replaces the file: after a crash there is the old one or the new one.
    pub(super) fn save(&self, channels: &[Left]) -> io::Result<()> {
        let document = Document { version: VERSION, channels: channels.to_vec() };
        let image = serde_json::to_vec(&document).unwrap_or_default();
        durable::make_folder(durable::folder_of(&self.path))?;
        durable::replace(&self.path, &image)
    }
}

/// Puts where a channel was left in the place of what was known.
pub(super) fn put(all: &mut Vec<Left>, left: Left) {
    match all.iter_mut().find(|other| other.channel == left.channel && other.query == left.query) {
        Some(other) => *other = left,
        None => all.push(left),
    }
}

/// Forgets what is not wanted any more when there is too much, the oldest first: rules from afar come and go.
pub(super) fn forget(all: &mut Vec<Left>, wanted: &[ChannelQuery]) {
    let mut surplus = all.len().saturating_sub(MOST);
    all.retain(|left| {
        let is_wanted = |one: &ChannelQuery| one.channel == left.channel && one.query == left.query;
        let goes = surplus > 0 && !wanted.iter().any(is_wanted);
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_any_more_is_forgotten_when_there_is_too_much() {
        let left = |query: usize| Left {
            channel: "System".to_owned(),
            query: format!("*[System[EventID={query}]]"),
            bookmark: "<BookmarkList/>".to_owned(),
            record: None,
        };
        let wanted = [ChannelQuery { channel: "System".to_owned(), query: left(0).query }];
        let mut all = Vec::new();
        for query in 0..5 * MOST {
            put(&mut all, left(query));
            forget(&mut all, &wanted);
        }
        assert_eq!((all.len(), &all[0]), (MOST, &left(0)));
        assert_eq!(all.last(), Some(&left(5 * MOST - 1)));
    }

    #[test]
    fn bookmarks_come_back_and_damaged_ones_lie_aside() {
        let folder = tempfile::tempdir().unwrap();
        let bookmarks = Bookmarks::new(folder.path(), "windows_events.a");
        assert_eq!(bookmarks.load().unwrap(), (Vec::new(), None));
        let left = |channel: &str, record| Left {
            channel: channel.to_owned(),
            query: "*".to_owned(),
            bookmark: "<BookmarkList/>".to_owned(),
            record: Some(record),
        };
        let mut all = Vec::new();
        for (channel, record) in [("System", 1), ("Application", 7), ("System", 2)] {
            put(&mut all, left(channel, record));
        }
        assert_eq!(all, [left("System", 2), left("Application", 7)]);
        bookmarks.save(&all).unwrap();
        assert_eq!(bookmarks.load().unwrap(), (all, None));
        fs::write(&bookmarks.path, "{\"version\":2,\"channels\":[]}").unwrap();
        assert!(bookmarks.load().unwrap().1.is_some());
        assert_eq!(bookmarks.load().unwrap(), (Vec::new(), None));
    }
}
