//! What rsyslog and syslog-ng hand to the legacy agent: facilities, each with its severities.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use super::Unread;
use crate::parse::syslog::words::FACILITIES;

/// The names of severities, in the order of their numbers, with those that mean the same.
const SEVERITIES: [&[&str]; 8] = [
    &["emerg", "panic"],
    &["alert"],
    &["crit"],
    &["err", "error"],
    &["warning", "warn"],
    &["notice"],
    &["info"],
    &["debug"],
];

/// Most characters of a name that are shown.
const LONGEST_NAME: usize = 40;

/// What is handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// The severities of each facility, a bit each; the lowest is `emerg`.
    pub facilities: BTreeMap<&'static str, u8>,
    /// Where it is handed over: the ports of the local machine, with the lines that name them.
    pub ports: BTreeMap<u16, usize>,
    /// What is not carried over.
    pub unread: Vec<Unread>,
}

impl Selected {
    /// Returns the least severity of all, 0 (emerg) to 7 (debug); none where nothing is handed over.
    pub fn least(&self) -> Option<u8> {
        let all = self.facilities.values().fold(0, |sum, bits| sum | bits);
        (all != 0).then(|| 7 - all.leading_zeros() as u8)
    }

    fn add(&mut self, facility: &'static str, bits: u8) {
        if bits != 0 {
            *self.facilities.entry(facility).or_default() |= bits;
        }
    }
}

/// Reads lines of rsyslog, as in `auth.warning;kern.=crit @127.0.0.1:25224`.
pub fn rsyslog(text: &str) -> Selected {
    let mut selected = Selected::default();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (selectors, action) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let Some(port) = local_port(action.trim()) else {
            let why = "it hands nothing to the agent on this machine, or in a form that is not known";
            selected.unread.push(Unread::new(line, directive(text), why));
            continue;
        };
        match facilities(selectors) {
            Some(found) => {
                found.into_iter().for_each(|(facility, bits)| selected.add(facility, bits));
                selected.ports.entry(port).or_insert(line);
            }
            None => {
                selected.unread.push(Unread::new(line, directive(text), "its selectors are in no known form"))
            }
        }
    }
    selected
}

/// Reads the destination, the filters and the log paths that the legacy agent adds to `syslog-ng.conf`; statements
/// that do not name its destination are the system's own.
pub fn syslog_ng(text: &str) -> Selected {
    let mut selected = Selected::default();
    let statements = statements(text);
    let mut ours = HashSet::new();
    let mut filters: HashMap<&str, &str> = HashMap::new();
    for (line, statement) in &statements {
        let mut words = statement.split_whitespace();
        match (words.next(), words.next()) {
            (Some("destination"), Some(name)) => {
                if let Some(port) = port_of(statement) {
                    ours.insert(name);
                    selected.ports.entry(port).or_insert(*line);
                }
            }
            (Some("filter"), Some(name)) => drop(filters.entry(name).or_insert(statement)),
            _ => {}
        }
    }
    for (line, statement) in statements.iter().filter(|(_, text)| text.starts_with("log")) {
        if !argument(statement, "destination").is_some_and(|name| ours.contains(name)) {
            continue;
        }
        let name = argument(statement, "filter").unwrap_or_default();
        match filters.get(name).and_then(|filter| filtered(filter)) {
            Some(found) => found.into_iter().for_each(|(facility, bits)| selected.add(facility, bits)),
            None => {
                let why = "its filter is not level(…) and facility(…)";
                selected.unread.push(Unread::new(*line, directive(statement), why));
            }
        }
    }
    selected
}

/// Returns the first word of a line of somebody's configuration, as far as it can be the name of a directive: what
/// stands behind it may be a password.
fn directive(text: &str) -> String {
    let of_a_name =
        |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$' | '.' | ',' | ';' | '*');
    let name: String = text.chars().take_while(of_a_name).take(LONGEST_NAME).collect();
    if name.is_empty() { "a line".to_owned() } else { format!("{name} …") }
}

/// Splits a file of syslog-ng into statements that end in `};`, with comments removed.
fn statements(text: &str) -> Vec<(usize, String)> {
    let (mut all, mut last, mut begun) = (Vec::new(), String::new(), 0);
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        if last.is_empty() {
            begun = line;
        } else {
            last.push(' ');
        }
        last.push_str(text);
        if last.ends_with("};") {
            all.push((begun, std::mem::take(&mut last)));
        }
    }
    all
}

/// Returns what stands in `name(…)`.
fn argument<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{name}("))?;
    Some(rest.split(')').next()?.trim())
}

fn filtered(filter: &str) -> Option<Vec<(&'static str, u8)>> {
    let levels = argument(filter, "level").or_else(|| argument(filter, "priority"))?;
    let mut bits = 0;
    for level in levels.split(',') {
        bits |= match level.split_once("..") {
            None => 1 << severity(level.trim())?,
            Some((first, last)) => between(severity(first.trim())?, severity(last.trim())?),
        };
    }
    if filter.contains(" or ") || filter.contains(" not ") {
        return None;
    }
    argument(filter, "facility")?.split(',').map(|name| Some((facility(name.trim())?, bits))).collect()
}

fn between(one: u8, other: u8) -> u8 {
    (one.min(other)..=one.max(other)).fold(0, |sum, number| sum | 1 << number)
}

/// Returns the port of `udp("127.0.0.1" port(25224))` or `network(… port(…))`.
fn port_of(statement: &str) -> Option<u16> {
    let local = ["\"127.0.0.1\"", "\"localhost\"", "\"::1\""].iter().any(|host| statement.contains(host));
    argument(statement, "port")?.parse().ok().filter(|_| local)
}

/// Returns the port of `@127.0.0.1:25224`, or with `@@` by TCP.
fn local_port(action: &str) -> Option<u16> {
    let target = action.trim_start_matches('@');
    let count = action.len() - target.len();
    let (host, port) = target.split_once(':').unwrap_or((target, "514"));
    let local = matches!(host, "127.0.0.1" | "localhost");
    let port = port.split(';').next()?.parse().ok()?;
    (matches!(count, 1 | 2) && local).then_some(port)
}

/// Reads `auth,cron.warning;kern.none`: later parts take back what earlier ones gave.
fn facilities(selectors: &str) -> Option<Vec<(&'static str, u8)>> {
    let mut found: BTreeMap<&'static str, u8> = BTreeMap::new();
    for selector in selectors.split(';').filter(|selector| !selector.is_empty()) {
        let (names, level) = selector.rsplit_once('.')?;
        let (not, level) = level.strip_prefix('!').map_or((false, level), |rest| (true, rest));
        let (only, level) = level.strip_prefix('=').map_or((false, level), |rest| (true, rest));
        let bits = match level {
            "*" => u8::MAX,
            "none" => 0,
            level if only => 1 << severity(level)?,
            level => between(0, severity(level)?),
        };
        for name in names.split(',') {
            let names = if name == "*" { FACILITIES.to_vec() } else { vec![facility(name)?] };
            for name in names {
                let entry = found.entry(name).or_default();
                match (not, level) {
                    (_, "none") => *entry = 0,
                    (true, _) => *entry &= !bits,
                    (false, _) => *entry |= bits,
                }
            }
        }
    }
    Some(found.into_iter().collect())
}

fn facility(name: &str) -> Option<&'static str> {
    let name = if name == "security" { "auth" } else { name };
    FACILITIES.into_iter().find(|known| *known == name)
}

fn severity(name: &str) -> Option<u8> {
    (0..).zip(SEVERITIES).find(|(_, names)| names.contains(&name)).map(|(number, _)| number)
}
