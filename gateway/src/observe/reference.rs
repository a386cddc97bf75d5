//! The reference of events, refusals and endings, written from the operator's tables.
//!
//! `docs/events.md` holds these tables between marks, and a test holds it against them; `la-gateway events`
//! prints them. What to do about a reason stands beside it in `refusal/advice.rs` and `ending/advice.rs`,
//! where the compiler asks for it.

use serde::Serialize;

use crate::ending::Ending;
use crate::events;
use crate::refusal::Refusal;

/// All of it, for a script.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// Event ids.
    pub events: Vec<EventEntry>,
    /// Refusals: before the 200.
    pub refusals: Vec<RefusalEntry>,
    /// Endings: after it.
    pub endings: Vec<EndingEntry>,
}

/// One event id.
#[derive(Debug, Serialize)]
pub struct EventEntry {
    /// The number in `event_id`.
    pub event_id: u16,
    /// What it stands for.
    pub meaning: &'static str,
}

/// One refusal.
#[derive(Debug, Serialize)]
pub struct RefusalEntry {
    /// The word in `reason`.
    pub reason: &'static str,
    /// The status that the client gets.
    pub status: u16,
    /// The number in `event_id`.
    pub event_id: u16,
    /// The record's level.
    pub level: &'static str,
    /// Who can mend it.
    pub fault: &'static str,
    /// The error type in `Proxy-Status`.
    pub proxy_status_error: &'static str,
    /// Whether the answer has a `Retry-After`.
    pub retry_after: bool,
    /// The text that the client gets, with dots where a detail stands.
    pub text: String,
    /// The usual cause and its mend.
    pub advice: &'static str,
}

/// One ending.
#[derive(Debug, Serialize)]
pub struct EndingEntry {
    /// The word in `reason`.
    pub reason: &'static str,
    /// The numbers that `event_id` can be.
    pub event_ids: Vec<u16>,
    /// The record's level.
    pub level: &'static str,
    /// Who can mend it; empty where nothing is wrong.
    pub fault: &'static str,
    /// The usual cause and its mend.
    pub advice: &'static str,
}

impl Reference {
    /// Reads the tables.
    pub fn read() -> Self {
        let events = events::ALL.iter();
        Self {
            events: events.map(|(id, text)| EventEntry { event_id: id.0, meaning: text.trim() }).collect(),
            refusals: Refusal::every().map(|refusal| refusal_entry(&refusal)).collect(),
            endings: Ending::ALL.into_iter().map(ending_entry).collect(),
        }
    }

    /// Returns the Markdown tables by the names they have in `docs/events.md`.
    pub fn tables(&self) -> [(&'static str, String); 4] {
        [
            ("events", self.events_table()),
            ("refusals", self.refusals_table()),
            ("endings", self.endings_table()),
            ("advice", self.advice_table()),
        ]
    }

    fn events_table(&self) -> String {
        let rows = self.events.iter().map(|event| format!("| {} | {} |\n", event.event_id, event.meaning));
        format!("| event_id | meaning |\n|---|---|\n{}", rows.collect::<String>())
    }

    fn refusals_table(&self) -> String {
        let rows = self.refusals.iter().map(|row| {
            let RefusalEntry { reason, status, event_id, level, fault, proxy_status_error, text, .. } = row;
            let again = if row.retry_after { "yes" } else { "" };
            format!(
                "| `{reason}` | {status} | {event_id} | {level} | {fault} | {proxy_status_error} | {again} | {text} |\n"
            )
        });
        format!(
            "| reason | status | event_id | level | fault | Proxy-Status error | Retry-After | text |\n\
             |---|---|---|---|---|---|---|---|\n{}",
            rows.collect::<String>()
        )
    }

    fn endings_table(&self) -> String {
        let rows = self.endings.iter().map(|row| {
            let ids: Vec<String> = row.event_ids.iter().map(ToString::to_string).collect();
            format!("| `{}` | {} | {} | {} |\n", row.reason, ids.join(" or "), row.level, row.fault)
        });
        format!("| reason | event_id | level | fault |\n|---|---|---|---|\n{}", rows.collect::<String>())
    }

    fn advice_table(&self) -> String {
        let refusals = self.refusals.iter().map(|row| (row.reason, row.advice));
        let all = refusals.chain(self.endings.iter().map(|row| (row.reason, row.advice)));
        let rows = all.map(|(reason, advice)| format!("| `{reason}` | {advice} |\n"));
        format!("| reason | cause and mend |\n|---|---|\n{}", rows.collect::<String>())
    }
}

fn refusal_entry(refusal: &Refusal) -> RefusalEntry {
    let row = refusal.row();
    RefusalEntry {
        reason: row.reason,
        status: row.status,
        event_id: row.event.0,
        level: row.level.label(),
        fault: row.fault.label(),
        proxy_status_error: row.proxy_error,
        retry_after: refusal.retry_after().is_some(),
        text: text(refusal),
        advice: refusal.advice(),
    }
}

fn ending_entry(ending: Ending) -> EndingEntry {
    let row = ending.row();
    let seen = || vec![events::CONNECT.0, events::TLS_VERIFIED.0];
    EndingEntry {
        reason: row.reason,
        event_ids: row.event.map_or_else(seen, |event| vec![event.0]),
        level: row.level.label(),
        fault: row.fault.map_or("", |fault| fault.label()),
        advice: ending.advice(),
    }
}

/// The text of a refusal, with dots where a detail stands.
fn text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MalformedRequest(_) => Refusal::MalformedRequest("...").to_string(),
        Refusal::MalformedTarget(detail) => refusal.to_string().replace(&detail.to_string(), "..."),
        Refusal::NotHttp(_) => Refusal::NotHttp("...").to_string(),
        Refusal::ProxyHeader(_) => Refusal::ProxyHeader("...").to_string(),
        Refusal::TlsHandshake(_) => Refusal::TlsHandshake("...".to_owned()).to_string(),
        _ => refusal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_one_line_and_ends_no_cell_early() {
        for (name, table) in Reference::read().tables() {
            let columns = |line: &str| line.replace("\\|", "").matches('|').count();
            let wanted = table.lines().next().map(columns);
            assert!(table.lines().all(|line| Some(columns(line)) == wanted), "{name}");
        }
    }

    #[test]
    fn every_reason_has_advice() {
        let all = Reference::read();
        assert!(all.refusals.iter().all(|row| row.advice.len() > 20), "{:?}", all.refusals);
        assert!(all.endings.iter().all(|row| row.advice.len() > 20), "{:?}", all.endings);
    }
}
