//! `docs/events.md` holds the tables as the program has them, and says of every reason what to do.
//!
//! The page is prose with generated tables between marks. `UPDATE_DOCS=1` writes the tables anew.

use std::fs;
use std::path::PathBuf;

use la_gateway::ending::Ending;
use la_gateway::events;
use la_gateway::refusal::Level;
use la_gateway::refusal::Refusal;

const MEND: &str = "UPDATE_DOCS=1 cargo test -p la-gateway --test event_reference";
const END: &str = "<!-- end -->";

#[test]
fn the_page_holds_the_tables_as_the_program_has_them() {
    let before = page();
    let tables = [("events", events_table()), ("refusals", refusals_table()), ("endings", endings_table())];
    let after = tables.iter().fold(before.clone(), |text, (name, table)| with_table(&text, name, table));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // In one step: the other test reads the page at the same time.
        let new = file().with_extension("md.new");
        fs::write(&new, &after).expect("docs can be written");
        return fs::rename(&new, file()).expect("docs/events.md can be replaced");
    }
    assert!(before == after, "docs/events.md differs from the program's tables; write it anew: {MEND}");
}

#[test]
fn the_page_says_of_every_reason_what_to_do() {
    let text = page();
    let (_, advice) = text.split_once("## What to do").expect("docs/events.md has a chapter `What to do`");
    let refusals = Refusal::every().map(|refusal| refusal.row().reason);
    let endings = Ending::ALL.iter().map(|ending| ending.row().reason);
    let missing: Vec<&str> =
        refusals.chain(endings).filter(|reason| !advice.contains(&format!("| `{reason}` |"))).collect();
    assert!(missing.is_empty(), "docs/events.md, chapter `What to do`, has no line for {missing:?}");
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md")
}

fn page() -> String {
    fs::read_to_string(file()).expect("docs/events.md can be read")
}

/// Puts a table between its two marks.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let mark = format!("<!-- table: {name} -->");
    let (before, rest) = text.split_once(&mark).unwrap_or_else(|| panic!("docs/events.md has no `{mark}`"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("`{mark}` is not followed by `{END}`"));
    format!("{before}{mark}\n{table}{END}{after}")
}

fn events_table() -> String {
    let rows = events::ALL.iter().map(|(id, meaning)| format!("| {id} | {} |\n", meaning.trim()));
    format!("| event_id | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

fn refusals_table() -> String {
    let rows = Refusal::every().map(|refusal| {
        let row = refusal.row();
        let again = if refusal.retry_after().is_some() { "yes" } else { "" };
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {again} | {} |\n",
            row.reason,
            row.status,
            row.event,
            level(row.level),
            row.fault.label(),
            row.proxy_error,
            text(&refusal)
        )
    });
    format!(
        "| reason | status | event_id | level | fault | Proxy-Status error | Retry-After | text |\n\
         |---|---|---|---|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

fn endings_table() -> String {
    let rows = Ending::ALL.iter().map(|ending| {
        let row = ending.row();
        let event = row.event.map_or_else(
            || format!("{} or {}", events::CONNECT, events::TLS_VERIFIED),
            |event| event.to_string(),
        );
        let fault = row.fault.map_or("", |fault| fault.label());
        format!("| `{}` | {event} | {} | {fault} |\n", row.reason, level(row.level))
    });
    format!("| reason | event_id | level | fault |\n|---|---|---|---|\n{}", rows.collect::<String>())
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

fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}
