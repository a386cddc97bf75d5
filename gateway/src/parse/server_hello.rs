//! The ServerHello: the version a server has chosen (RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3).
//!
//! ```text
//! body = version(2) random(32) session_id cipher_suite(2) compression(1) [extensions]
//! supported_versions = version(2)      only if TLS 1.3 is chosen, and then version is 0x0303
//! ```
//!
//! A HelloRetryRequest is a ServerHello with a fixed random. It names the version as well.

use crate::parse::HelloError;
use crate::parse::TlsVersion;
use crate::parse::fields::Fields;
use crate::parse::tls_record;
use crate::parse::tls_record::Alerts;

const SERVER_HELLO: u8 = 2;
const SUPPORTED_VERSIONS: u16 = 43;
const LEGACY_VERSION: u16 = 0x0303;
const RANDOM: usize = 32;
const LONGEST_SESSION_ID: usize = 32;

/// What a server says to a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAnswer {
    /// A ServerHello.
    Hello {
        /// The version the server has chosen.
        version: TlsVersion,
    },
    /// A HelloRetryRequest: the client says its hello again (RFC 8446 section 4.1.4).
    Retry {
        /// The version the server has chosen.
        version: TlsVersion,
    },
    /// The server ends the handshake. Warnings before its hello are skipped.
    Alert {
        /// What the alert says (RFC 8446 section 6).
        description: u8,
    },
}

/// Reads the server's first handshake message, or the alert sent instead.
///
/// `Ok(None)` means: whole so far, more bytes are needed.
pub fn read(bytes: &[u8]) -> Result<Option<ServerAnswer>, HelloError> {
    match tls_record::first_message(bytes, SERVER_HELLO, Alerts::Read) {
        Ok(Some(body)) => read_body(&body).map(Some),
        Ok(None) => Ok(None),
        Err(HelloError::Alert { description }) => Ok(Some(ServerAnswer::Alert { description })),
        Err(error) => Err(error),
    }
}

/// The random of every HelloRetryRequest: SHA-256 of that word.
const RETRY: [u8; RANDOM] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

fn read_body(body: &[u8]) -> Result<ServerAnswer, HelloError> {
    let mut fields = Fields::new(body);
    let legacy_version = fields.number16()?;
    let random = fields.bytes(RANDOM)?;
    if fields.vector8()?.len() > LONGEST_SESSION_ID {
        return Err(HelloError::Malformed("a session id longer than 32 bytes"));
    }
    let _cipher_suite = fields.number16()?;
    let _compression = fields.number8()?;
    let [supported_versions] = fields.extensions([SUPPORTED_VERSIONS])?;
    let version = match supported_versions {
        Some(content) => selected(content, legacy_version),
        None => legacy(legacy_version),
    }?;
    Ok(match random == RETRY {
        true => ServerAnswer::Retry { version },
        false => ServerAnswer::Hello { version },
    })
}

fn selected(content: &[u8], legacy_version: u16) -> Result<TlsVersion, HelloError> {
    let mut fields = Fields::new(content);
    let number = fields.number16()?;
    fields.finish()?;
    if legacy_version != LEGACY_VERSION {
        return Err(HelloError::Malformed("supported_versions beside a legacy version other than TLS 1.2"));
    }
    match TlsVersion::from_number(number) {
        Some(TlsVersion::Tls13) => Ok(TlsVersion::Tls13),
        _ => Err(HelloError::Malformed("supported_versions chooses another version than TLS 1.3")),
    }
}

fn legacy(number: u16) -> Result<TlsVersion, HelloError> {
    match TlsVersion::from_number(number) {
        Some(TlsVersion::Tls13) => Err(HelloError::Malformed("TLS 1.3 without supported_versions")),
        Some(version) => Ok(version),
        None => Err(HelloError::Malformed("the server chooses an unknown version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::forge;
    use proptest::prelude::*;

    /// First records of `openssl s_server` 3.0.
    const OPENSSL_13: &str = "160303007a0200007603033d0e305877196ea59e964d53ef3b771d33a2bc05ce8b2a384e96ef8e17fe98
        3320bd88576efaeafd473f2aec839f9e0ddf6337c95cdae63158fe04599127adbdd1130200002e002b0002030400330024001d00
        20b26e884d5ff9d32143ba790ef2b83f9be7fb0d5bfff401a5bbfe0bb7102cbe0b";
    const OPENSSL_RETRY: &str = "1603030058020000540303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8
        339c20c3832dd901a29e1c7554fbc0ddbb17a09f1c67548074d17b5ea1556bcb5ad49f130200000c002b00020304003300020017";
    const OPENSSL_12: &str =
        "16030300410200003d03038e88ea610ebd5916fda7acd9989490adf2a9d0ec8d94cd12444f574e4752
        440100c030000015ff01000100000b0004030001020023000000170000";
    const OPENSSL_11: &str =
        "160302003d0200003903024f2235c0d0649e621e6199dfa378a641f58e45d88363eb60444f574e475244
        0000002f000011ff01000100002300000016000000170000";
    const OPENSSL_10: &str =
        "160301003d020000390301a59c2cac4447f25b09fac292801ddef9e379959a16f1ea73444f574e475244
        0000002f000011ff01000100002300000016000000170000";
    const OPENSSL_PROTOCOL_VERSION_ALERT: &str = "15030300020246";
    const OPENSSL_UNRECOGNIZED_NAME_WARNING: &str = "15030300020170";

    #[test]
    fn t07_answers_of_a_real_server_are_read_once_whole_and_not_before() {
        use TlsVersion::*;
        let hello = |version| ServerAnswer::Hello { version };
        let warned = [OPENSSL_UNRECOGNIZED_NAME_WARNING, OPENSSL_11].concat();
        let cases = [
            (OPENSSL_13, hello(Tls13)),
            (OPENSSL_RETRY, ServerAnswer::Retry { version: Tls13 }),
            (OPENSSL_12, hello(Tls12)),
            (OPENSSL_11, hello(Tls11)),
            (OPENSSL_10, hello(Tls10)),
            (&warned, hello(Tls11)),
            (OPENSSL_PROTOCOL_VERSION_ALERT, ServerAnswer::Alert { description: 70 }),
        ];
        for (text, expected) in cases {
            let bytes = forge::hex(text);
            assert_eq!(forge::settle(read, &bytes), (bytes.len(), Ok(Some(expected))), "{text}");
            let with_more = [&bytes[..], b"\x16\x03\x03\x02\0\x0b"].concat();
            assert_eq!(read(&with_more), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn t07_the_version_is_the_selected_one_else_the_legacy_one_and_never_a_contradiction() {
        use TlsVersion::*;
        let other = Err("supported_versions chooses another version than TLS 1.3");
        let beside = Err("supported_versions beside a legacy version other than TLS 1.2");
        let unknown = Err("the server chooses an unknown version");
        let cases = [
            (0x0303, Some(0x0304), Ok(Tls13)),
            (0x0303, Some(0x0303), other),
            (0x0303, Some(0x0302), other),
            (0x0303, Some(0x0305), other),
            (0x0303, Some(0x7f1c), other),
            (0x0302, Some(0x0304), beside),
            (0x0304, Some(0x0304), beside),
            (0x0304, None, Err("TLS 1.3 without supported_versions")),
            (0x0303, None, Ok(Tls12)),
            (0x0302, None, Ok(Tls11)),
            (0x0301, None, Ok(Tls10)),
            (0x0300, None, Ok(Ssl3)),
            (0x0305, None, unknown),
            (0x0002, None, unknown),
            (0xfefd, None, unknown),
        ];
        for (legacy, selected, expected) in cases {
            let extensions: Vec<_> = selected.map(selects).into_iter().collect();
            let bytes = wire(&body(legacy, &extensions));
            let expected = match expected {
                Ok(version) => Ok(Some(ServerAnswer::Hello { version })),
                Err(rule) => Err(HelloError::Malformed(rule)),
            };
            assert_eq!(forge::settle(read, &bytes), (bytes.len(), expected), "{legacy:04x} {selected:04x?}");
        }
    }

    #[test]
    fn t04_an_answer_reads_the_same_from_records_of_every_size_and_after_a_warning() {
        let message = forge::message(SERVER_HELLO, &body(0x0303, &[selects(0x0304)]));
        let expected = Ok(Some(ServerAnswer::Hello { version: TlsVersion::Tls13 }));
        for size in 1..=message.len() {
            let bytes = forge::records(&message, size);
            assert_eq!(forge::settle(read, &bytes), (bytes.len(), expected), "records of {size} bytes");
            let bytes = [forge::hex(OPENSSL_UNRECOGNIZED_NAME_WARNING), bytes].concat();
            assert_eq!(forge::settle(read, &bytes), (bytes.len(), expected), "records of {size} bytes");
        }
    }

    #[test]
    fn t06_a_server_that_does_not_speak_tls_is_known_by_its_first_byte() {
        for bytes in
            ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.7\r\n", "220 mail\r\n", "\x14\x03"]
        {
            assert_eq!(forge::settle(read, bytes.as_bytes()), (1, Err(HelloError::NotTls)), "{bytes}");
        }
        assert_eq!(read(b""), Ok(None));
    }

    #[test]
    fn another_message_than_a_server_hello_is_malformed() {
        let another = Err(HelloError::Malformed("a handshake message of another type"));
        for kind in [0, 1, 3, 4, 11] {
            let bytes = forge::records(&forge::message(kind, &body(0x0303, &[])), 1 << 14);
            assert_eq!(forge::settle(read, &bytes), (6, another), "type {kind}");
        }
    }

    #[test]
    fn a_body_whose_fields_do_not_add_up_is_malformed() {
        let good = body(0x0303, &[selects(0x0304), forge::extension(51, b"\0\x17")]);
        let without_extensions = body(0x0303, &[]).len();
        for end in (0..good.len()).filter(|end| *end != without_extensions) {
            assert!(matches!(read(&wire(&good[..end])), Err(HelloError::Malformed(_))), "ends at {end}");
        }
        let start = [&[3, 3][..], &[7; 32]].concat();
        let cases: [(&[&[u8]], &str); 5] = [
            (&[&good, b"\0"], "bytes after the last field"),
            (&[&body(0x0303, &[selects(0x0304), selects(0x0304)])], "an extension stands twice"),
            (&[&start, b"\x21", &[0; 33], b"\x13\x01\0"], "a session id longer than 32 bytes"),
            (&[&body(0x0303, &[forge::extension(43, b"\x03")])], "a field reaches beyond its end"),
            (&[&body(0x0303, &[forge::extension(43, b"\x03\x04\0")])], "bytes after the last field"),
        ];
        for (parts, rule) in cases {
            assert_eq!(read(&wire(&parts.concat())), Err(HelloError::Malformed(rule)));
        }
    }

    proptest! {
        #[test]
        fn t06_a_mutated_answer_gets_one_answer_and_keeps_it(
            sample in prop::sample::select(vec![OPENSSL_13, OPENSSL_RETRY, OPENSSL_12, OPENSSL_PROTOCOL_VERSION_ALERT]),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            tail in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut bytes = forge::hex(sample);
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            bytes.extend(tail);
            let _ = forge::settle(read, &bytes);
        }

        #[test]
        fn t06_a_body_of_random_bytes_never_panics(random in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&wire(&random));
            let _ = read_body(&random);
        }
    }

    fn body(version: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
        let tail = if extensions.is_empty() { Vec::new() } else { forge::vector16(&extensions.concat()) };
        [&version.to_be_bytes()[..], &[7; 32], &forge::vector8(&[5; 32]), b"\xc0\x2f\0", &tail].concat()
    }

    fn wire(body: &[u8]) -> Vec<u8> {
        forge::records(&forge::message(SERVER_HELLO, body), 1 << 14)
    }

    fn selects(number: u16) -> Vec<u8> {
        forge::extension(SUPPORTED_VERSIONS, &number.to_be_bytes())
    }
}
