//! `docs/agent-events.md` holds the tables as the program has them, and says of each event and loss what to do.
//!
//! The page is prose with generated tables between marks; the last column, what to do, is the page's own and
//! is kept. `UPDATE_DOCS=1` writes the rest anew.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use agent_lite::counters::Loss;
use agent_lite::events::Event;
use agent_lite::events::Level;

const MEND: &str = "UPDATE_DOCS=1 cargo test -p agent-lite --test event_reference";
const END: &str = "<!-- end -->";

#[test]
fn the_page_holds_the_tables_as_the_program_has_them() {
    let before = page();
    let events = Event::ALL.iter().map(|event| {
        let level = match event.level() {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        vec![format!("{}", event.id()), level.to_owned(), event.text().to_owned()]
    });
    let losses = Loss::ALL.iter().map(|loss| vec![format!("`{}`", loss.label()), loss.sentence().to_owned()]);
    let after = with_table(&before, "events", "| event_id | level | it says | what to do |", events);
    let after = with_table(&after, "losses", "| kind | N … | what to do |", losses);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // In one step: the other test reads the page at the same time.
        let new = file().with_extension("md.new");
        fs::write(&new, &after).unwrap();
        return fs::rename(&new, file()).unwrap();
    }
    assert!(before == after, "docs/agent-events.md differs from the program's tables; write it anew: {MEND}");
}

#[test]
fn the_page_says_of_every_event_and_loss_what_to_do() {
    let page = page();
    let events = Event::ALL.iter().map(|event| ("events", format!("{}", event.id())));
    let losses = Loss::ALL.iter().map(|loss| ("losses", format!("`{}`", loss.label())));
    let missing: Vec<String> = events
        .chain(losses)
        .filter(|(table, key)| advice(&page, table).get(key).is_none_or(String::is_empty))
        .map(|(_, key)| key)
        .collect();
    assert!(missing.is_empty(), "docs/agent-events.md does not say what to do about {missing:?}");
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/agent-events.md")
}

fn page() -> String {
    fs::read_to_string(file()).expect("docs/agent-events.md can be read")
}

/// Puts rows between a table's two marks, each with the advice that stands there already.
fn with_table(text: &str, name: &str, head: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let known = advice(text, name);
    let (before, _, after) = parts(text, name);
    let line = "|---".repeat(head.matches('|').count() - 1);
    let rows = rows.map(|cells| {
        let advice = cells.first().and_then(|key| known.get(key)).map_or("", String::as_str);
        format!("| {} | {advice} |\n", cells.join(" | "))
    });
    format!("{before}{}\n{head}\n{line}|\n{}{END}{after}", mark(name), rows.collect::<String>())
}

/// Returns the last cell of each row of a table by its first.
fn advice(text: &str, name: &str) -> BTreeMap<String, String> {
    let (_, table, _) = parts(text, name);
    let cells = |row: &str| {
        let row = row.trim().trim_matches('|');
        let (key, rest) = row.split_once(" | ")?;
        let (_, advice) = rest.rsplit_once(" | ")?;
        Some((key.trim().to_owned(), advice.trim().to_owned()))
    };
    table.lines().filter(|line| line.starts_with('|')).skip(2).filter_map(cells).collect()
}

fn parts<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let mark = mark(name);
    let (before, rest) =
        text.split_once(&mark).unwrap_or_else(|| panic!("docs/agent-events.md has no `{mark}`"));
    let (table, after) =
        rest.split_once(END).unwrap_or_else(|| panic!("`{mark}` is not followed by `{END}`"));
    (before, table, after)
}

fn mark(name: &str) -> String {
    format!("<!-- table: {name} -->")
}
