//! `la-gateway events`: the reference from the program itself.

use std::fs;

use serde_json::Value;

use crate::cast::Folder;

#[test]
fn it_prints_the_tables_of_the_reference_page() {
    let done = Folder::new().run(&["events"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md")).unwrap();
    let rows: Vec<&str> = done.out.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 100, "{}", done.out);
    let missing: Vec<_> = rows.iter().filter(|row| !page.contains(**row)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn with_json_each_reason_has_its_status_event_and_advice() {
    let done = Folder::new().run(&["events", "--json"]);
    let all: Value = serde_json::from_str(&done.out).unwrap();
    let denied =
        all["refusals"].as_array().unwrap().iter().find(|row| row["reason"] == "host_denied").unwrap();
    assert_eq!(
        (&denied["status"], &denied["event_id"], &denied["fault"]),
        (&403.into(), &105.into(), &"policy".into())
    );
    assert!(denied["advice"].as_str().unwrap().contains("bundle"), "{denied}");
    let finished = all["endings"].as_array().unwrap().iter().find(|row| row["reason"] == "finished").unwrap();
    assert_eq!(finished["event_ids"], serde_json::json!([103, 107]));
    assert!(all["events"].as_array().unwrap().iter().any(|row| row["event_id"] == 151));
}
