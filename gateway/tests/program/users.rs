//! `la-gateway users`: the users file is edited, its comments and mode stay, passwords are not shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cast::Done;
use crate::cast::Folder;

const CONFIG: &str = "[role.agents]\nusers_file = \"agents.users\"\n";
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";

fn add(folder: &Folder, name: &str, input: &str) -> Done {
    folder.run_with_input(&["users", "add", name, "--file", "agents.users"], input)
}

fn remove(folder: &Folder, name: &str) -> Done {
    folder.run(&["users", "remove", name, "--file", "agents.users"])
}

fn list(folder: &Folder) -> Done {
    folder.run(&["users", "list", "--file", "agents.users"])
}

fn mode(folder: &Folder) -> u32 {
    fs::metadata(folder.path("agents.users")).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_users_file_is_readable_by_its_owner_only_and_what_is_in_it_is_accepted() {
    let folder = Folder::with(CONFIG);
    for name in ["ann", "späher", "site 7@example"] {
        let done = add(&folder, name, "hunter2 hunter2\n");
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!format!("{done:?}").contains("hunter2"), "the password is shown: {done:?}");
    }
    assert_eq!(mode(&folder), 0o600);
    let text = folder.read("agents.users");
    assert!(text.lines().all(|line| line.contains(":$argon2id$")) && !text.contains("hunter2"), "{text}");
    let hashes: std::collections::BTreeSet<&str> =
        text.lines().map(|line| line.split_once(':').unwrap().1).collect();
    assert_eq!(hashes.len(), 3, "one password has one hash, so there is no salt");
    let check = folder.run(&["--config", "gateway.toml", "check"]);
    assert_eq!(check.code, 0, "{}", check.err);
    assert!(check.out.contains("role agents (3 users)"), "{}", check.out);
    let listed = list(&folder);
    assert_eq!(
        (listed.code, listed.out.as_str(), listed.err.as_str()),
        (0, "ann\nspäher\nsite 7@example\n", "")
    );
    assert_eq!(folder.names(), ["agents.users", "gateway.toml"], "a copy was left behind");
}

#[test]
fn adding_and_removing_keep_the_comments_the_order_and_the_mode() {
    let folder = Folder::new();
    let before = format!("# agents of site 7\n\nann:{HASH}\n# ann: see above\n  bob:{HASH}\neve:{HASH}\n");
    folder.write("agents.users", &before);
    fs::set_permissions(folder.path("agents.users"), fs::Permissions::from_mode(0o640)).unwrap();

    assert_eq!(add(&folder, "ann", "new password\n").code, 0);
    let text = folder.read("agents.users");
    let kept = format!("# agents of site 7\n\n# ann: see above\n  bob:{HASH}\neve:{HASH}\nann:$argon2id$");
    assert!(text.starts_with(&kept), "{text}");
    assert_eq!(text.matches("ann:$").count(), 1, "{text}");

    assert_eq!(remove(&folder, "bob").code, 0);
    assert_eq!(folder.read("agents.users"), text.replace(&format!("  bob:{HASH}\n"), ""));
    assert_eq!(list(&folder).out, "eve\nann\n");
    assert_eq!(mode(&folder), 0o640);
}

#[test]
fn a_file_without_its_last_user_says_that_nobody_is_meant_and_takes_the_next_one() {
    let folder = Folder::with(CONFIG);
    for _ in 0..2 {
        folder.write("agents.users", &format!("\nann:{HASH}\n \n"));
        assert_eq!(remove(&folder, "ann").code, 0);
        assert_eq!(folder.read("agents.users"), "# nobody\n");
        assert_eq!(folder.run(&["--config", "gateway.toml", "check"]).code, 0);
        assert_eq!(add(&folder, "bob", "new password\n").code, 0);
        assert!(folder.read("agents.users").starts_with("bob:$argon2id$"));
    }
}

#[test]
fn the_password_is_the_first_line_of_the_input_without_its_end_and_an_empty_one_is_refused() {
    let folder = Folder::new();
    for (input, code) in
        [("", 1), ("\n", 1), ("\r\n", 1), ("a\u{7}b\n", 1), ("no end of line", 0), (" \n", 0)]
    {
        assert_eq!(add(&folder, "ann", input).code, code, "{input:?}");
    }
    for (length, code) in [(1024, 0), (1025, 1)] {
        assert_eq!(add(&folder, "bob", &"x".repeat(length)).code, code, "{length} bytes");
    }
    assert_eq!(list(&folder).out, "ann\nbob\n");
}

#[test]
fn a_name_that_could_not_be_read_back_is_refused_and_the_file_is_not_touched() {
    let folder = Folder::new();
    let long = "n".repeat(129);
    for name in ["", "a:b", "#ann", " ann", "ann ", "a\nb", "a\tb", &long] {
        let done = add(&folder, name, "password\n");
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{name:?}");
        assert!(done.err.contains("user name"), "{name:?}: {}", done.err);
    }
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn a_user_or_a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    for done in [list(&folder), remove(&folder, "ann")] {
        assert_eq!(done.code, 1);
        assert!(done.err.contains("cannot read agents.users"), "{}", done.err);
    }
    folder.write("agents.users", &format!("ann:{HASH}\n"));
    let done = remove(&folder, "an");
    assert_eq!(done.code, 1);
    assert!(done.err.contains("there is no user `an` in agents.users"), "{}", done.err);
    assert_eq!(folder.read("agents.users"), format!("ann:{HASH}\n"));
    let done =
        folder.run_with_input(&["users", "add", "ann", "--file", "no/such/folder.users"], "password\n");
    assert_eq!(done.code, 1);
    assert!(done.err.contains("cannot write no/such/folder.users"), "{}", done.err);
}

#[test]
fn a_list_names_the_lines_that_are_no_users_and_fails() {
    let folder = Folder::new();
    folder.write("agents.users", &format!("ann:{HASH}\nbob:plain-password\n"));
    let done = list(&folder);
    assert_eq!((done.code, done.out.as_str()), (1, "ann\n"));
    assert!(
        done.err.starts_with("agents.users:2:1: ") && !done.err.contains("plain-password"),
        "{}",
        done.err
    );
}

#[test]
fn a_linked_users_file_stays_a_link_and_the_file_behind_it_keeps_its_owner() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::fs::chown;

    let folder = Folder::new();
    folder.write("real.users", &format!("ann:{HASH}\n"));
    std::os::unix::fs::symlink(folder.path("real.users"), folder.path("agents.users")).unwrap();
    // Only the superuser can give a file away; for others the owner stays what it is anyway.
    let _ = chown(folder.path("real.users"), Some(1234), Some(1234));
    let owner = || fs::metadata(folder.path("real.users")).map(|data| (data.uid(), data.gid())).unwrap();
    let before = owner();
    let done = add(&folder, "bob", "new password\n");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(fs::symlink_metadata(folder.path("agents.users")).unwrap().is_symlink());
    assert!(folder.read("real.users").contains("\nbob:$argon2id$"));
    assert_eq!(owner(), before);
}

#[test]
fn the_users_file_of_a_role_need_not_be_named_nor_be_there_yet() {
    let folder = Folder::with(CONFIG);
    let users = |arguments: &[&str], input: &str| {
        folder.run_with_input(&[&["--config", "gateway.toml", "users"], arguments].concat(), input)
    };
    let done = users(&["add", "ann"], "password\n");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    assert_eq!(
        done.err,
        "ann: added (agents.users); a running gateway takes it within seconds, or at once with `la-gateway reload`\n"
    );
    assert_eq!(users(&["add", "bob", "--role", "agents"], "password\n").code, 0);
    assert_eq!(users(&["list", "--json"], "").out, "[\n  \"ann\",\n  \"bob\"\n]\n");
    let done = users(&["remove", "ann"], "");
    assert_eq!(
        done.err,
        "ann: removed (agents.users); a running gateway takes it within seconds, or at once with `la-gateway reload`\n"
    );
    assert_eq!(users(&["list"], "").out, "bob\n");
    let done = users(&["list", "--role", "nobody"], "");
    assert!(done.code == 1 && done.err.contains("has no role `nobody` with a `users_file`"), "{}", done.err);
    folder.write("gateway.toml", &format!("{CONFIG}[role.other]\nusers_file = \"other.users\"\n"));
    let done = users(&["list"], "");
    assert!(done.code == 1 && done.err.contains("choose one with --role"), "{}", done.err);
}
