//! The load program runs to its end, and says what it measured.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_quick_run_measures_the_gateway_beside_the_floor() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("figures.jsonl");
    let mut load = Command::new(env!("CARGO_BIN_EXE_load"));
    load.args([
        "run",
        "--quick",
        "--host-network",
        "--scenarios",
        "set-up,message",
        "--programs",
        "floor,gateway",
    ]);
    load.arg("--output").arg(&output).env("LA_GATEWAY_PROGRAM", end_to_end::gateway::program());
    let mut load = load.stdout(Stdio::piped()).spawn().expect("the load starts");
    let deadline = Instant::now() + PATIENCE;
    while load.try_wait().expect("our own child").is_none() {
        if Instant::now() > deadline {
            load.kill().expect("our own child");
            panic!("the load does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = load.wait_with_output().expect("our own child");
    assert!(said.status.success(), "{said:?}");
    let table = String::from_utf8(said.stdout).expect("a table");
    assert!(table.contains("| figure | floor | gateway | to the floor | to the best peer |"), "{table}");
    assert_eq!(
        measured(&output),
        [("floor", true), ("gateway", true), ("floor", true), ("gateway", true)].map(owned)
    );
}

fn owned((program, positive): (&str, bool)) -> (String, bool) {
    (program.to_owned(), positive)
}

/// Returns each line's program, and whether it has a figure and tunnels that were counted on both ends.
fn measured(output: &Path) -> Vec<(String, bool)> {
    let text = std::fs::read_to_string(output).expect("figures");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let program = |line: &Value| line.get("program").and_then(Value::as_str).map(str::to_owned);
    let figure = |line: &Value| line.get("figure").and_then(Value::as_f64);
    let count = |line: &Value| line.pointer("/raw/done/count").and_then(Value::as_u64);
    let positive = |line: &Value| figure(line) > Some(0.0) && count(line) > Some(0);
    lines.map(|line| (program(&line).expect("a program"), positive(&line))).collect()
}
