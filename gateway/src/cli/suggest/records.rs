//! Access records, read from anywhere and believed in nothing: what they say is parsed into host names, roles of
//! the configuration, reasons of the table, or not taken.
//!
//! Memory is bounded whatever the log holds: at most [`MOST_DESTINATIONS`] are kept. When there are more, every
//! count is lowered by one and those at none go (Misra and Gries), so that what comes often stays and
//! what comes once goes. So no flood of invented names can drive out what agents need.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io;
use std::io::BufRead;
use std::io::Read;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use common::host_port::HostName;
use la_gateway::policy::destinations::HTTPS;
use la_gateway::policy::destinations::Reported;
use la_gateway::refusal::Refusal;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

/// Most destinations that are kept, over all roles.
pub(super) const MOST_DESTINATIONS: usize = 10_000;
/// The reason of what must not be reached whatever the rules say.
const FORBIDDEN: &str = "address_forbidden";
/// Longest line that is read, in bytes.
pub(super) const LONGEST_LINE: u64 = 64 * 1024;
/// The end of the year 9999, behind which no time is written.
const LAST_TIME: Duration = Duration::from_secs(253_402_300_800);
/// Length of a time, from `2026-11-22T21:00:00Z` to one with nanoseconds.
const TIME_LENGTHS: std::ops::RangeInclusive<usize> = 20..=30;

/// What the records said of one host and role.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Destination {
    /// Refused, or let through by report mode alone.
    pub(super) wanted: u64,
    /// Let through by a rule.
    pub(super) carried: u64,
    /// The first record's time, and the last one's.
    pub(super) first: String,
    pub(super) last: String,
    /// A client, and whether there were others.
    pub(super) client: Option<IpAddr>,
    pub(super) other_clients: bool,
    #[serde(skip)]
    weight: u64,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// By the role's place in the list of roles, and the host.
    pub(super) destinations: HashMap<(usize, HostName), Destination>,
    /// Refusals that no rule of a role mends.
    pub(super) others: BTreeMap<&'static str, u64>,
    /// Times of the first and the last access record.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) numbers: Numbers,
}

/// How much was read, and how much of it was no use.
#[derive(Debug, Default, Serialize)]
pub(super) struct Numbers {
    /// Access records.
    pub(super) records: u64,
    /// Lines that are no JSON objects, or too long.
    pub(super) unreadable: u64,
    /// Records of roles that the configuration does not have, or of hosts that are none.
    pub(super) strange: u64,
    /// Records of destinations that came too seldom to be kept.
    pub(super) forgotten: u64,
    /// Records of roles that were not asked for.
    pub(super) other_roles: u64,
    /// Records that the gateway did not write because there were too many.
    pub(super) suppressed: u64,
}

/// Which records count.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

/// A record as it was read.
struct Line(Map<String, Value>);

impl Line {
    fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let line = Self(serde_json::from_slice(text)?);
        match line.text("message") {
            // `journalctl -o json` wraps what was a line of JSON.
            inner if line.0.contains_key("MESSAGE") && inner.starts_with('{') => {
                serde_json::from_str(inner).map(Self)
            }
            _ => Ok(line),
        }
    }

    /// Returns a field; the journal writes the same names in capitals.
    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| self.0.get(&name.to_ascii_uppercase()))
    }

    fn text(&self, name: &str) -> &str {
        self.field(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        let value = self.field(name);
        let written = || value.and_then(Value::as_str).and_then(|text| text.parse().ok());
        value.and_then(Value::as_u64).or_else(written).unwrap_or_default()
    }

    /// Returns the record's time, or the journal's.
    fn time(&self) -> Option<String> {
        if let Some(time) = time(self.text("timestamp")) {
            return Some(time.to_owned());
        }
        let micros = self.text("__REALTIME_TIMESTAMP").parse().ok()?;
        let since = Duration::from_micros(micros);
        let at = UNIX_EPOCH.checked_add(since).filter(|_| since < LAST_TIME)?;
        Some(humantime::format_rfc3339_micros(at).to_string())
    }
}

impl Records {
    /// Reads lines to their end. `roles` are the names of the configuration's.
    pub(super) fn read(mut lines: impl BufRead, roles: &[&str], span: &Span) -> io::Result<Self> {
        let mut all = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(all);
            }
            if !line.ends_with(b"\n") && length as u64 == LONGEST_LINE {
                lines.skip_until(b'\n')?;
                all.numbers.unreadable += 1;
                continue;
            }
            all.line(&line, roles, span);
        }
    }

    /// Says whether every record was of a destination that could be judged.
    pub(super) fn is_all_judged(&self) -> bool {
        let numbers = &self.numbers;
        numbers.strange == 0 && numbers.other_roles == 0 && numbers.forgotten == 0 && self.others.is_empty()
    }

    fn line(&mut self, text: &[u8], roles: &[&str], span: &Span) {
        if text.trim_ascii().is_empty() {
            return;
        }
        match Line::parse(text) {
            Ok(line) if line.text("target") == "access" => self.record(&line, roles, span),
            Ok(_) => {}
            Err(_) => self.numbers.unreadable += 1,
        }
    }

    fn record(&mut self, line: &Line, roles: &[&str], span: &Span) {
        let time = line.time();
        let time = time.as_deref();
        let early = span.since.as_deref().is_some_and(|since| time.is_none_or(|time| is_before(time, since)));
        let late = span.until.as_deref().is_some_and(|until| time.is_none_or(|time| is_before(until, time)));
        if early || late {
            return;
        }
        self.numbers.records += 1;
        self.numbers.suppressed = self.numbers.suppressed.saturating_add(line.number("suppressed"));
        if let Some(time) = time {
            if self.from.as_deref().is_none_or(|from| time < from) {
                self.from = Some(time.to_owned());
            }
            if self.to.as_deref().is_none_or(|to| time > to) {
                self.to = Some(time.to_owned());
            }
        }
        let softened = |reason: &str| Reported::ALL.iter().any(|why| why.refusal().row().reason == reason);
        let reason = line.text("reason");
        let wanted = match line.text("verdict") {
            "carried" => !line.text("would_refuse").is_empty(),
            _ if softened(reason) => true,
            // In report mode it was let through, and failed behind that: a rule is missing all the same.
            _ if self.other(reason) && softened(line.text("would_refuse")) && reason != FORBIDDEN => true,
            _ => return,
        };
        let role = roles.iter().position(|role| *role == line.text("role"));
        let host = line.text("host").parse::<HostName>().ok();
        let host = host.filter(|_| line.number("port") == u64::from(HTTPS));
        let (Some(role), Some(host)) = (role, host) else {
            self.numbers.strange += 1;
            return;
        };
        self.destination((role, host), wanted, time, line.text("client").parse::<SocketAddr>().ok());
    }

    /// Counts a refusal that no rule mends; of the reason only what the table has. Says whether it has it.
    fn other(&mut self, reason: &str) -> bool {
        let known = Refusal::every().map(|refusal| refusal.row().reason).find(|known| *known == reason);
        match known {
            Some(known) => *self.others.entry(known).or_default() += 1,
            None => self.numbers.strange += 1,
        }
        known.is_some()
    }

    fn destination(
        &mut self,
        key: (usize, HostName),
        wanted: bool,
        time: Option<&str>,
        client: Option<SocketAddr>,
    ) {
        if self.destinations.len() >= MOST_DESTINATIONS && !self.destinations.contains_key(&key) {
            self.forget();
            if self.destinations.len() >= MOST_DESTINATIONS {
                self.numbers.forgotten += 1;
                return;
            }
        }
        let one = self.destinations.entry(key).or_default();
        one.weight += 1;
        if wanted {
            one.wanted += 1;
        } else {
            one.carried += 1;
        }
        if let Some(time) = time {
            if one.first.is_empty() || time < one.first.as_str() {
                one.first = time.to_owned();
            }
            if time > one.last.as_str() {
                one.last = time.to_owned();
            }
        }
        match (one.client, client.map(|client| client.ip())) {
            (None, Some(client)) => one.client = Some(client),
            (Some(first), Some(client)) if first != client => one.other_clients = true,
            _ => {}
        }
    }

    fn forget(&mut self) {
        let numbers = &mut self.numbers;
        self.destinations.retain(|_, one| {
            one.weight -= 1;
            if one.weight == 0 {
                numbers.forgotten += one.wanted + one.carried;
            }
            one.weight > 0
        });
    }
}

/// Compares times; one may have fractions of a second and the other none.
fn is_before(one: &str, other: &str) -> bool {
    one.trim_end_matches('Z') < other.trim_end_matches('Z')
}

/// Returns a text that is written like a time of a record, in UTC. Such times compare like their texts.
pub(super) fn time(text: &str) -> Option<&str> {
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'T' | b'.' | b'Z');
    (TIME_LENGTHS.contains(&text.len()) && text.ends_with('Z') && text.bytes().all(known)).then_some(text)
}

#[cfg(test)]
mod tests;
