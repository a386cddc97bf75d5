//! The built program: its arguments, exit codes, outputs and signals.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

#[path = "program/bundles.rs"]
mod bundles;
#[path = "program/cast.rs"]
mod cast;
#[path = "program/check.rs"]
mod check;
#[path = "program/events.rs"]
mod events;
#[path = "program/explain.rs"]
mod explain;
#[path = "program/hosts.rs"]
mod hosts;
#[path = "program/import.rs"]
mod import;
#[path = "program/manual.rs"]
mod manual;
#[path = "program/pair.rs"]
mod pair;
#[path = "program/report_mode.rs"]
mod report_mode;
#[path = "program/run.rs"]
mod run;
#[path = "program/suggest.rs"]
mod suggest;
#[path = "program/users.rs"]
mod users;

use cast::Folder;

#[test]
fn the_version_is_one_line() {
    let done = Folder::new().run(&["--version"]);
    assert_eq!((done.code, done.out), (0, format!("la-gateway {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_help_names_every_command_and_the_usual_place_of_the_configuration() {
    let done = Folder::new().run(&["--help"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    for word in [
        "run",
        "check",
        "explain",
        "pair",
        "users",
        "hosts",
        "bundles",
        "suggest",
        "import-oms",
        "import-squid",
        "completions",
        "man",
        "--config <FILE>",
        "/etc/la-gateway/gateway.toml",
    ] {
        assert!(done.out.contains(word), "{word} is missing:\n{}", done.out);
    }
    for command in [&["explain", "--help"][..], &["users", "--help"], &["users", "add", "--help"]] {
        assert_eq!(Folder::new().run(command).code, 0, "{command:?}");
    }
}

#[test]
fn wrong_arguments_are_a_usage_error_that_says_what_is_wrong() {
    let wrong: [(&[&str], &str); 9] = [
        (&["--no-such-option"], "--no-such-option"),
        (&["no-such-command"], "no-such-command"),
        (&["explain"], "HOST"),
        (&["explain", "a.example", "--from", "nowhere"], "nowhere"),
        (&["users"], "add"),
        (&["users", "add", "ann", "--file", "f", "--role", "r"], "--role"),
        (&["hosts", "add"], "HOST"),
        (&["import-oms"], "--allowed-hosts"),
        (&["completions", "tcsh"], "fish"),
    ];
    for (arguments, word) in wrong {
        let done = Folder::new().run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(done.err.contains(word), "{arguments:?}: {}", done.err);
    }
}

#[test]
fn asked_at_the_usual_place_because_none_is_named_it_says_which_file_names_none() {
    let folder = Folder::with("[role.agents]\nanonymous_from = [\"10.20.0.0/16\"]\n");
    if std::path::Path::new("/run/la-gateway/control.sock").exists() {
        return println!("a gateway is at the usual place, so there is nothing to see");
    }
    let done = folder.run(&["--config", "gateway.toml", "reload"]);
    let end = "; gateway.toml names no [control] socket: say where with --socket, or send SIGHUP\n";
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{}", done.err);
    assert!(done.err.contains("no gateway answers on /run/la-gateway/control.sock: "), "{}", done.err);
    assert!(done.err.ends_with(end), "{}", done.err);
}
