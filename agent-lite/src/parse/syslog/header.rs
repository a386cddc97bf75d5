//! What stands in front of a message.

use super::Form;
use super::Place;
use super::cursor::Cursor;
use super::time::Clock;
use super::time::Written;
use crate::record::Timestamp;

/// Most bytes of a host's name (RFC 5424, 6.2.4).
const LONGEST_HOST: usize = 255;
/// Most bytes of a process's name; RFC 3164 has 32, RFC 5424 48, and programs more.
const LONGEST_PROCESS: usize = 128;
/// The byte order mark that RFC 5424 (6.4) puts in front of UTF-8.
const MARK: &str = "\u{feff}";

/// The parts of a message behind its PRI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) form: Form,
    pub(super) time: Option<Timestamp>,
    pub(super) host: Option<&'a str>,
    pub(super) process: Option<&'a str>,
    pub(super) pid: Option<i64>,
    /// What belongs in front of the message and does not touch it; mostly empty.
    pub(super) front: &'a str,
    pub(super) message: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads what is behind the PRI.
    pub(super) fn read(text: &'a str, clock: &mut Clock, received: Timestamp, place: Place) -> Option<Self> {
        rfc5424(text, clock, received).or_else(|| rfc3164(text, clock, received, place))
    }

    /// Returns a text as nothing but a message.
    pub(super) fn unknown(text: &'a str) -> Self {
        Self {
            form: Form::Unknown,
            time: None,
            host: None,
            process: None,
            pid: None,
            front: "",
            message: text,
        }
    }
}

fn rfc5424<'a>(text: &'a str, clock: &mut Clock, received: Timestamp) -> Option<Fields<'a>> {
    let mut cursor = Cursor(text);
    cursor.expect(b'1')?;
    cursor.expect(b' ')?;
    let time = match cursor.skip(b'-') {
        true => None,
        false => Some(clock.resolve(Written::modern(&mut cursor)?, received)?),
    };
    cursor.expect(b' ')?;
    let host = cursor.word();
    let process = cursor.word();
    if !(1..=LONGEST_HOST).contains(&host.len()) || !(1..=LONGEST_PROCESS).contains(&process.len()) {
        return None;
    }
    let pid = pid(Cursor(cursor.0).word());
    let (front, message) = message5424(cursor, pid.is_some());
    let known = |word: &'a str| (word != "-").then_some(word);
    Some(Fields {
        form: Form::Rfc5424,
        time,
        host: known(host),
        process: known(process),
        pid,
        front,
        message,
    })
}

/// Returns the message from PROCID on, and what has no column and belongs in front of it. Mostly they touch each
/// other and are one text.
fn message5424(mut cursor: Cursor<'_>, has_pid: bool) -> (&str, &str) {
    let (from_process_id, process_id) = (cursor.0, cursor.word());
    let (from_message_id, message_id) = (cursor.0, cursor.word());
    let from_data = cursor.0;
    let (data, after) = from_data.split_at_checked(structured_data(from_data)).unwrap_or_default();
    let after = after.strip_prefix(' ').unwrap_or(after);
    // rsyslog's own template of RFC 5424 writes the space behind a tag as well. More spaces are meant.
    let after = after.strip_prefix(' ').filter(|text| !text.starts_with(' ')).unwrap_or(after);
    let written = if !has_pid && !matches!(process_id, "-" | "") {
        from_process_id
    } else if !matches!(message_id, "-" | "") {
        from_message_id
    } else if is_nothing(data) {
        after
    } else {
        from_data
    };
    match after.strip_prefix(MARK) {
        Some(message) => (written.get(..written.len() - after.len()).unwrap_or_default(), message),
        None => ("", written),
    }
}

/// Returns whether structured data says nothing of the message: none, or only the number that syslog-ng gives each
/// message on its way (RFC 5424, 7.3.1).
fn is_nothing(data: &str) -> bool {
    let number = data.strip_prefix("[meta sequenceId=\"").and_then(|rest| rest.strip_suffix("\"]"));
    data == "-" || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the length of structured data at the beginning; 0 if there is none that is well-formed.
fn structured_data(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |at: usize| matches!(bytes.get(at), None | Some(b' '));
    if bytes.first() == Some(&b'-') {
        return usize::from(ends(1));
    }
    let (mut quoted, mut escaped, mut open) = (false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            _ if quoted => {}
            b'[' if !open => open = true,
            b']' if open => {
                open = false;
                if ends(at + 1) {
                    return at + 1;
                }
            }
            _ if open => {}
            _ => return 0,
        }
    }
    0
}

fn rfc3164<'a>(text: &'a str, clock: &mut Clock, received: Timestamp, place: Place) -> Option<Fields<'a>> {
    let mut cursor = Cursor(text);
    let time = written_time(&mut cursor).and_then(|time| clock.resolve(time, received));
    let unnamed = |message| Fields { form: Form::Rfc3164, time, ..Fields::unknown(message) };
    if time.is_none() {
        // A local daemon, or a device without a clock: the tag alone shows that it is syslog.
        return Tag::read(text).map(|tag| tag.fill(unnamed("")));
    }
    while cursor.skip(b' ') {}
    let first = Tag::read(cursor.0);
    if let Some(tag) = first.filter(|tag| place == Place::Local || !tag.may_be_host()) {
        return Some(tag.fill(unnamed("")));
    }
    let mut behind = cursor;
    let host = behind.word();
    // Cisco's firewalls write `host : %ASA-6-302013: …`.
    behind.0 = behind.0.strip_prefix(": ").unwrap_or(behind.0);
    let second = Tag::read(behind.0);
    let is_host = is_host(host) && !behind.0.is_empty();
    match second {
        Some(tag) if is_host => Some(Fields { host: Some(host), ..tag.fill(unnamed("")) }),
        None if is_host && place == Place::Network => Some(Fields { host: Some(host), ..unnamed(behind.0) }),
        _ => Some(first.map_or(unnamed(cursor.0), |tag| tag.fill(unnamed("")))),
    }
}

/// Reads a time, also behind what Cisco's devices put in front of it: `29: ` and `*` or `.`.
fn written_time(cursor: &mut Cursor<'_>) -> Option<Written> {
    let mut inner = *cursor;
    let is_modern = matches!(inner.0.as_bytes(), [b'0'..=b'9', _, _, _, b'-', ..]);
    let mut time = match is_modern {
        true => Written::modern(&mut inner),
        false => Written::legacy(&mut inner),
    };
    if time.is_none() {
        inner = *cursor;
        if inner.number(1, 9).is_some() {
            inner.expect(b':')?;
            inner.expect(b' ')?;
        }
        let _ = inner.skip(b'*') || inner.skip(b'.');
        time = Written::legacy(&mut inner);
    }
    let time = time?;
    let _ = inner.skip(b':');
    if !matches!(inner.peek(), None | Some(b' ')) {
        return None;
    }
    *cursor = inner;
    Some(time)
}

/// A process's name in front of a message: `name:`, `name[123]:`.
#[derive(Clone, Copy, Debug)]
struct Tag<'a> {
    name: &'a str,
    pid: Option<i64>,
    message: &'a str,
}

impl<'a> Tag<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let length = text
            .bytes()
            .take(LONGEST_PROCESS + 1)
            .position(|byte| matches!(byte, b':' | b'[' | b'"' | b'\'' | b'=') || !byte.is_ascii_graphic())?;
        let (name, rest) = text.split_at_checked(length).filter(|(name, _)| !name.is_empty())?;
        if let Some(message) = rest.strip_prefix(':') {
            return Some(Self { name, pid: None, message: message.strip_prefix(' ').unwrap_or(message) });
        }
        let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
        let behind = after.strip_prefix(':');
        let message = behind.unwrap_or(after);
        if behind.is_none() && !message.is_empty() && !message.starts_with(' ') {
            return None;
        }
        match pid(inside) {
            Some(pid) => {
                Some(Self { name, pid: Some(pid), message: message.strip_prefix(' ').unwrap_or(message) })
            }
            // The process ID stays in the text.
            None if behind.is_some() && !inside.contains(' ') => {
                Some(Self { name, pid: None, message: rest })
            }
            None => None,
        }
    }

    /// Returns whether the name may be the beginning of an IPv6 address.
    fn may_be_host(&self) -> bool {
        self.pid.is_none()
            && self.name.bytes().all(|byte| byte.is_ascii_hexdigit())
            && self.message.bytes().next().is_some_and(|byte| byte == b':' || byte.is_ascii_hexdigit())
    }

    fn fill(self, fields: Fields<'a>) -> Fields<'a> {
        Fields { process: Some(self.name), pid: self.pid, message: self.message, ..fields }
    }
}

fn is_host(word: &str) -> bool {
    (1..=LONGEST_HOST).contains(&word.len())
        && !word.ends_with(':')
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%'))
}

/// Reads a process ID: an `int` of the table Syslog, or nothing.
fn pid(text: &str) -> Option<i64> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<i64>().ok().filter(|pid| digits && *pid <= i64::from(i32::MAX))
}
