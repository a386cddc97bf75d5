//! A syslog message becomes a record of the table Syslog.
//!
//! ```text
//! RFC 5424   <PRI>1 TIME HOST APP PROCID MSGID SD MESSAGE
//! RFC 3164   <PRI>Mon dd hh:mm:ss HOST TAG[PID]: MESSAGE     or an RFC 3339 time, or no host from a local daemon
//! neither    kept whole behind its PRI, and said to be unparsed
//! ```
//!
//! What has no column stays in front of the message as it was written: structured data, a MSGID, a process ID
//! that is no integer. Severities are the legacy agent's words (`warn`, not `warning`) for every transport, so a
//! query finds the same rows whichever way they came.

mod cursor;
mod header;
mod time;
pub(crate) mod words;

use jiff::tz::TimeZone;

use self::header::Fields;
use self::time::Clock;
pub use self::words::FACILITIES;
pub use self::words::SEVERITIES;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Timestamp;

/// `user.notice`, what a message without PRI has (RFC 3164, 4.3.3).
const NO_PRIORITY: u8 = 13;

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The name that stands for a host the message does not name.
    pub name: &'a str,
    /// Its address.
    pub address: &'a str,
    /// Where it is.
    pub place: Place,
}

/// Where a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A process of this machine at a unix socket: it names no host.
    Local,
    /// Anybody at a network socket.
    Network,
}

/// Whether all of a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it.
    Whole,
    /// It was longer than what the source holds; its end is gone.
    Missing,
}

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The message, without its frame.
    pub bytes: &'a [u8],
    /// Whether that is all.
    pub end: End,
    /// When it came.
    pub received: Timestamp,
    /// From whom.
    pub sender: Sender<'a>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing in it.
    Empty,
    /// The filter does not want it.
    Filtered,
    /// It is a record.
    Written {
        /// In which form it was.
        form: Form,
        /// Whether it was valid text.
        text: Text,
    },
}

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 5424.
    Rfc5424,
    /// RFC 3164, or what is usual instead of it.
    Rfc3164,
    /// None that is known.
    Unknown,
}

/// Whether bytes were text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// UTF-8.
    Valid,
    /// Not all of it; the rest is U+FFFD now.
    Replaced,
}

/// Which messages are wanted, by their PRI alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    facilities: u32,
    severity: u8,
}

/// A name that no facility has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no syslog facility: write kern, user, mail, daemon, auth, …, local7")]
pub struct UnknownFacility(pub String);

impl Filter {
    /// Takes these facilities (none means all) and severities from 0 (emerg) to this one.
    pub fn new(facilities: &[String], severity: u8) -> Result<Self, UnknownFacility> {
        let mut set = 0;
        for name in facilities {
            let number = FACILITIES.iter().position(|known| known == name);
            set |= 1 << number.ok_or_else(|| UnknownFacility(name.clone()))?;
        }
        Ok(Self { facilities: if facilities.is_empty() { u32::MAX } else { set }, severity })
    }

    fn wants(self, priority: u8) -> bool {
        self.facilities >> (priority >> 3) & 1 == 1 && priority & 7 <= self.severity
    }
}

/// Reads messages. It remembers the last second it resolved, nothing else.
#[derive(Debug)]
pub struct Parser {
    clock: Clock,
    filter: Filter,
}

impl Parser {
    /// Begins with the zone of times that name none, and with what is wanted.
    pub fn new(zone: TimeZone, filter: Filter) -> Self {
        Self { clock: Clock::new(zone), filter }
    }

    /// Writes a message as a record, if it is wanted.
    pub fn record(&mut self, arrival: &Arrival<'_>, frames: &mut Frames) -> Outcome {
        let bytes = trimmed(arrival.bytes);
        if bytes.is_empty() {
            return Outcome::Empty;
        }
        let (priority, rest) = match priority(bytes) {
            Some((priority, rest)) => (Some(priority), rest),
            None => (None, bytes),
        };
        if !self.filter.wants(priority.unwrap_or(NO_PRIORITY)) {
            return Outcome::Filtered;
        }
        match str::from_utf8(rest) {
            Ok(rest) => {
                Outcome::Written { form: self.write(arrival, priority, rest, frames), text: Text::Valid }
            }
            Err(_) => {
                let rest = String::from_utf8_lossy(rest);
                Outcome::Written { form: self.write(arrival, priority, &rest, frames), text: Text::Replaced }
            }
        }
    }

    fn write(
        &mut self,
        arrival: &Arrival<'_>,
        priority: Option<u8>,
        rest: &str,
        frames: &mut Frames,
    ) -> Form {
        let fields = match Fields::read(rest, &mut self.clock, arrival.received, arrival.sender.place) {
            // Without PRI and time it is any text, whatever it begins with.
            Some(fields) if priority.is_some() || fields.time.is_some() => fields,
            _ => Fields::unknown(rest),
        };
        let (facility, severity) = words::of(priority.unwrap_or(NO_PRIORITY));
        let mut record = frames
            .begin(arrival.received)
            .time(Column::EventTime, fields.time.unwrap_or(arrival.received))
            .text(Column::HostName, fields.host.unwrap_or(arrival.sender.name))
            .text(Column::HostIp, arrival.sender.address)
            .text(Column::Facility, facility)
            .text(Column::SeverityLevel, severity)
            .text_if(Column::ProcessName, fields.process);
        if let Some(pid) = fields.pid {
            record = record.integer(Column::ProcessId, pid);
        }
        let joined;
        let message = match fields.front.is_empty() {
            true => fields.message,
            false => {
                joined = [fields.front, fields.message].concat();
                joined.as_str()
            }
        };
        match arrival.end {
            End::Whole => record.text(Column::SyslogMessage, message).finish(),
            End::Missing => record.cut_text(Column::SyslogMessage, message).finish(),
        }
        fields.form
    }
}

/// Takes off what ends a message on some transports and is none of it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | b'\0'));
    bytes.get(..end.map_or(0, |last| last + 1)).unwrap_or_default()
}

/// Splits a PRI off: `<0>` to `<191>` (RFC 5424, 6.2.1).
fn priority(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let inside = bytes.strip_prefix(b"<")?;
    let mut value = 0_u32;
    for (at, byte) in inside.iter().enumerate().take(4) {
        match byte {
            b'0'..=b'9' if at < 3 => value = value * 10 + u32::from(byte - b'0'),
            b'>' if at > 0 && value <= 191 => return Some((value as u8, inside.get(at + 1..)?)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;
