//! The access record: one for each request, written when it ends, with the same fields every time.
//!
//! A record holds what this program parsed or made itself: names from the parser, users from the users
//! file, labels from the tables. Of a peer's own text only a target that did not parse is shown, as
//! [`printable`] lets it. So a record is always one line and never holds a secret.

use std::fmt;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use common::host_port::HostPort;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::ending::Ending;
use crate::events;
use crate::observe::examples::Example;
use crate::observe::fleet::Sighting;
use crate::observe::repeats::Repeats;
use crate::parse::TlsVersion;
use crate::policy::destinations::Reported;
use crate::policy::destinations::Rule;
use crate::refusal::Level;
use crate::refusal::Refusal;

/// The id of one request: 16 hexadecimal digits, in the answer's `X-Request-Id` and in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Makes request ids: distinct within the process, scattered between processes.
#[derive(Debug, Default)]
pub struct RequestIds {
    scatter: RandomState,
    next: AtomicU64,
}

impl RequestIds {
    /// Returns the next id.
    pub fn next(&self) -> RequestId {
        RequestId(self.scatter.hash_one(self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The way out of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the destination itself.
    Direct,
    /// Through an upstream proxy.
    Relay,
}

impl Route {
    /// Returns the word used in records: `direct` or `relay`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
        }
    }
}

/// Bytes carried through one tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the client delivered to the origin.
    pub up: u64,
    /// Bytes from the origin delivered to the client.
    pub down: u64,
}

/// Bytes that a text for a rule, and for an address with its port, begins with.
const USUAL_RULE: usize = 96;
const USUAL_ADDRESS: usize = 24;
/// Most bytes of an unreadable target that are written.
pub const LONGEST_ASKED: usize = 100;

/// Returns a peer's text as a record may hold it: printable ASCII, cut at [`LONGEST_ASKED`] bytes.
pub fn printable(text: &str) -> String {
    let shown = text.chars().take(LONGEST_ASKED).map(|c| if c.is_ascii_graphic() { c } else { '?' });
    shown.collect()
}

/// A record in the making. The stations fill it in as they go.
#[derive(Debug)]
pub struct Record {
    id: RequestId,
    client: SocketAddr,
    began: Instant,
    setup: Option<Duration>,
    /// The user named by the credentials, right or wrong, if there is one of that name.
    pub user: Option<Arc<str>>,
    /// The client's role.
    pub role: Option<Arc<str>>,
    /// What was asked for, where it did not parse; printable ASCII, at most [`LONGEST_ASKED`] bytes.
    pub asked: String,
    /// The target, once it parsed.
    pub target: Option<HostPort>,
    /// The rule that allowed it.
    pub rule: Option<Arc<Rule>>,
    /// Why enforcing would refuse it, where report mode lets it through.
    pub reported: Option<Reported>,
    /// The way out.
    pub route: Option<Route>,
    /// The address that was dialled.
    pub address: Option<SocketAddr>,
    /// The TLS version the origin chose, or else the client offered.
    pub tls_version: Option<TlsVersion>,
    /// Bytes carried.
    pub traffic: Traffic,
    /// The client in the fleet, once it is identified.
    pub sighting: Option<Sighting>,
}

impl Record {
    /// Begins a record.
    pub fn new(id: RequestId, client: SocketAddr) -> Self {
        Self {
            id,
            client,
            began: Instant::now(),
            setup: None,
            user: None,
            role: None,
            asked: String::new(),
            target: None,
            rule: None,
            reported: None,
            route: None,
            address: None,
            tls_version: None,
            traffic: Traffic::default(),
            sighting: None,
        }
    }

    /// Returns the request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Returns what is worth keeping of a refused request whose target parsed.
    pub fn example(&self) -> Option<Example> {
        let target = self.target.clone()?;
        Some(Example { at: Instant::now(), target, user: self.user.clone(), from: self.client.ip() })
    }

    /// Marks the moment of the 200 and returns how long it took to get there.
    pub fn set_up(&mut self) -> Duration {
        *self.setup.insert(self.began.elapsed())
    }

    /// Writes the record of a refused request, unless too many like it were written of late.
    pub fn refused(self, refusal: &Refusal, repeats: &Repeats) {
        let row = refusal.row();
        let Some(suppressed) = repeats.pass(self.client.ip(), row.reason) else { return };
        let detail = refusal.detail();
        self.write(
            row.level,
            &Verdict {
                event: row.event.0,
                verdict: "refused",
                reason: row.reason,
                fault: row.fault.label(),
                status: row.status,
                suppressed,
                message: &detail,
            },
        );
    }

    /// Writes the record of a carried tunnel; of one that ended by somebody's fault unless too many like
    /// it were written of late. What report mode let through always has its record, by the same event.
    pub fn carried(self, ending: Ending, repeats: &Repeats) {
        let row = ending.row();
        let passed = match (self.reported, row.fault) {
            (Some(_), _) | (None, None) => Some(0),
            (None, Some(_)) => repeats.pass(self.client.ip(), row.reason),
        };
        let Some(suppressed) = passed else { return };
        let event = match (self.reported, row.event, self.tls_version) {
            (Some(_), _, _) => events::WOULD_REFUSE,
            (None, Some(event), _) => event,
            (None, None, Some(_)) => events::TLS_VERIFIED,
            (None, None, None) => events::CONNECT,
        };
        let level = match (self.reported, row.level) {
            (Some(_), Level::Info) => Level::Warn,
            (_, level) => level,
        };
        self.write(
            level,
            &Verdict {
                event: event.0,
                verdict: "carried",
                reason: row.reason,
                fault: row.fault.map_or("", |fault| fault.label()),
                status: 200,
                suppressed,
                message: &format!("tunnel ended: {}", row.reason),
            },
        );
    }

    fn write(self, level: Level, verdict: &Verdict<'_>) {
        let host = self.target.as_ref().map_or("", |target| target.name().as_str());
        let rule = self.rule.as_ref().map(|rule| shown(rule, USUAL_RULE)).unwrap_or_default();
        let address = self.address.map(|address| shown(&address, USUAL_ADDRESS)).unwrap_or_default();
        macro_rules! record {
            ($level:ident) => {
                $level!(
                    target: "access",
                    event_id = verdict.event,
                    request_id = %self.id,
                    client = %self.client,
                    user = self.user.as_deref().unwrap_or(""),
                    role = self.role.as_deref().unwrap_or(""),
                    host,
                    asked = self.asked,
                    port = self.target.as_ref().map_or(0, HostPort::port),
                    route = self.route.map_or("", Route::label),
                    address,
                    verdict = verdict.verdict,
                    reason = verdict.reason,
                    fault = verdict.fault,
                    status = verdict.status,
                    bytes_up = self.traffic.up,
                    bytes_down = self.traffic.down,
                    setup_ms = milliseconds(self.setup.unwrap_or_default()),
                    duration_ms = milliseconds(self.began.elapsed()),
                    tls_version = self.tls_version.map_or("", TlsVersion::label),
                    rule,
                    would_refuse = self.reported.map_or("", |reported| reported.refusal().row().reason),
                    suppressed = verdict.suppressed,
                    "{}", verdict.message
                )
            };
        }
        match level {
            Level::Info => record!(info),
            Level::Warn => record!(warn),
            Level::Error => record!(error),
        }
    }
}

/// Writes something into a text that has room for what it usually is: one that grows by and by is allocated anew each time.
fn shown(what: &impl fmt::Display, usual: usize) -> String {
    let mut text = String::with_capacity(usual);
    // Writing to a string cannot fail.
    let _ = write!(text, "{what}");
    text
}

struct Verdict<'a> {
    event: u16,
    verdict: &'static str,
    reason: &'static str,
    fault: &'static str,
    status: u16,
    suppressed: u64,
    message: &'a str,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn request_ids_are_distinct_and_sixteen_digits_long() {
        let ids = RequestIds::default();
        let made: HashSet<String> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|id| id.len() == 16));
    }
}
