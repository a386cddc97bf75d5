//! `deploy/agent-lite/agent-lite.service` is understood by systemd and leaves the agent little room.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const MOST_EXPOSURE: &str = "15";

#[test]
fn systemd_understands_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
}

#[test]
fn the_service_is_hardly_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    analyze(&["security", "--offline=yes", "--threshold", MOST_EXPOSURE], &unit);
}

/// Copies the unit with the program that was built, because systemd asks whether it is there.
fn unit(folder: &Path) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent-lite/agent-lite.service");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains("ExecStart=/usr/local/bin/agent-lite run\n"));
    let copy = folder.join("agent-lite.service");
    fs::write(&copy, text.replace("/usr/local/bin/agent-lite", env!("CARGO_BIN_EXE_agent-lite"))).unwrap();
    copy
}

fn analyze(arguments: &[&str], unit: &Path) {
    let output = match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return println!("skipped: systemd-analyze is not installed");
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    // What it does not know it ignores, and says so.
    let name = unit.file_name().unwrap().to_string_lossy();
    assert!(!said.lines().any(|line| line.contains(&*name)), "{said}");
}
