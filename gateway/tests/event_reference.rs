//! `docs/events.md` holds the tables as the program has them, what to do about each reason included.
//!
//! The page is prose with generated tables between marks. `UPDATE_DOCS=1` writes the tables anew.

use std::fs;
use std::path::PathBuf;

use la_gateway::observe::reference::Reference;

const MEND: &str = "UPDATE_DOCS=1 cargo test -p la-gateway --test event_reference";
const END: &str = "<!-- end -->";

#[test]
fn the_page_holds_the_tables_as_the_program_has_them() {
    let before = page();
    let tables = Reference::read().tables();
    let after = tables.iter().fold(before.clone(), |text, (name, table)| with_table(&text, name, table));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // In one step: another test may read the page at the same time.
        let new = file().with_extension("md.new");
        fs::write(&new, &after).expect("docs can be written");
        return fs::rename(&new, file()).expect("docs/events.md can be replaced");
    }
    assert!(before == after, "docs/events.md differs from the program's tables; write it anew: {MEND}");
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
