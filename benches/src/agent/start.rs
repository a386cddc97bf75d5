//! Start: the program's size, and how soon after its start it takes a record.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use end_to_end::agent::program;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use super::rate::SOURCES;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;

/// How often a port is tried.
const LOOK: Duration = Duration::from_micros(100);
/// A program that takes nothing for so long does not start.
const LIMIT: Duration = Duration::from_secs(20);
const COLLECTED: &str = "agent_lite_collected_records_total{source=\"syslog.local\"} ";

pub(crate) async fn run(report: &mut Report, transport: Transport, times: usize) {
    let stage = Stage::new(transport, SOURCES).await;
    let (mut listens, mut takes) = (Vec::new(), Vec::new());
    for number in 0..times {
        let began = Instant::now();
        let mut child = spawn(&stage);
        listens.push(send(stage.tcp, number, began));
        takes.push(taken(stage.metrics, began));
        end(&mut child);
    }
    let (size, stripped) = (std::fs::metadata(program()).map_or(0, |file| file.len()), stripped());
    let (listening, taking) = (median(&mut listens), median(&mut takes));
    report.row(
        &format!("start, median of {times}"),
        &format!(
            "{:.1} MB ({:.1} without symbols); listens after {listening:.1} ms, first record taken after {taking:.1} ms",
            size as f64 / 1e6,
            stripped as f64 / 1e6,
        ),
        "≤ 8 MB, ≤ 20 ms",
        json!({ "bytes": size, "stripped_bytes": stripped, "listens_ms": listens, "takes_ms": takes }),
    );
}

fn spawn(stage: &Stage) -> Child {
    let mut command = Command::new(program());
    command.arg("--config").arg(stage.home.config()).arg("run").current_dir(stage.home.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent starts")
}

fn end(child: &mut Child) {
    let pid = Pid::from_raw(child.id().cast_signed());
    let _ = kill(pid, Signal::SIGTERM);
    let _ = child.wait();
}

/// Connects as soon as it listens and sends one record; returns milliseconds.
fn send(address: SocketAddr, number: usize, began: Instant) -> f64 {
    while began.elapsed() < LIMIT {
        if let Ok(mut stream) = TcpStream::connect(address) {
            let listens = began.elapsed();
            let _ = writeln!(stream, "<13>Jan  1 00:00:00 edge7 start: start-seq={number}");
            return listens.as_secs_f64() * 1e3;
        }
        thread::sleep(LOOK);
    }
    panic!("the agent does not listen at {address}");
}

/// Waits until the agent has counted the record; returns milliseconds.
fn taken(metrics: SocketAddr, began: Instant) -> f64 {
    while began.elapsed() < LIMIT {
        if collected(metrics).is_some_and(|count| count > 0) {
            return began.elapsed().as_secs_f64() * 1e3;
        }
        thread::sleep(LOOK);
    }
    panic!("the agent takes no record");
}

fn collected(metrics: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect(metrics).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix(COLLECTED)?.trim().parse().ok())
}

/// Returns the bytes of the program without its symbols; none where there is no `strip`.
fn stripped() -> u64 {
    let Ok(folder) = tempfile::tempdir() else { return 0 };
    let copy = folder.path().join("stripped");
    let done = Command::new("strip").arg("-o").arg(&copy).arg(program()).status();
    match done {
        Ok(status) if status.success() => std::fs::metadata(copy).map_or(0, |file| file.len()),
        _ => 0,
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
