//! `la-gateway bundles`: what a bundle opens, and what another one, cloud or version does.

use crate::cast::Done;
use crate::cast::Folder;

fn bundles(folder: &Folder, arguments: &[&str]) -> Done {
    folder.run(&[&["bundles"], arguments].concat())
}

#[test]
fn bundles_are_listed_and_shown_with_the_reason_and_source_of_each_host() {
    let folder = Folder::new();
    let listed = bundles(&folder, &["list"]).out;
    assert!(listed.lines().count() == 5 && listed.starts_with("log-analytics "), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&bundles(&folder, &["list", "--json"]).out).unwrap();
    assert_eq!(listed[0]["name"], "log-analytics");
    let shown = bundles(&folder, &["show", "log-analytics", "--cloud", "china"]).out;
    assert!(shown.contains("{workspace}.ods.opinsights.azure.cn") && !shown.contains("azure.com"), "{shown}");
    assert!(shown.contains("(Microsoft: "), "{shown}");
    let done = bundles(&folder, &["show", "everything"]);
    assert!(done.code == 1 && done.err.contains("there is log-analytics, "), "{}", done.err);
}

#[test]
fn a_saved_list_of_an_older_version_shows_what_an_upgrade_would_open_and_close() {
    let folder = Folder::new();
    let now = bundles(&folder, &["show", "--json"]).out;
    folder.write("same.json", &now);
    let done = bundles(&folder, &["diff", "same.json", "--exit-code"]);
    assert_eq!((done.code, done.out.contains("the same hosts")), (0, true), "{}", done.out);
    let older = now.replace("{account}.blob.core.windows.net", "old.blob.core.windows.net");
    folder.write("older.json", &older);
    let done = bundles(&folder, &["diff", "older.json", "--exit-code"]);
    assert_eq!(done.code, 1);
    for line in [
        "- log-analytics public old.blob.core.windows.net",
        "+ log-analytics public {account}.blob.core.windows.net",
        "+ arc public {account}.blob.core.windows.net",
    ] {
        assert!(done.out.contains(line), "{line}:\n{}", done.out);
    }
    let json: serde_json::Value =
        serde_json::from_str(&bundles(&folder, &["diff", "older.json", "--json"]).out).unwrap();
    assert_eq!(json["opens"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn clouds_and_bundles_are_compared_by_what_they_reach() {
    let folder = Folder::new();
    let done = bundles(&folder, &["diff", "log-analytics@public", "log-analytics@china", "--exit-code"]);
    assert_eq!(done.code, 0, "the same families under other domains:\n{}", done.out);
    let done = bundles(&folder, &["diff", "log-analytics@public", "azure-monitor-agent@public"]);
    assert!(done.out.contains("+ azure-monitor-agent public global.handler.control.monitor.azure.com"));
    assert!(done.out.contains("- log-analytics public {account}.blob.core.windows.net"), "{}", done.out);
    assert!(!done.out.contains("{workspace}.ods"), "both have it:\n{}", done.out);
}

#[test]
fn a_file_that_is_no_saved_list_or_holds_what_no_bundle_has_is_refused() {
    let folder = Folder::new();
    let now = bundles(&folder, &["show", "logs-ingestion", "--json"]).out;
    folder.write("text.json", "what");
    folder.write("escape.json", &now.replace("Microsoft Entra tokens", "\\u001b[2J"));
    folder.write("pattern.json", &now.replace("login.microsoftonline.com", "*"));
    for (file, words) in [
        ("text.json", "is nothing that"),
        ("escape.json", "a control character"),
        ("pattern.json", "too wide"),
        ("missing.json", "cannot be read"),
    ] {
        let done = bundles(&folder, &["diff", file]);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{file}");
        assert!(done.err.contains(words) && !done.err.contains('\u{1b}'), "{file}: {}", done.err);
    }
}
