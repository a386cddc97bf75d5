//! A real writer, real rotation, and a reader that is stopped and dropped in between.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod oddities;
mod stage;
mod w3c;

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use agent_lite::config::settings::RecordStart;
use agent_lite::config::settings::TimeForm;
use agent_lite::counters::Loss;
use tokio_util::sync::CancellationToken;

use self::stage::PATIENCE;
use self::stage::Stage;
use self::stage::append;
use self::stage::runtime;

/// Every line once: what is missing and what is doubled.
fn assert_each_once(texts: &[String], count: usize, what: &str) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        *times.entry(text).or_default() += 1;
    }
    let missing: Vec<_> = (0..count).map(line).filter(|line| !times.contains_key(line.as_str())).collect();
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(missing.is_empty(), "{what}: {} missing: {:?} …", missing.len(), missing.iter().take(5));
    assert!(doubled.is_empty(), "{what}: {} doubled: {:?} …", doubled.len(), doubled.iter().take(5));
    assert_eq!(times.len(), count, "{what}");
}

fn line(number: usize) -> String {
    format!("line {number:07} of a log that is rotated again and again")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scheme {
    Rename,
    RenameAway,
    Copy,
    CopyCompressed,
    RenameCompressed,
}

/// Shifts `app.log.1` and so on, as logrotate does, then rotates `app.log`.
fn rotate(logs: &Path, scheme: Scheme, most: usize) {
    let log = logs.join("app.log");
    let zip = if matches!(scheme, Scheme::CopyCompressed | Scheme::RenameCompressed) { ".gz" } else { "" };
    let name = |number: usize| logs.join(format!("app.log.{number}{zip}"));
    for number in (1..most).rev() {
        let _ = fs::rename(name(number), name(number + 1));
    }
    let first = logs.join("app.log.1");
    match scheme {
        Scheme::Rename => fs::rename(&log, &first).unwrap(),
        Scheme::RenameAway => {
            fs::create_dir_all(logs.join("../old")).unwrap();
            fs::rename(&log, logs.join("../old/app.log.1")).unwrap();
        }
        Scheme::RenameCompressed => {
            fs::rename(&log, &first).unwrap();
            File::create(&log).unwrap();
        }
        Scheme::Copy | Scheme::CopyCompressed => {
            fs::copy(&log, &first).unwrap();
            OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
        }
    }
}

fn compress(logs: &Path) {
    assert!(Command::new("gzip").arg("-f").arg(logs.join("app.log.1")).status().unwrap().success());
}

/// Writes numbered lines and rotates so many times.
///
/// A generation that came and went between two looks would be lost by the rules of the source itself, so the
/// writer rotates when a part of the present one has been read.
fn write_and_rotate(logs: &Path, scheme: Scheme, rotations: usize, lines: usize, read: &dyn Fn() -> u64) {
    let open = || OpenOptions::new().append(true).create(true).open(logs.join("app.log")).unwrap();
    let mut file = open();
    for number in 0..(rotations + 1) * lines {
        if number % lines == 0 && number > 0 {
            let before = number - lines + number / lines - 1;
            let begun = Instant::now();
            while read() <= before as u64 && begun.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(5));
            }
            rotate(logs, scheme, rotations + 1);
            // The writer notices a moment later that its file was renamed.
            writeln!(file, "late {number}").unwrap();
            file = open();
            if matches!(scheme, Scheme::RenameCompressed | Scheme::CopyCompressed) {
                compress(logs);
            }
        }
        writeln!(file, "{}", line(number)).unwrap();
        if number % 20 == 0 {
            thread::sleep(Duration::from_millis(40));
        }
    }
}

fn thirty_rotations(scheme: Scheme, pattern: &str, restarts: bool) {
    let stage = Stage::new(pattern);
    let logs = stage.logs();
    let (rotations, lines) = (30, 200);
    let mut running = stage.start();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = done.clone();
        let collected = stage.counters.source("files.app").collected;
        thread::spawn(move || {
            write_and_rotate(&logs, scheme, rotations, lines, &|| collected.get());
            done.store(true, Ordering::Release);
        })
    };
    while restarts && !done.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(170));
        running.stop();
        running = stage.start();
    }
    writer.join().unwrap();
    let count = (rotations + 1) * lines + rotations;
    stage.wait(count);
    if matches!(scheme, Scheme::RenameCompressed | Scheme::CopyCompressed) {
        stage.until_saved("\"gzip\":true", rotations);
    }
    // A line more makes the reader go over everything that lies there once more.
    append(&stage.log("app.log"), "the end\n");
    stage.until("the end", || stage.texts().iter().any(|text| text == "the end"));
    running.stop();
    let what = format!("{scheme:?} {pattern}");
    let numbered: Vec<_> = stage.texts().into_iter().filter(|text| text.starts_with("line")).collect();
    assert_each_once(&numbered, (rotations + 1) * lines, &what);
    assert_eq!(stage.texts().len(), count + 1, "{what}");
    assert_eq!(stage.lost(Loss::Unread), 0, "{what}");
}

#[test]
fn thirty_renames_lose_and_double_nothing() {
    thirty_rotations(Scheme::Rename, "app.log", false);
}

#[test]
fn thirty_renames_within_the_pattern_lose_and_double_nothing() {
    thirty_rotations(Scheme::Rename, "app.log*", false);
}

#[test]
fn thirty_renames_into_another_folder_lose_and_double_nothing() {
    thirty_rotations(Scheme::RenameAway, "app.log", false);
}

#[test]
fn thirty_truncations_lose_and_double_nothing() {
    thirty_rotations(Scheme::Copy, "app.log", false);
}

#[test]
fn thirty_truncations_within_the_pattern_lose_and_double_nothing() {
    thirty_rotations(Scheme::Copy, "app.log*", false);
}

#[test]
fn thirty_compressed_copies_lose_and_double_nothing() {
    thirty_rotations(Scheme::CopyCompressed, "app.log*", false);
}

#[test]
fn thirty_compressed_renames_lose_and_double_nothing() {
    thirty_rotations(Scheme::RenameCompressed, "app.log*", false);
}

#[test]
fn thirty_renames_with_restarts_in_between_lose_and_double_nothing() {
    thirty_rotations(Scheme::Rename, "app.log", true);
}

#[test]
fn thirty_truncations_with_restarts_in_between_lose_and_double_nothing() {
    thirty_rotations(Scheme::Copy, "app.log*", true);
}

/// Drops the reader at any of its awaits, as a kill would end it, and starts it anew; nothing may be lost, and
/// what comes twice is what one round had delivered.
#[test]
fn a_reader_that_dies_anywhere_loses_nothing_and_doubles_at_most_a_round() {
    let stage = Stage::new("app.log*");
    let logs = stage.logs();
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = done.clone();
        let collected = stage.counters.source("files.app").collected;
        thread::spawn(move || {
            write_and_rotate(&logs, Scheme::Rename, 10, 300, &|| collected.get());
            done.store(true, Ordering::Release);
        })
    };
    let (mut deaths, mut random) = (0_usize, 88172645463325252_u64);
    while !done.load(Ordering::Acquire) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let polls = random % 12;
        let task = stage.task(&CancellationToken::new());
        runtime().block_on(async {
            let mut task = Box::pin(task);
            let mut left = polls;
            let dies =
                std::future::poll_fn(|context| match (left.checked_sub(1), task.as_mut().poll(context)) {
                    (Some(fewer), Poll::Pending) => {
                        left = fewer;
                        Poll::Pending
                    }
                    _ => Poll::Ready(()),
                });
            let _ = tokio::time::timeout(Duration::from_millis(300), dies).await;
        });
        deaths += 1;
    }
    writer.join().unwrap();
    append(&stage.log("app.log"), "the end\n");
    let running = stage.start();
    stage.until("the end", || stage.texts().iter().any(|text| text == "the end"));
    stage.until("every line", || (0..11 * 300).map(line).all(|line| stage.texts().contains(&line)));
    running.stop();
    let texts = stage.texts();
    let doubled = texts.len() - (11 * 300 + 10 + 1);
    eprintln!("DOUBLED {doubled} by {deaths}");
    assert!(deaths > 5, "{deaths}");
    // A round has at most what was written in 300 ms.
    assert!(doubled <= deaths * 300, "{doubled} doubled by {deaths} deaths");
}

#[test]
fn records_of_several_lines_are_joined_across_rotations() {
    for scheme in [Scheme::Rename, Scheme::RenameAway, Scheme::Copy] {
        for pattern in ["app.log", "app.log*"] {
            let mut stage = Stage::new(pattern);
            stage.settings.record = RecordStart::Time(TimeForm::YearFirst);
            stage.settings.flush_after = Duration::from_secs(4);
            let log = stage.log("app.log");
            let running = stage.start();
            append(&log, "2026-01-01 00:00:00 first\n\tat one\n");
            for number in 1..6 {
                append(&log, format!("2026-01-01 00:00:0{number} record\n\tat one\n"));
                stage.wait(number);
                rotate(&stage.logs(), scheme, 9);
                append(&log, format!("\tat two {number}\n\tat three\n"));
                thread::sleep(Duration::from_millis(300));
            }
            append(&log, "2026-01-01 00:00:06 last\n");
            let texts = stage.wait(7);
            running.stop();
            let mut wanted = vec!["2026-01-01 00:00:00 first\n\tat one".to_owned()];
            wanted.extend((1..6).map(|number| {
                format!("2026-01-01 00:00:0{number} record\n\tat one\n\tat two {number}\n\tat three")
            }));
            wanted.push("2026-01-01 00:00:06 last".to_owned());
            assert_eq!(texts, wanted, "{scheme:?} {pattern}");
        }
    }
}
