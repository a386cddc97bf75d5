//! `deploy/systemd` is understood by systemd and leaves the gateway little room.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use la_gateway::config;
use la_gateway::system;

/// The highest exposure that `systemd-analyze security` may find, in tenths.
const MOST_EXPOSURE: &str = "15";
const SERVICE: &str = "la-gateway.service";
const SOCKET: &str = "la-gateway.socket";

#[test]
fn systemd_understands_every_line_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let (service, socket) = units(folder.path());
    for unit in [service, socket] {
        analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit);
    }
}

#[test]
fn the_service_is_hardly_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _) = units(folder.path());
    analyze(&["security", "--offline=yes", "--threshold", MOST_EXPOSURE], &service);
}

#[test]
fn the_sockets_are_those_of_the_default_configuration() {
    let text = read(SOCKET);
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/gateway.toml");
    let config = config::load(Some(&reference)).unwrap();
    let listens: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let configured: Vec<String> =
        config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(listens, configured);
}

#[test]
fn the_service_outlives_the_default_drain_and_has_the_control_sockets_folder() {
    let text = read(SERVICE);
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/gateway.toml");
    let tunnel = config::load(Some(&reference)).unwrap().tunnel;
    let minutes =
        text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix("min")).unwrap();
    assert!(minutes.parse::<u64>().unwrap() * 60 > (tunnel.drain + tunnel.lame_duck).as_secs());
    let folder = text.lines().find_map(|line| line.strip_prefix("RuntimeDirectory=")).unwrap();
    assert!(system::usual_control_socket().starts_with(format!("/run/{folder}")));
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(name)).unwrap()
}

/// Copies the units with the program that was built, because systemd asks whether it is there.
fn units(folder: &Path) -> (PathBuf, PathBuf) {
    let text = read(SERVICE);
    assert!(text.contains("ExecStart=/usr/local/bin/la-gateway run\n"));
    let (service, socket) = (folder.join(SERVICE), folder.join(SOCKET));
    fs::write(
        &service,
        text.replace("/usr/local/bin/la-gateway run", concat!(env!("CARGO_BIN_EXE_la-gateway"), " run")),
    )
    .unwrap();
    fs::write(&socket, read(SOCKET)).unwrap();
    (service, socket)
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
