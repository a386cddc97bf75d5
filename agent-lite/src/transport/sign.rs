use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::STANDARD;
use common::secret::Secret;
use ring::digest;
use ring::hmac;

/// Reads with or without padding, whatever the last bits are.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The primary or secondary key of a workspace, ready to sign.
#[derive(Clone)]
pub struct WorkspaceKey(hmac::Key);

/// Text that is no workspace key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the workspace key is not base64; copy it whole from the workspace's `Agents` page")]
pub struct KeyError;

impl WorkspaceKey {
    /// Reads a key in base64; white space in it is no fault.
    pub fn parse(text: &Secret) -> Result<Self, KeyError> {
        let mut kept = text.expose().as_bytes().to_vec();
        kept.retain(|byte| !byte.is_ascii_whitespace());
        let key = LENIENT.decode(&kept).map_err(|_| KeyError)?;
        match key.is_empty() {
            true => Err(KeyError),
            false => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key))),
        }
    }

    /// Returns the HMAC-SHA256 of a text in base64.
    pub(super) fn sign(&self, text: &str) -> String {
        STANDARD.encode(hmac::sign(&self.0, text.as_bytes()))
    }
}

impl std::fmt::Debug for WorkspaceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[workspace key]")
    }
}

/// Returns the SHA-256 of some bytes in base64.
pub(super) fn content_hash(bytes: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, bytes))
}

/// Returns the SHA-256 of some bytes in lower-case hex.
pub(super) fn hex_hash(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The key of the vectors: bytes 0 to 63.
    pub(in crate::transport) const KEY: &str =
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";

    pub(in crate::transport) fn key() -> WorkspaceKey {
        WorkspaceKey::parse(&Secret::new(KEY.to_owned())).unwrap()
    }

    #[test]
    fn the_same_key_is_read_from_every_way_it_is_pasted() {
        let signature = key().sign("text");
        let (first, second) = KEY.split_at(40);
        for text in
            [format!(" {KEY}\r\n"), format!("{first}\n{second}"), KEY.trim_end_matches('=').to_owned()]
        {
            assert_eq!(WorkspaceKey::parse(&Secret::new(text)).unwrap().sign("text"), signature);
        }
        for wrong in ["", "  ", "not base64!", "====", "é"] {
            assert_eq!(WorkspaceKey::parse(&Secret::new(wrong.to_owned())).err(), Some(KeyError), "{wrong}");
        }
        assert_eq!(format!("{:?}", key()), "[workspace key]");
    }

    #[test]
    fn a_hash_is_written_in_hex() {
        assert_eq!(hex_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
