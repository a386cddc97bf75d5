//! One version of a data collection rule.

use serde::Deserialize;
use serde::Serialize;

use super::now;

/// Longest version of a file: the beginning of its hash.
const HASH_DIGITS: usize = 32;

/// A rule as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::agent) struct Document {
    /// The blob's ETag, or the hash of the text.
    pub(super) version: String,
    /// When it came, RFC 3339.
    pub(super) taken: String,
    /// The JSON.
    pub(super) text: String,
    /// What came instead of a text: only shown to the reader, which refuses it.
    #[serde(skip)]
    no_text: Option<Vec<u8>>,
}

impl Document {
    /// Joins bytes and their version; those without one are known by their hash.
    pub(super) fn new(etag: Option<String>, bytes: &[u8]) -> Self {
        let version = etag.unwrap_or_else(|| hash(bytes));
        let (text, no_text) = match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            // Replaced letters inside a text of the JSON would be another rule.
            Err(_) => (String::new(), Some(bytes.to_vec())),
        };
        Self { version, taken: now(), text, no_text }
    }

    /// Returns what came.
    pub(super) fn bytes(&self) -> &[u8] {
        self.no_text.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// Returns what it is known by under another version, too.
    pub(super) fn hash(&self) -> String {
        hash(self.bytes())
    }
}

/// Returns the beginning of the SHA-256 of some bytes, in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut text: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(HASH_DIGITS);
    format!("sha256:{text}")
}
