//! The first handshake message out of TLS records (RFC 8446 section 5.1, RFC 5246 section 6.2.1).
//!
//! ```text
//! record  = type(1) major(1) minor(1) length(2) fragment(length)    major is 3, length 1 to 2^14
//! message = type(1) length(3) body(length)    in one record or cut anywhere over several
//! alert   = level(1) description(1)           a record of its own
//! ```
//!
//! Records are judged in their order and only on bytes that are there, so no judgement is ever
//! taken back. What follows the message is not looked at.

use std::borrow::Cow;

use crate::parse::HelloError;
use crate::parse::LONGEST_HELLO;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const MAJOR_VERSION: u8 = 3;
const RECORD_HEADER: usize = 5;
const LONGEST_FRAGMENT: usize = 1 << 14;
const MESSAGE_HEADER: usize = 4;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// What an alert in place of the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alerts {
    /// No TLS: a client has nothing to complain of yet.
    Foreign,
    /// [`HelloError::Alert`], or skipped if it is a warning: TLS 1.2 servers may warn that they do
    /// not know the name and go on with their hello (RFC 6066 section 3).
    Read,
}

/// Returns the body of the first handshake message, which must be of type `kind`.
///
/// The body is borrowed if it lies in one record.
pub(super) fn first_message(
    bytes: &[u8],
    kind: u8,
    alerts: Alerts,
) -> Result<Option<Cow<'_, [u8]>>, HelloError> {
    let window = bytes.get(..LONGEST_HELLO).unwrap_or(bytes);
    match gather(window, kind, alerts)? {
        None if bytes.len() >= LONGEST_HELLO => Err(HelloError::TooLong),
        body => Ok(body),
    }
}

fn gather(window: &[u8], kind: u8, alerts: Alerts) -> Result<Option<Cow<'_, [u8]>>, HelloError> {
    let mut gathered: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = window;
    while let Some(record) = next_record(rest, rest.len() == window.len(), alerts)? {
        rest = record.after;
        if record.kind == ALERT {
            if !gathered.is_empty() {
                return Err(HelloError::Malformed("an alert inside the hello"));
            }
            pass_warning(&record)?;
            continue;
        }
        if gathered.is_empty() {
            gathered = Cow::Borrowed(record.fragment);
        } else {
            gathered.to_mut().extend_from_slice(record.fragment);
        }
        if let Some(end) = message_end(&gathered, kind)? {
            return Ok(Some(match gathered {
                Cow::Borrowed(message) => Cow::Borrowed(message.get(MESSAGE_HEADER..end).unwrap_or_default()),
                Cow::Owned(message) => {
                    Cow::Owned(message.get(MESSAGE_HEADER..end).unwrap_or_default().to_vec())
                }
            }));
        }
    }
    Ok(None)
}

/// One record, as far as it is there.
struct Record<'a> {
    kind: u8,
    length: usize,
    fragment: &'a [u8],
    after: &'a [u8],
}

fn next_record(bytes: &[u8], is_first: bool, alerts: Alerts) -> Result<Option<Record<'_>>, HelloError> {
    let stray = |rule| if is_first { HelloError::NotTls } else { HelloError::Malformed(rule) };
    match *bytes {
        [kind, ..] if kind != HANDSHAKE && (kind != ALERT || alerts == Alerts::Foreign) => {
            Err(stray("a record of another type before the end of the hello"))
        }
        [_, major, ..] if major != MAJOR_VERSION => Err(stray("a record of an unknown version")),
        [kind, _, _, high, low, ref arrived @ ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length == 0 {
                return Err(HelloError::Malformed("an empty record"));
            }
            if length > LONGEST_FRAGMENT {
                return Err(HelloError::Malformed("a record longer than 2^14 bytes"));
            }
            let (fragment, after) = arrived.split_at_checked(length).unwrap_or((arrived, &[]));
            Ok(Some(Record { kind, length, fragment, after }))
        }
        _ => Ok(None),
    }
}

fn pass_warning(alert: &Record<'_>) -> Result<(), HelloError> {
    if alert.length != 2 {
        return Err(HelloError::Malformed("an alert that is not two bytes long"));
    }
    match *alert.fragment {
        [level, ..] if level != WARNING && level != FATAL => {
            Err(HelloError::Malformed("an alert of an unknown level"))
        }
        [level, description] if level == FATAL || description == CLOSE_NOTIFY => {
            Err(HelloError::Alert { description })
        }
        _ => Ok(()),
    }
}

/// Returns where the message ends once all of it is there.
fn message_end(gathered: &[u8], kind: u8) -> Result<Option<usize>, HelloError> {
    match *gathered {
        [found, ..] if found != kind => Err(HelloError::Malformed("a handshake message of another type")),
        [_, high, middle, low, ..] => {
            let length = (usize::from(high) << 16) | (usize::from(middle) << 8) | usize::from(low);
            let end = MESSAGE_HEADER + length;
            if end > LONGEST_HELLO - RECORD_HEADER {
                return Err(HelloError::TooLong);
            }
            Ok((gathered.len() >= end).then_some(end))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::forge;
    use proptest::prelude::*;

    const KIND: u8 = 1;

    #[test]
    fn t04_a_message_reads_the_same_from_records_of_every_size() {
        let body: Vec<u8> = (0..=255).collect();
        let message = forge::message(KIND, &body);
        for size in 1..=message.len() {
            let wire = forge::records(&message, size);
            assert_eq!(forge::settle(read, &wire), (wire.len(), Ok(Some(body.clone()))), "size {size}");
        }
        for cut in 1..message.len() {
            let (left, right) = message.split_at(cut);
            let wire = [forge::record(22, left), forge::record(22, right)].concat();
            assert_eq!(forge::settle(read, &wire), (wire.len(), Ok(Some(body.clone()))), "cut {cut}");
        }
    }

    #[test]
    fn only_a_message_over_several_records_is_copied() {
        let message = forge::message(KIND, b"body");
        for (size, borrowed) in [(8, true), (7, false), (1, false)] {
            let wire = forge::records(&message, size);
            let body = first_message(&wire, KIND, Alerts::Foreign).expect("a good message");
            assert_eq!(matches!(body, Some(Cow::Borrowed(b"body"))), borrowed, "size {size}");
        }
    }

    #[test]
    fn what_follows_the_message_is_not_looked_at() {
        let message = forge::message(KIND, b"body");
        for tail in [&b"\x02\x00\x00\x00"[..], b"\xff"] {
            let wire = forge::record(22, &[&message, tail].concat());
            let enough = wire.len() - tail.len();
            assert_eq!(forge::settle(read, &wire), (enough, Ok(Some(b"body".to_vec()))));
        }
        let whole = forge::record(22, &message);
        for tail in [forge::record(23, b"early data"), forge::record(20, b"\x01"), b"\x00\xff".to_vec()] {
            let wire = [&whole[..], &tail].concat();
            assert_eq!(forge::settle(read, &wire), (whole.len(), Ok(Some(b"body".to_vec()))));
        }
    }

    #[test]
    fn broken_records_are_refused_at_the_first_wrong_byte() {
        use HelloError::*;
        let cases: [(&[u8], usize, HelloError); 13] = [
            (b"GET / HTTP/1.1\r\n\r\n", 1, NotTls),
            (b"\x80\x2e\x01\x00\x02", 1, NotTls),
            (b"\x17\x03\x01\x00\x01\x00", 1, NotTls),
            (b"\x16\x02\x00\x00\x01\x01", 2, NotTls),
            (b"\x16\x03\x01\x00\x00", 5, Malformed("an empty record")),
            (b"\x16\x03\x01\x40\x01\x01", 5, Malformed("a record longer than 2^14 bytes")),
            (b"\x16\x03\x01\x00\x04\x0b", 6, Malformed("a handshake message of another type")),
            (b"\x16\x03\x01\x40\x00\x01\x00\x7f\xf8", 9, TooLong),
            (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9, TooLong),
            (b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x00", 11, Malformed("an empty record")),
            (b"\x16\x03\x01\x00\x01\x01\x16\x04", 8, Malformed("a record of an unknown version")),
            (
                b"\x16\x03\x01\x00\x01\x01\x14\x03",
                7,
                Malformed("a record of another type before the end of the hello"),
            ),
            (b"\x16\x03\x01\x00\x01\x01\x15\x03\x03\x00\x02", 11, Malformed("an alert inside the hello")),
        ];
        for (bytes, enough, error) in cases {
            assert_eq!(forge::settle(read, bytes), (enough, Err(error)), "{bytes:02x?}");
        }
    }

    #[test]
    fn an_alert_is_read_a_warning_skipped_and_from_a_client_neither_is_tls() {
        let hello = forge::record(22, &forge::message(KIND, b"body"));
        let alert = |level, description| forge::record(21, &[level, description]);
        let body = Ok(Some(b"body".to_vec()));
        let cases = [
            (alert(2, 40), 7, Err(HelloError::Alert { description: 40 })),
            (alert(1, 0), 7, Err(HelloError::Alert { description: 0 })),
            (alert(1, 112), 7 + hello.len(), body.clone()),
            ([alert(1, 112), alert(1, 90)].concat(), 14 + hello.len(), body),
            ([alert(1, 112), alert(2, 80)].concat(), 14, Err(HelloError::Alert { description: 80 })),
            (alert(3, 40), 6, Err(HelloError::Malformed("an alert of an unknown level"))),
            (
                forge::record(21, b"\x02"),
                5,
                Err(HelloError::Malformed("an alert that is not two bytes long")),
            ),
            (
                forge::record(21, b"\x01\x70\x02\x28"),
                5,
                Err(HelloError::Malformed("an alert that is not two bytes long")),
            ),
        ];
        for (alerts, enough, answer) in cases {
            let wire = [&alerts[..], &hello].concat();
            assert_eq!(forge::settle(read, &wire), (enough, answer), "{wire:02x?}");
            assert_eq!(forge::settle(client, &wire), (1, Err(HelloError::NotTls)), "{wire:02x?}");
        }
    }

    #[test]
    fn t04_the_longest_message_passes_and_a_full_window_never_asks_for_more() {
        let longest = LONGEST_HELLO - 2 * RECORD_HEADER - MESSAGE_HEADER;
        for (length, size, passes) in [
            (longest, LONGEST_FRAGMENT, true),
            (longest + 1, LONGEST_FRAGMENT, false),
            (longest, LONGEST_FRAGMENT / 2, false),
            (5457, 1, true),
            (5458, 1, false),
        ] {
            let body = vec![7; length];
            let wire = forge::records(&forge::message(KIND, &body), size);
            let first = &wire[..wire.len().min(LONGEST_HELLO)];
            let expected = if passes { Ok(Some(body)) } else { Err(HelloError::TooLong) };
            assert_eq!(read(first), expected, "{length} bytes by {size}");
            assert_eq!(read(&wire), expected, "{length} bytes by {size}");
            assert_eq!(read(&first[..first.len() - 1]), Ok(None), "{length} bytes by {size}");
        }
        let warnings = forge::record(21, &[1, 112]).repeat(LONGEST_HELLO);
        assert_eq!(read(&warnings), Err(HelloError::TooLong));
    }

    proptest! {
        #[test]
        fn t06_random_bytes_get_one_answer_and_keep_it(
            start in prop::sample::select(vec![&b""[..], b"\x16", b"\x16\x03\x01\x00", b"\x15\x03\x03\x00\x02"]),
            random in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = forge::settle(read, &[start, &random].concat());
            let _ = forge::settle(client, &[start, &random].concat());
        }

        #[test]
        fn t04_records_cut_at_random_give_the_message(
            body in prop::collection::vec(any::<u8>(), 0..200),
            sizes in prop::collection::vec(1..40_usize, 1..20),
        ) {
            let message = forge::message(KIND, &body);
            let (mut rest, mut wire) = (&message[..], Vec::new());
            for size in sizes.into_iter().cycle() {
                let (fragment, after) = rest.split_at(size.min(rest.len()));
                wire.extend(forge::record(22, fragment));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(forge::settle(client, &wire), (wire.len(), Ok(Some(body))));
        }
    }

    fn read(bytes: &[u8]) -> Result<Option<Vec<u8>>, HelloError> {
        Ok(first_message(bytes, KIND, Alerts::Read)?.map(Cow::into_owned))
    }

    fn client(bytes: &[u8]) -> Result<Option<Vec<u8>>, HelloError> {
        Ok(first_message(bytes, KIND, Alerts::Foreign)?.map(Cow::into_owned))
    }
}
