//! What is kept of a data collection rule from one start to the next: one file, replaced in one step.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::document::Document;
use super::now;
use crate::durable;
use crate::parse::dcr::LARGEST_RULE;

/// Largest file: a rule, its escapes in JSON, and what is said of another.
const LARGEST: u64 = 4 * LARGEST_RULE as u64;

/// Most documents that are remembered because sending stopped with them; of more, the oldest are forgotten.
const MOST_ROLLED_BACK: usize = 32;
/// Most characters that are kept of why.
const LONGEST_REASON: usize = 300;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// Where the rule lies: the rule of another place is none.
    pub(super) place: String,
    /// The version that sending went on with.
    pub(super) last_good: Option<Document>,
    /// The version that is not tried again.
    pub(super) refused: Option<Refused>,
    /// The version on probation.
    pub(super) trying: Option<Trying>,
    /// The documents that sending stopped with, the newest last.
    #[serde(default)]
    pub(super) rolled_back: Vec<RolledBack>,
}

/// A document that sending stopped with, whatever its version is the next time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RolledBack {
    hash: String,
    at: String,
    reason: String,
}

/// A version that is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    pub(super) version: String,
    pub(super) at: String,
    pub(super) reasons: Vec<String>,
    /// Sending stopped with it; else it could not be used at all.
    pub(super) rolled_back: bool,
}

/// A version on probation, and how often it was begun with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trying {
    pub(super) version: String,
    #[serde(default)]
    pub(super) hash: String,
    pub(super) times: u32,
}

impl Kept {
    /// Nothing of a place.
    pub(super) fn of(place: &str) -> Self {
        Self { place: place.to_owned(), ..Self::default() }
    }

    /// Remembers a document that sending stopped with.
    pub(super) fn remember(&mut self, hash: &str, reason: &str) {
        // An earlier version of this program kept no hash of what it tried.
        if hash.is_empty() {
            return;
        }
        self.rolled_back.retain(|known| known.hash != hash);
        let surplus = (self.rolled_back.len() + 1).saturating_sub(MOST_ROLLED_BACK);
        self.rolled_back.drain(..surplus);
        let reason = reason.chars().take(LONGEST_REASON).collect();
        self.rolled_back.push(RolledBack { hash: hash.to_owned(), at: now(), reason });
    }

    /// Returns why a document is not tried again, if sending stopped with it.
    pub(super) fn known_bad(&self, hash: &str) -> Option<String> {
        let known = self.rolled_back.iter().find(|known| known.hash == hash)?;
        Some(format!(
            "sending stopped with this document before, at {}: {}; change it, or reload the agent to have it tried again",
            known.at, known.reason
        ))
    }
}

/// The file.
pub(super) struct Store(PathBuf);

impl Store {
    pub(super) fn new(state: &Path) -> Self {
        Self(state.join("data-collection-rule.json"))
    }

    /// Reads what is kept of the rule of this place.
    pub(super) fn load(&self, place: &str) -> io::Result<Kept> {
        let file = match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::of(place)),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        let kept: Kept = serde_json::from_slice(&text)?;
        Ok(if kept.place == place { kept } else { Kept::of(place) })
    }

    /// Replaces the file; after a crash it is the old one or the new one.
    pub(super) fn save(&self, kept: &Kept) -> io::Result<()> {
        durable::replace(&self.0, &serde_json::to_vec(kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn kept() -> Kept {
        Kept {
            place: "https://acct.blob.core.windows.net/c/rule.json".to_owned(),
            last_good: Some(Document::new(Some("\"0x1\"".to_owned()), b"{\"a\": \"\xc3\xa9\"}")),
            refused: Some(Refused {
                version: "\"0x2\"".to_owned(),
                at: "t".to_owned(),
                reasons: vec!["r".to_owned()],
                rolled_back: true,
            }),
            trying: Some(Trying { version: "\"0x3\"".to_owned(), hash: "h".to_owned(), times: 2 }),
            rolled_back: vec![RolledBack {
                hash: "h".to_owned(),
                at: "t".to_owned(),
                reason: "r".to_owned(),
            }],
        }
    }

    #[test]
    fn what_is_kept_comes_back_for_its_place_only_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let kept = kept();
        assert_eq!(store.load(&kept.place).unwrap(), Kept::of(&kept.place), "there is none yet");
        store.save(&Kept::default()).unwrap();
        store.save(&kept).unwrap();
        assert_eq!(store.load(&kept.place).unwrap(), kept);
        assert_eq!(store.load("/elsewhere").unwrap(), Kept::of("/elsewhere"));
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&store.0).unwrap()) & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let text = r#"{"place":"p","last_good":null,"refused":null,"trying":{"version":"v","times":2}}"#;
        fs::write(&store.0, text).unwrap();
        let trying = Some(Trying { version: "v".to_owned(), hash: String::new(), times: 2 });
        assert_eq!(store.load("p").unwrap(), Kept { trying, ..Kept::of("p") });
    }

    #[test]
    fn no_more_documents_are_remembered_than_there_is_room_for_and_the_oldest_is_forgotten() {
        let mut kept = Kept::of("p");
        for number in 0..1000 {
            kept.remember(&format!("h{number}"), &"r".repeat(1000));
            kept.remember(&format!("h{number}"), "again");
        }
        assert_eq!(kept.rolled_back.len(), MOST_ROLLED_BACK);
        assert!(kept.known_bad("h0").is_none() && kept.known_bad("h999").unwrap().contains("again"));
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_said_and_never_a_rule() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let kept = kept();
        store.save(&kept).unwrap();
        let whole = fs::read(&store.0).unwrap();
        for length in 0..whole.len() {
            fs::write(&store.0, &whole[..length]).unwrap();
            assert!(store.load(&kept.place).is_err(), "{length}");
        }
    }
}
