//! `la-gateway suggest`: rules from records, printed or written, whatever the records hold.

use crate::cast::Done;
use crate::cast::Folder;

const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const CONFIG: &str = "[role.agents]\n# who\nanonymous_from = [\"10.20.0.0/16\"]\nmode = \"report\"\n";

fn record(host: &str, would_refuse: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-11-22T21:00:00.5Z\",\"level\":\"WARN\",\"client\":\"10.20.0.7:4000\",\"role\":\"agents\",\
         \"host\":{host:?},\"port\":443,\"verdict\":\"carried\",\"reason\":\"finished\",\"would_refuse\":\"{would_refuse}\",\
         \"target\":\"access\"}}\n"
    )
}

fn records() -> String {
    [
        record("global.handler.control.monitor.azure.com", "host_denied"),
        record("westeurope.handler.control.monitor.azure.com", "host_denied"),
        record("apt.example.org", "host_denied"),
        record(&format!("{GUID}.ods.opinsights.azure.com"), ""),
        record("examplelogs.blob.core.windows.net", ""),
    ]
    .concat()
}

fn suggest(folder: &Folder, arguments: &[&str], input: &str) -> Done {
    folder.run_with_input(&[&["--config", "gateway.toml", "suggest"], arguments].concat(), input)
}

#[test]
fn what_is_printed_is_toml_that_allows_what_was_seen_and_nothing_is_left_to_suggest_after_apply() {
    let folder = Folder::with(CONFIG);
    let done = suggest(&folder, &[], &records());
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let pasted: toml_edit::DocumentMut = done.out.parse().unwrap_or_else(|_| panic!("{}", done.out));
    let expected = format!(
        "bundles = [\"log-analytics\", \"azure-monitor-agent\"]\n# workspaces: any is allowed now; these were seen, and \
         others would be refused.\nworkspaces = [\"{GUID}\"]\n# storage_accounts: any is allowed now; these were seen, and \
         others would be refused.\nstorage_accounts = [\"examplelogs\"]\n#   apt.example.org (once, from 10.20.0.7, \
         last 2026-11-22T21:00:00.5Z)\nhosts = [\"apt.example.org\"]\n"
    );
    assert!(done.out.ends_with(&expected), "{}\n---\n{expected}", done.out);
    assert!(pasted["role"]["agents"]["hosts"].is_array());
    assert_eq!(folder.read("gateway.toml"), CONFIG, "nothing is written without --apply");

    folder.write("records.json", &records());
    let done = suggest(&folder, &["records.json", "--apply"], "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("role agents: hosts: added apt.example.org\n"), "{}", done.err);
    assert!(
        done.err
            .ends_with("a running gateway takes it within seconds, or at once with `la-gateway reload`\n"),
        "{}",
        done.err
    );
    assert!(folder.read("gateway.toml").starts_with(CONFIG), "{}", folder.read("gateway.toml"));
    let done = suggest(&folder, &["records.json"], "");
    assert!(done.out.contains("# There is nothing to add"), "{}", done.out);
}

#[test]
fn what_could_not_be_judged_is_never_called_allowed() {
    let folder = Folder::with(&format!(
        "{CONFIG}hosts = [\"a.example\"]\n[role.b]\nanonymous_from = [\"10.21.0.0/16\"]\n"
    ));
    let every = "every destination that was seen is allowed";
    let known = record("a.example", "");
    let strange = record("a.example", "").replace("\"agents\"", "\"gone\"");
    let other = record("b.example", "host_denied").replace("\"agents\"", "\"b\"");
    for (more, judged) in [("", true), (&*strange, false), (&*other, false)] {
        let done = suggest(&folder, &["--role", "agents"], &format!("{known}{more}"));
        assert_eq!((done.code, done.out.contains(every)), (0, judged), "{}{}", done.out, done.err);
        assert!(done.out.contains("There is nothing to add"), "{}", done.out);
    }
    let done = suggest(&folder, &[], "");
    assert_eq!(
        (done.code, done.out.as_str()),
        (1, "# There is no access record in it: nothing can be said.\n")
    );
}

#[test]
fn hostile_records_put_nothing_into_the_toml_or_the_terminal() {
    let folder = Folder::with(CONFIG);
    let evil = [
        record("a.example\"]\n[addresses]\nallow = [\"10.0.0.0/8", "host_denied"),
        record("a.example", "host_denied").replace("10.20.0.7:4000", "\\u001b[2J"),
        record("b.example", "host_denied").replace("2026-11-22T21:00:00.5Z", "2026\\n[addresses]"),
        record("c.example", "host_denied").replace("\"agents\"", "\"agents]\\n[x\""),
        record("d.example", "host_denied").replace("\"host_denied\"", "\"\\u001b\""),
        "\u{1b}[2J no json\n".to_owned(),
    ]
    .concat();
    for arguments in [&[][..], &["--json"], &["--apply"]] {
        let done = suggest(&folder, arguments, &evil);
        assert_eq!(done.code, 0, "{}", done.err);
        let said = format!("{}{}{}", done.out, done.err, folder.read("gateway.toml"));
        assert!(!said.contains('\u{1b}') && !said.contains("[addresses]") && !said.contains("[x"), "{said}");
    }
    assert!(folder.read("gateway.toml").contains("hosts = [\"a.example\", \"b.example\", \"d.example\"]"));
}

#[test]
fn a_flood_of_invented_names_does_not_become_rules_beyond_the_most_frequent() {
    let folder = Folder::with(CONFIG);
    let flood: String =
        (0..300).map(|number| record(&format!("n{number}.example.net"), "host_denied")).collect();
    let needed = record("needed.example.org", "host_denied").repeat(3);
    let done = suggest(&folder, &["--top", "10", "--apply"], &format!("{flood}{needed}"));
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.err.contains("role agents: 291 destinations that were asked for less often are left out"),
        "{}",
        done.err
    );
    let text = folder.read("gateway.toml");
    assert_eq!(
        (text.contains("needed.example.org"), text.matches("example.net").count()),
        (true, 9),
        "{text}"
    );
}

#[test]
fn a_role_a_time_and_pins_can_be_left_out_and_text_records_are_explained() {
    let folder = Folder::with(CONFIG);
    let done = suggest(&folder, &["--no-pins"], &records());
    assert!(!done.out.contains("storage_accounts") && done.out.contains("hosts"), "{}", done.out);
    let done = suggest(&folder, &["--since", "2026-11-23T00:00:00Z"], &records());
    assert!(done.code == 1 && done.out.contains("# There is no access record"), "{}", done.out);
    let done = suggest(&folder, &["--since", "yesterday"], &records());
    assert!(done.code == 1 && done.err.contains("`yesterday` is no time"), "{}", done.err);
    let done = suggest(&folder, &["--role", "nobody"], &records());
    assert!(done.code == 1 && done.err.contains("there is no role `nobody`"), "{}", done.err);
    let done = suggest(&folder, &[], "2026 WARN access: no rule allows this host\n");
    assert!(done.code == 1 && done.err.contains("[log] format"), "{}", done.err);
    let told: serde_json::Value =
        serde_json::from_str(&suggest(&folder, &["--json"], &records()).out).unwrap();
    assert_eq!(told["roles"][0]["hosts"][0]["covers"][0]["seen"]["wanted"], 1, "{told}");
    assert_eq!(told["roles"][0]["workspaces"]["begin"][0], GUID, "{told}");
}
