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
}

impl Document {
    /// Joins bytes and their version; those without one are known by their hash. What is no UTF-8 becomes text that
    /// no reader takes.
    pub(super) fn new(etag: Option<String>, bytes: &[u8]) -> Self {
        let version = etag.unwrap_or_else(|| hash(bytes));
        Self { version, taken: now(), text: String::from_utf8_lossy(bytes).into_owned() }
    }
}

/// Returns the beginning of the SHA-256 of some bytes, in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut text: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(HASH_DIGITS);
    format!("sha256:{text}")
}
