//! Imports run down the floor plan only; parsers and transports do nothing. The checker is the gateway's.
//!
//! Whoever adds a module puts it on a floor below. Whoever needs an import up or sideways moves what both
//! need to a floor below both, or hands it over as an argument.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../../gateway/tests/floor_plan/plan.rs"]
mod plan;
#[path = "../../gateway/tests/floor_plan/source_text.rs"]
mod source_text;

use plan::Import;
use plan::Plan;
use plan::is_long;
use plan::long_files;

const PLAN: Plan = Plan {
    name: "agent_lite",
    floors: &[
        &["cli"],
        &["agent"],
        &["collect", "upload"],
        &["config"],
        &["spool"],
        &["parse"],
        &["transport"],
        &["durable"],
        &["record", "counters", "events", "system"],
    ],
    sideways: &[],
    pure: &["parse", "transport"],
    impure: &[
        "async",
        "await",
        "tokio",
        "hyper",
        "hyper_util",
        "socket2",
        "rustix",
        "nix",
        "inotify",
        "Tcp*",
        "Udp*",
        "Unix*",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "Instant::now",
        "elapsed",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "TimeZone::system",
        "getrandom",
        "SystemRandom",
        "OsRng",
        "Uuid::new_v4",
        // What is lost or to be said travels as a value; whoever acts counts and says it.
        "crate::counters",
        "crate::events",
        "tracing",
    ],
    exceptions: &[
        (
            "transport/verdict.rs",
            "SystemTime",
            "the time is an argument; `Retry-After` may be a date, and httpdate speaks in it",
        ),
        (
            "transport/logs_ingestion/assertion.rs",
            "SystemRandom",
            "ring blinds RSA with it; the signature is the same each time",
        ),
        (
            "transport/certificate.rs",
            "SystemRandom",
            "ring blinds RSA with it; the signature is the same each time",
        ),
        ("transport/certificate/tests.rs", "OsRng", "the tests' own randomness"),
        ("transport/certificate/tests.rs", "std::process", "openssl reads the certificate, too"),
    ],
};

#[test]
fn imports_run_down_only() {
    let wrong = PLAN.wrong_imports();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_sideways_import_that_is_let_pass_is_there_and_has_no_way_back() {
    assert_eq!(PLAN.wrong_permissions(), [""; 0]);
}

#[test]
fn every_module_is_on_a_floor() {
    let (found, planned) = PLAN.modules();
    assert_eq!(found, planned);
}

#[test]
fn parsers_and_transports_do_nothing() {
    let wrong = PLAN.wrong_words();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_four_hundred_lines() {
    let long = long_files(&["agent-lite"], 20);
    assert!(long.is_empty(), "split {long:#?}");
}

/// The checker itself is tried in the gateway's tests; here, that this plan can fail.
#[test]
fn this_plan_refuses_what_it_must() {
    let cases = [
        ("cli", "events", true),
        ("upload", "spool", true),
        ("collect", "parse", true),
        ("parse", "transport", true),
        ("upload", "collect", false),
        ("collect", "upload", false),
        ("spool", "config", false),
        ("transport", "parse", false),
        ("record", "events", false),
        ("collect", "nowhere", false),
    ];
    for (from, to, right) in cases {
        let text = format!("fn f() {{ agent_lite::{to}::g() }}");
        let imports = PLAN.imports_of(from, &[from.to_owned()], &text);
        assert_eq!(
            imports,
            [Import { from: from.to_owned(), to: to.to_owned(), place: format!("{from}:1") }]
        );
        assert_eq!(PLAN.judge(&imports[0]).is_ok(), right, "{from} -> {to}");
    }
    for impure in [
        "use crate::counters::Loss;",
        "use crate::events;",
        "let now = jiff::Timestamp::now();",
        "getrandom::fill(&mut bytes);",
        "let id = Uuid::new_v4();",
        "std::fs::read(path)",
    ] {
        assert_eq!(PLAN.impurities(impure).len(), 1, "{impure}");
    }
    assert_eq!(PLAN.impurities("use crate::record::Timestamp; use std::io::Write; use uuid::Uuid;"), []);
    assert!(is_long(&"x\n".repeat(401)) && !is_long(&"x\n".repeat(400)));
}
