//! `la-gateway hosts`: the configuration is edited in place, and only to one that a start would take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::chown;
use std::os::unix::fs::symlink;

use crate::cast::Done;
use crate::cast::Folder;

const CONFIG: &str = "# the site's gateway\n[[listener]]\naddress = \"127.0.0.1:0\" # inner\n\n[role.agents]\n# who\n\
    anonymous_from = [\"10.20.0.0/16\"]\nhosts = [\n    \"packages.example.com\", # apt\n    # later\n]\n\n# the end\n\
    [log]\nformat = \"json\"\n";
const TWO: &str =
    "[role.a]\nanonymous_from = [\"10.20.0.0/16\"]\n[role.b]\nanonymous_from = [\"10.21.0.0/16\"]\n";

fn hosts(folder: &Folder, arguments: &[&str]) -> Done {
    folder.run(&[&["--config", "gateway.toml", "hosts"], arguments].concat())
}

#[test]
fn adding_and_removing_keep_comments_order_mode_and_owner_and_leave_no_copy() {
    let folder = Folder::with(CONFIG);
    fs::set_permissions(folder.path("gateway.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    // Only the superuser can give a file away; for others the owner stays what it is anyway.
    let _ = chown(folder.path("gateway.toml"), Some(1234), Some(1234));
    let about = || fs::metadata(folder.path("gateway.toml")).map(|m| (m.mode(), m.uid(), m.gid())).unwrap();
    let before = about();

    let done = hosts(&folder, &["add", "UPDATES.example.com", "packages.example.com"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    assert_eq!(
        done.err,
        "packages.example.com is there already\nrole agents: added updates.example.com\na running gateway takes it within seconds, or at once with `la-gateway reload`\n"
    );
    let expected = CONFIG.replace("    # later\n", "    # later\n    \"updates.example.com\",\n");
    assert_eq!(folder.read("gateway.toml"), expected);
    assert_eq!((about(), folder.names()), (before, vec!["gateway.toml".to_owned()]));

    assert_eq!(hosts(&folder, &["list"]).out, "agents  packages.example.com\nagents  updates.example.com\n");
    let json = hosts(&folder, &["list", "--json"]).out;
    let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&listed[0]["host"], &listed[0]["role"]), (&"packages.example.com".into(), &"agents".into()));
    assert_eq!(listed[0]["place"], "gateway.toml:9:5", "{json}");

    assert_eq!(hosts(&folder, &["remove", "updates.example.com"]).code, 0);
    assert_eq!(folder.read("gateway.toml"), CONFIG);
    assert_eq!(about(), before);
}

#[test]
fn what_check_would_refuse_is_not_written_and_the_message_says_why() {
    let folder = Folder::with(
        "[role.agents]\nanonymous_from = [\"10.20.0.0/16\"]\nbundles = []\nhosts = [\"a.example\"]\n",
    );
    let before = folder.read("gateway.toml");
    let cases: [(&[&str], &str); 7] = [
        (&["add", "*.com"], "too wide"),
        (&["add", "https://a.example"], "write the host alone, without https:// and port"),
        (&["add", "a.example:443"], "write the host alone, without https:// and port"),
        (&["add", "10.0.0.1"], "an IP address cannot be allowed"),
        (&["remove", "b.example"], "b.example is no host of role `agents`"),
        (&["remove", "a.example"], "may go nowhere"),
        (&["add", "b.example", "--role", "nobody"], "there is no role `nobody`; there is agents"),
    ];
    for (arguments, words) in cases {
        let done = hosts(&folder, arguments);
        assert_eq!(done.code, 1, "{arguments:?}");
        assert!(done.err.contains(words), "{arguments:?}: {}", done.err);
        assert_eq!(folder.read("gateway.toml"), before, "{arguments:?}");
    }
    assert_eq!(folder.names(), ["gateway.toml"]);
    // A file that check refuses already is not edited, either.
    folder.write("gateway.toml", &format!("{before}nonsense = 1\n"));
    assert_eq!(hosts(&folder, &["add", "b.example"]).code, 78);
}

#[test]
fn with_several_roles_one_must_be_chosen_and_a_missing_list_is_made() {
    let folder = Folder::with(TWO);
    let done = hosts(&folder, &["add", "a.example.com"]);
    assert!(
        done.code == 1 && done.err.contains("several roles (a, b); choose one with --role"),
        "{}",
        done.err
    );
    assert_eq!(hosts(&folder, &["add", "a.example.com", "--role", "a"]).code, 0);
    assert_eq!(folder.read("gateway.toml"), TWO.replace("[role.b]", "hosts = [\"a.example.com\"]\n[role.b]"));
    assert_eq!(hosts(&folder, &["list", "--role", "b"]).out, "");
}

#[test]
fn a_linked_configuration_stays_a_link_and_the_built_in_one_cannot_be_edited() {
    let folder = Folder::new();
    folder.write("real.toml", CONFIG);
    symlink("real.toml", folder.path("gateway.toml")).unwrap();
    assert_eq!(hosts(&folder, &["add", "new.example.com"]).code, 0);
    assert!(fs::symlink_metadata(folder.path("gateway.toml")).unwrap().is_symlink());
    assert!(folder.read("real.toml").contains("new.example.com"));
    symlink("nowhere", folder.path("dangling.users")).unwrap();
    let done = folder.run_with_input(&["users", "add", "ann", "--file", "dangling.users"], "password\n");
    assert!(done.code == 1 && done.err.contains("a link that leads to no file"), "{}", done.err);
    let done = folder.run(&["hosts", "add", "a.example.com"]);
    assert!(done.code == 1 && done.err.contains("name a file with --config"), "{}", done.err);
}

#[test]
fn edits_at_the_same_time_are_all_there_afterwards() {
    let folder = Folder::with(CONFIG);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                let done = hosts(folder, &["add", &format!("n{number}.example.com")]);
                assert_eq!(done.code, 0, "{}", done.err);
            });
        }
    });
    let text = folder.read("gateway.toml");
    assert!((0..8).all(|number| text.contains(&format!("\"n{number}.example.com\""))), "{text}");
    assert_eq!(folder.names(), ["gateway.toml"]);
}
