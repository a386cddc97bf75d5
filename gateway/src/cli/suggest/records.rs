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

use common::host_port::HostName;
use la_gateway::policy::destinations::HTTPS;
use la_gateway::policy::destinations::Reported;
use la_gateway::refusal::Refusal;
use serde::Deserialize;
use serde::Serialize;

/// Most destinations that are kept, over all roles.
pub(super) const MOST_DESTINATIONS: usize = 10_000;
/// Longest line that is read, in bytes.
pub(super) const LONGEST_LINE: u64 = 64 * 1024;
/// Length of a time, from `2026-11-22T21:00:00Z` to one with nanoseconds and an offset.
const TIME_LENGTHS: std::ops::RangeInclusive<usize> = 20..=35;

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
    /// Records that the gateway did not write because there were too many.
    pub(super) suppressed: u64,
}

/// Which records count.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Line {
    timestamp: String,
    target: String,
    role: String,
    client: String,
    host: String,
    port: u64,
    verdict: String,
    reason: String,
    would_refuse: String,
    suppressed: u64,
    #[serde(rename = "MESSAGE")]
    message: String,
}

impl Default for Line {
    fn default() -> Self {
        let empty = String::new;
        Self {
            timestamp: empty(),
            target: empty(),
            role: empty(),
            client: empty(),
            host: empty(),
            port: 0,
            verdict: empty(),
            reason: empty(),
            would_refuse: empty(),
            suppressed: 0,
            message: empty(),
        }
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

    fn line(&mut self, text: &[u8], roles: &[&str], span: &Span) {
        if text.trim_ascii().is_empty() {
            return;
        }
        let line = match serde_json::from_slice::<Line>(text) {
            // `journalctl -o json` wraps the record.
            Ok(outer) if !outer.message.is_empty() => serde_json::from_str(&outer.message),
            read => read,
        };
        match line {
            Ok(line) if line.target == "access" => self.record(&line, roles, span),
            Ok(_) => {}
            Err(_) => self.numbers.unreadable += 1,
        }
    }

    fn record(&mut self, line: &Line, roles: &[&str], span: &Span) {
        let time = time(&line.timestamp);
        let early = span.since.as_deref().is_some_and(|since| time.is_none_or(|time| time < since));
        let late = span.until.as_deref().is_some_and(|until| time.is_none_or(|time| time > until));
        if early || late {
            return;
        }
        self.numbers.records += 1;
        self.numbers.suppressed += line.suppressed;
        if let Some(time) = time {
            if self.from.as_deref().is_none_or(|from| time < from) {
                self.from = Some(time.to_owned());
            }
            if self.to.as_deref().is_none_or(|to| time > to) {
                self.to = Some(time.to_owned());
            }
        }
        let softened = |reason: &str| Reported::ALL.iter().any(|why| why.refusal().row().reason == reason);
        let wanted = match line.verdict.as_str() {
            "carried" => !line.would_refuse.is_empty(),
            _ if softened(&line.reason) => true,
            _ => return self.other(&line.reason),
        };
        let role = roles.iter().position(|role| *role == line.role);
        let host = line.host.parse::<HostName>().ok().filter(|_| line.port == u64::from(HTTPS));
        let (Some(role), Some(host)) = (role, host) else {
            self.numbers.strange += 1;
            return;
        };
        self.destination((role, host), wanted, time, line.client.parse::<SocketAddr>().ok());
    }

    /// Counts a refusal that no rule mends; of the reason only what the table has.
    fn other(&mut self, reason: &str) {
        let known = Refusal::every().map(|refusal| refusal.row().reason).find(|known| *known == reason);
        match known {
            Some(known) => *self.others.entry(known).or_default() += 1,
            None => self.numbers.strange += 1,
        }
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

/// Returns a text that is written like a time of a record. Such times compare like their texts.
pub(super) fn time(text: &str) -> Option<&str> {
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'T' | b'.' | b'Z' | b'+');
    (TIME_LENGTHS.contains(&text.len()) && text.bytes().all(known)).then_some(text)
}

#[cfg(test)]
mod tests;
