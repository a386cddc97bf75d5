//! Endless pseudo-random content that both ends can make, and its SHA-256.
//!
//! Content is blocks of [`BLOCK`] bytes: the first eight are the block's number, the others depend on the
//! seed alone. Lost, doubled and exchanged blocks all change the hash, and a debug build makes it fast.

use bytes::Bytes;

/// Bytes in one block.
pub const BLOCK: usize = 64 * 1024;

/// A source of content of a known length.
pub struct Content {
    block: Vec<u8>,
    number: u64,
    remaining: u64,
}

impl Content {
    /// Returns `length` bytes that depend on `seed`.
    pub fn new(seed: u64, length: u64) -> Self {
        let mut state = seed;
        let block = (0..BLOCK / 8).flat_map(|_| split_mix(&mut state).to_le_bytes()).collect();
        Self { block, number: 0, remaining: length }
    }

    /// Returns how many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns all content at once.
    pub fn all(self) -> Vec<u8> {
        self.flatten().collect()
    }
}

impl Iterator for Content {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        self.block[..8].copy_from_slice(&self.number.to_be_bytes());
        let length = self.remaining.min(BLOCK as u64);
        self.number += 1;
        self.remaining -= length;
        Some(Bytes::copy_from_slice(&self.block[..length as usize]))
    }
}

/// A running SHA-256 that also counts.
pub struct Hash {
    context: ring::digest::Context,
    length: u64,
}

impl Hash {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self { context: ring::digest::Context::new(&ring::digest::SHA256), length: 0 }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Returns the hash in hexadecimal and the length, as `POST /hash` answers them.
    pub fn finish(self) -> String {
        let digest = self.context.finish();
        let text: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text} {}", self.length)
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the hash line of a whole [`Content`].
pub fn hash_of(content: Content) -> String {
    let mut hash = Hash::new();
    content.for_each(|block| hash.update(&block));
    hash.finish()
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_its_length_and_depends_on_its_seed() {
        let length = 3 * BLOCK as u64 + 17;
        assert_eq!(Content::new(1, length).all().len() as u64, length);
        assert_eq!(hash_of(Content::new(1, length)), hash_of(Content::new(1, length)));
        assert_ne!(hash_of(Content::new(1, length)), hash_of(Content::new(2, length)));
    }

    #[test]
    fn the_hash_is_sha_256() {
        let mut hash = Hash::new();
        hash.update(b"abc");
        assert_eq!(hash.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3");
    }
}
