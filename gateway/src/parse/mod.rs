//! Readers of foreign bytes: pure, strict, and never surprised.
//!
//! Each `read` gets everything that has arrived so far and is called again with more. `Ok(None)`
//! means "whole so far". Any other answer is final: it is the answer to every longer input, too.
//! Nothing is decrypted and nothing is changed; the caller keeps the bytes and passes them on.

pub mod client_hello;
mod fields;
pub mod request;
pub mod server_hello;
mod tls_record;

use std::error::Error;
use std::fmt;

/// Longest hello that is gathered, in bytes on the wire (record headers included).
///
/// A post-quantum hello has 2 to 4 KiB. No `read` asks for more once this many bytes are there.
pub const LONGEST_HELLO: usize = 32 * 1024;

/// A TLS protocol version as seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// SSL 3.0, 0x0300.
    Ssl3,
    /// TLS 1.0, 0x0301.
    Tls10,
    /// TLS 1.1, 0x0302.
    Tls11,
    /// TLS 1.2, 0x0303.
    Tls12,
    /// TLS 1.3, 0x0304.
    Tls13,
}

impl TlsVersion {
    /// Returns the version as records and metrics spell it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ssl3 => "ssl3",
            Self::Tls10 => "1.0",
            Self::Tls11 => "1.1",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    /// Returns the version with this number, or nothing for GREASE, drafts and the future.
    fn from_number(number: u16) -> Option<Self> {
        match number {
            0x0300 => Some(Self::Ssl3),
            0x0301 => Some(Self::Tls10),
            0x0302 => Some(Self::Tls11),
            0x0303 => Some(Self::Tls12),
            0x0304 => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// Why bytes are not the hello they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// The first bytes are not those of a TLS record with a handshake: HTTP, SSH, SSLv2, anything.
    NotTls,
    /// TLS records whose content breaks the rule that is named.
    Malformed(&'static str),
    /// The hello does not end within [`LONGEST_HELLO`].
    TooLong,
    /// An alert stands where the hello must stand; [`server_hello::read`] makes it an answer.
    Alert {
        /// What the alert says (RFC 8446 section 6).
        description: u8,
    },
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("the first bytes are not TLS"),
            Self::Malformed(rule) => write!(f, "malformed hello: {rule}"),
            Self::TooLong => write!(f, "the hello is longer than {LONGEST_HELLO} bytes"),
            Self::Alert { description } => write!(f, "alert {description} stands in place of a hello"),
        }
    }
}

impl Error for HelloError {}

/// Makes hellos for the tests of this floor, and cuts them.
#[cfg(test)]
mod forge {
    use std::fmt::Debug;

    use super::HelloError;

    /// Reads `bytes` cut at every place. Returns the answer and the length that was enough for it.
    pub(super) fn settle<A: PartialEq + Debug>(
        read: impl Fn(&[u8]) -> Result<Option<A>, HelloError>,
        bytes: &[u8],
    ) -> (usize, Result<Option<A>, HelloError>) {
        let answers = (0..=bytes.len()).map(|end| read(&bytes[..end]));
        let mut settled: Option<(usize, Result<Option<A>, HelloError>)> = None;
        for (end, answer) in answers.enumerate() {
            match &settled {
                Some((at, first)) => {
                    assert_eq!(&answer, first, "settled at {at}, changed at {end}: {bytes:02x?}")
                }
                None if answer != Ok(None) => settled = Some((end, answer)),
                None => {}
            }
        }
        settled.unwrap_or((bytes.len(), Ok(None)))
    }

    pub(super) fn vector8(content: &[u8]) -> Vec<u8> {
        [&[u8::try_from(content.len()).expect("a short vector")], content].concat()
    }

    pub(super) fn vector16(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).expect("a short vector").to_be_bytes()[..], content].concat()
    }

    pub(super) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector16(content)].concat()
    }

    pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).expect("a short body").to_be_bytes();
        [&[kind], &length[1..], body].concat()
    }

    pub(super) fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
        [&[kind, 3, 1], &vector16(fragment)[..]].concat()
    }

    /// Puts a handshake message into records of at most `size` bytes each.
    pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|fragment| record(22, fragment)).collect()
    }

    pub(super) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_and_spelled_as_in_records() {
        let numbers = [0x0300, 0x0301, 0x0302, 0x0303, 0x0304];
        let versions: Vec<_> = numbers.into_iter().filter_map(TlsVersion::from_number).collect();
        assert!(versions.is_sorted());
        let labels: Vec<_> = versions.into_iter().map(TlsVersion::label).collect();
        assert_eq!(labels, ["ssl3", "1.0", "1.1", "1.2", "1.3"]);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let cases = [
            (HelloError::NotTls, "the first bytes are not TLS"),
            (HelloError::Malformed("an empty record"), "malformed hello: an empty record"),
            (HelloError::TooLong, "the hello is longer than 32768 bytes"),
            (HelloError::Alert { description: 40 }, "alert 40 stands in place of a hello"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
