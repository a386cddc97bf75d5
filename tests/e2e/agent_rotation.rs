//! Files that are rotated under load, in the middle of records of several lines, and half of it without a gateway.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use end_to_end::patience::patiently;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::agent_load::append;
use crate::agent_load::text;
use crate::agent_trial::By;
use crate::agent_trial::QUICK;
use crate::agent_trial::Trial;

const ROTATIONS: u64 = 10;
/// No multiple of a record's lines: rotations come between records and within them.
const LINES_BETWEEN: u64 = 301;
const LINES: u64 = 3;
/// 500 lines a second.
const TOGETHER: u64 = 5;
const TICK: Duration = Duration::from_millis(10);
/// Lines that a writer still writes into a file that was renamed already.
const LATE: u64 = 7;
const STYLES: [Style; 3] = [Style::Rename, Style::CopyTruncate, Style::Gzip];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Rename,
    CopyTruncate,
    Gzip,
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::CopyTruncate => "copy",
            Self::Gzip => "gzip",
        }
    }
}

fn line(series: &str, record: u64, line: u64) -> String {
    match line {
        0 => format!("2026-01-01 00:00:00 {}", text(series, record, 80)),
        line => format!("  line {line} of record {record} of {series}"),
    }
}

fn record(series: &str, number: u64) -> String {
    (0..LINES).map(|at| line(series, number, at)).collect::<Vec<_>>().join("\n")
}

/// Writes and rotates one file.
struct Writer {
    style: Style,
    path: PathBuf,
    file: File,
    /// Lines so far.
    lines: Arc<AtomicU64>,
}

impl Writer {
    fn new(folder: &Path, style: Style, lines: Arc<AtomicU64>) -> Self {
        let path = folder.join(format!("{}.log", style.name()));
        let file = open(&path);
        Self { style, path, file, lines }
    }

    fn rotated(&self, number: u64) -> PathBuf {
        let end = if self.style == Style::Gzip { ".gz" } else { "" };
        PathBuf::from(format!("{}.{number}{end}", self.path.display()))
    }

    fn write(&mut self, lines: u64) {
        for _ in 0..lines {
            let at = self.lines.fetch_add(1, Ordering::AcqRel);
            let text = format!("{}\n", line(self.style.name(), at / LINES, at % LINES));
            self.file.write_all(text.as_bytes()).expect("a disk with room");
        }
    }

    /// Writes all records, at 500 lines a second, and rotates on the way; returns how many records there are.
    async fn run(mut self) -> u64 {
        let mut ticks = tokio::time::interval(TICK);
        for rotation in 0..ROTATIONS {
            let until = (rotation + 1) * LINES_BETWEEN;
            while self.lines.load(Ordering::Acquire) < until {
                ticks.tick().await;
                self.write(TOGETHER.min(until - self.lines.load(Ordering::Acquire)));
            }
            self.rotate(rotation).await;
        }
        let lines = self.lines.load(Ordering::Acquire);
        self.write(lines.next_multiple_of(LINES) - lines + 10 * LINES);
        self.lines.load(Ordering::Acquire) / LINES
    }

    async fn rotate(&mut self, before: u64) {
        for number in (1..=before).rev() {
            std::fs::rename(self.rotated(number), self.rotated(number + 1)).expect("an older file");
        }
        let first = self.rotated(1);
        match self.style {
            Style::Rename => {
                std::fs::rename(&self.path, first).expect("our own file");
                self.write(LATE);
                self.file = open(&self.path);
            }
            Style::CopyTruncate => {
                // Nothing is written in between: what is, is lost by this scheme itself.
                std::fs::copy(&self.path, first).expect("our own file");
                self.file.set_len(0).expect("our own file");
            }
            Style::Gzip => {
                let plain = self.path.with_extension("log.1");
                std::fs::rename(&self.path, &plain).expect("our own file");
                self.file = open(&self.path);
                let compressing = tokio::task::spawn_blocking(move || {
                    let mut gzip = GzEncoder::new(File::create(&first)?, Compression::fast());
                    gzip.write_all(&std::fs::read(&plain)?)?;
                    gzip.finish()?;
                    std::fs::remove_file(plain)
                });
                compressing.await.expect("a task that ends").expect("a disk with room");
            }
        }
    }
}

fn open(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a file of our own")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_rotations_under_load_lose_and_double_nothing_and_tear_no_record_of_several_lines() {
    let mut trial = Trial::new(1).await;
    let source = "[source.files.app]\npaths = [\"{logs}/*.log*\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nflush_after = \"2s\"\n\
        from = \"beginning\"\nrecord = \"YYYY-MM-DD HH:MM:SS\"\n";
    trial.configure(&[(By::Token, "")], &format!("{QUICK}{source}"));
    let mut agent = trial.start().await;
    let lines = Arc::new(AtomicU64::new(0));
    let folder = trial.home.path().join("logs");
    let writers = STYLES.map(|style| {
        let lines = if style == Style::Rename { Arc::clone(&lines) } else { Arc::default() };
        tokio::spawn(Writer::new(&folder, style, lines).run())
    });
    let all = ROTATIONS * LINES_BETWEEN;
    until(&lines, all / 4).await;
    trial.kill_gateway();
    until(&lines, all * 3 / 4).await;
    trial.start_gateway().await;
    let mut written = Vec::new();
    for writer in writers {
        written.push(patiently("all is written", writer).await.expect("a writer that does not panic"));
    }
    for (style, records) in STYLES.into_iter().zip(&written) {
        trial.wait_for_series(0, "App_CL", style.name(), *records).await;
    }
    // After a restart every file is looked at anew, the compressed ones too, before the last record is over.
    trial.drain().await;
    agent.terminate().await;
    agent.exit_status().await;
    let _agent = trial.start().await;
    for (style, records) in STYLES.into_iter().zip(&written) {
        let last = format!("{}\n", record(style.name(), *records));
        append(&trial.log(&format!("{}.log", style.name())), last.as_bytes());
    }
    for (style, records) in STYLES.into_iter().zip(&written) {
        trial.wait_for_series(0, "App_CL", style.name(), records + 1).await;
        trial.assert_once(0, "App_CL", style.name(), records + 1);
    }
    for row in trial.fake.rows(trial.id(0), "App_CL") {
        let text = row.text("RawData");
        let (series, rest) = text[20..].split_once("-seq=").unwrap_or_else(|| panic!("torn: {text:?}"));
        assert_eq!(text, record(series, rest[..8].parse().expect("a number")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_a_rename_cuts_is_joined_although_the_file_was_truncated_before() {
    let trial = Trial::new(1).await;
    let source = "[source.files.app]\npaths = [\"{logs}/app.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nflush_after = \"30s\"\n\
        from = \"beginning\"\nrecord = \"YYYY-MM-DD HH:MM:SS\"\n";
    trial.configure(&[(By::Token, "")], &format!("{QUICK}{source}"));
    let _agent = trial.start().await;
    let (path, old) = (trial.log("app.log"), trial.log("app.old"));
    let lines = |from: u64, until: u64| -> String {
        (from..until).map(|at| format!("{}\n", line("app", at / LINES, at % LINES))).collect()
    };
    // Record 1 is cut by the truncation, record 3 by the renaming; a record is known by the beginning of the next.
    append(&path, lines(0, 4).as_bytes());
    trial.wait_for_series(0, "App_CL", "app", 1).await;
    std::fs::copy(&path, trial.log("app.log.1")).expect("our own file");
    File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("our own file");
    append(&path, lines(4, 10).as_bytes());
    trial.wait_for_series(0, "App_CL", "app", 3).await;
    std::fs::rename(&path, &old).expect("our own file");
    append(&path, lines(10, 16).as_bytes());
    std::fs::remove_file(old).expect("our own file");
    trial.wait_for_series(0, "App_CL", "app", 5).await;
    trial.assert_once(0, "App_CL", "app", 5);
    for row in trial.fake.rows(trial.id(0), "App_CL") {
        let text = row.text("RawData");
        let number = text.split_once("-seq=").and_then(|(_, rest)| rest.get(..8)?.parse().ok());
        assert_eq!(Some(text), number.map(|number| record("app", number)).as_deref(), "whole");
    }
}

async fn until(lines: &AtomicU64, count: u64) {
    patiently("lines are written", async {
        while lines.load(Ordering::Acquire) < count {
            tokio::time::sleep(TICK).await;
        }
    })
    .await;
}
