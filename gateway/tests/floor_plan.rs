//! Imports run down the floor plan only, and policy and parsers do nothing. With the standard library only.
//!
//! Whoever adds a module puts it on a floor below. Whoever needs an import up or sideways moves what both
//! need to a floor below both, or hands it over as an argument.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "floor_plan/can_fail.rs"]
mod can_fail;
#[path = "floor_plan/plan.rs"]
mod plan;
#[path = "floor_plan/source_text.rs"]
mod source_text;

use plan::Plan;
use plan::long_files;

/// The floors from the top down. Modules of one floor do not know each other.
const FLOORS: [&[&str]; 8] = [
    &["cli"],
    &["gateway"],
    &["connection", "admin", "control"],
    &["connect"],
    &["listen", "dial", "tunnel", "answer", "sandbox"],
    &["config", "observe", "stream"],
    &["policy", "parse"],
    &["refusal", "ending", "events", "crypto", "system"],
];

/// The imports within a floor: from, to, and why. Each is of one direction, and needed.
const SIDEWAYS: [(&str, &str, &str); 3] = [
    ("ending", "refusal", "both halves of the operator's table share level and fault"),
    ("ending", "events", "a row names its event"),
    ("refusal", "events", "a row names its event"),
];

/// The modules that decide and do nothing.
const PURE: [&str; 2] = ["policy", "parse"];

/// What stands in no pure module: a runtime, a socket, a file, a clock. `*` ends a beginning of a word.
const IMPURE: [&str; 18] = [
    "async",
    "await",
    "tokio",
    "hyper",
    "hyper_util",
    "socket2",
    "Tcp*",
    "Udp*",
    "Unix*",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "elapsed",
    "SystemTime",
    "governor::clock",
];

/// What may stand there all the same: file, word, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "policy/limits.rs",
    "governor::clock",
    "governor's limiters read their own clock; the times in refusals must come from the same one",
)];

const PLAN: Plan = Plan {
    name: "la_gateway",
    floors: &FLOORS,
    sideways: &SIDEWAYS,
    pure: &PURE,
    impure: &IMPURE,
    exceptions: &EXCEPTIONS,
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
fn every_module_is_on_a_floor_and_every_floor_is_there() {
    let (found, planned) = PLAN.modules();
    assert_eq!(found, planned);
}

#[test]
fn policy_and_parsers_do_nothing() {
    let wrong = PLAN.wrong_words();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_four_hundred_lines() {
    let long = long_files(&["gateway", "common", "tests", "benches"], 50);
    assert!(long.is_empty(), "split {long:#?}");
}
