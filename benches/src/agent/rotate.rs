//! Rotate: multi-line records of a busy log that is renamed, copied and truncated, and compressed under them.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use end_to_end::workspace::Retention;
use end_to_end::workspace::Row;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::json;

use super::rate::stop;
use super::report::Report;
use super::stage::Stage;
use super::stage::Transport;

const SOURCES: &str = r#"
[source.files.logs]
paths = ["{logs}/*.log"]
table = "App_CL"
from = "beginning"
record = "yyyy-MM-ddTHH:mm:ssK"
look = "1s"
"#;
/// Between two rotations.
const BETWEEN: Duration = Duration::from_secs(2);
/// Lines that still go to a file after it was renamed, as from a program that is told of it late.
const LATE: u64 = 25;
/// A record has at most so many lines.
const MOST_LINES: u64 = 5;
const DRAIN: Duration = Duration::from_secs(120);

/// The ways to rotate, in turn.
const WAYS: [Way; 3] = [Way::Rename, Way::CopyTruncate, Way::Compress];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Renamed; the program reopens some lines later.
    Rename,
    /// Copied and truncated; the program holds still between, as what it wrote there would be lost to anybody.
    CopyTruncate,
    /// Renamed, reopened, and compressed at once.
    Compress,
}

pub(crate) async fn run(report: &mut Report, transport: Transport, rate: u64, rotations: usize) {
    let stage = Stage::new(transport, SOURCES).await;
    stage.azure.keep(Retention::Rows);
    let mut agent = stage.start_agent().await;
    let log = Log::open(stage.logs().join("app.log"), rate);
    let began = log.began;
    let writer = thread::spawn(move || log.write(rotations));
    while !writer.is_finished() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let records = writer.join().expect("a writer does not panic").expect("a disk that takes logs");
    stage.drained(&[("file", records)], DRAIN).await;
    stop(&mut agent).await;
    let arrived = stage.arrived("file", records);
    let broken = broken(&stage.azure.rows(stage.id(), "App_CL"), began);
    report.row(
        &format!("{rotations} rotations (rename, copytruncate, gzip) at {rate} lines/s, {}", transport.name()),
        &format!("{} of {records} records lost, {} doubled, {} broken", arrived.lost, arrived.doubled, broken.len()),
        "0 lost, 0 doubled, 0 broken",
        json!({
            "transport": transport.name(), "rate": rate, "rotations": rotations, "records": records,
            "arrived": arrived.json(), "broken": broken.len(), "examples": broken.iter().take(5).collect::<Vec<_>>(),
            "missing": stage.sequence("file").missing(records).iter().take(20).collect::<Vec<_>>(),
        }),
    );
    stage.complain();
}

/// Returns the text of a record, without its last end of line.
fn record(began: Timestamp, number: u64) -> String {
    let time = began + SignedDuration::from_millis(number.cast_signed() * 5);
    let lines = 1 + number % MOST_LINES;
    let mut text =
        format!("{} ERROR orders: batch failed file-seq={number}", time.strftime("%Y-%m-%dT%H:%M:%SZ"));
    for line in 1..lines {
        text.push_str(&format!("\n    at com.example.orders.Batch.step{line}(Batch.java:{})", number % 997));
    }
    text
}

/// Returns the rows that are no record as it was written.
fn broken(rows: &[Row], began: Timestamp) -> Vec<String> {
    let mut expected = HashMap::new();
    let is_whole = |text: &str, expected: &mut HashMap<u64, String>| {
        let number = text.lines().next()?.rsplit_once("file-seq=")?.1.parse().ok()?;
        Some(expected.entry(number).or_insert_with(|| record(began, number)) == text)
    };
    let texts = rows.iter().map(|row| row.message().trim_end().replace("\r\n", "\n"));
    texts.filter(|text| is_whole(text, &mut expected) != Some(true)).collect()
}

/// The program that writes, and the one that rotates, in one thread.
struct Log {
    path: PathBuf,
    file: File,
    rate: u64,
    began: Timestamp,
    start: Instant,
    written: u64,
    record: u64,
    rest: Vec<String>,
}

impl Log {
    fn open(path: PathBuf, rate: u64) -> Self {
        let file = append(&path).expect("a log file");
        let (began, start) = (Timestamp::now(), Instant::now());
        Self { path, file, rate, began, start, written: 0, record: 0, rest: Vec::new() }
    }

    /// Writes and rotates, and returns how many records were written.
    fn write(mut self, rotations: usize) -> io::Result<u64> {
        let lines = self.rate * BETWEEN.as_secs();
        for (number, way) in WAYS.iter().cycle().take(rotations).enumerate() {
            // Not in step with the records: half of them are cut in two.
            self.lines(lines + number as u64 % MOST_LINES)?;
            self.rotate(*way, number)?;
        }
        self.lines(lines)?;
        while !self.rest.is_empty() {
            self.lines(1)?;
        }
        Ok(self.record)
    }

    fn rotate(&mut self, way: Way, number: usize) -> io::Result<()> {
        let old = self.path.with_extension(format!("log.{number}"));
        match way {
            Way::CopyTruncate => {
                fs::copy(&self.path, &old)?;
                self.file.set_len(0)?;
            }
            Way::Rename => {
                fs::rename(&self.path, &old)?;
                self.lines(LATE)?;
                self.file = append(&self.path)?;
            }
            Way::Compress => {
                fs::rename(&self.path, &old)?;
                self.file = append(&self.path)?;
                compress(&old)?;
            }
        }
        Ok(())
    }

    /// Writes lines at the pace.
    fn lines(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            if self.rest.is_empty() {
                self.rest =
                    record(self.began, self.record).lines().rev().map(|line| format!("{line}\n")).collect();
                self.record += 1;
            }
            let line = self.rest.pop().unwrap_or_default();
            self.file.write_all(line.as_bytes())?;
            self.written += 1;
            let due = Duration::from_secs_f64(self.written as f64 / self.rate as f64);
            thread::sleep(due.saturating_sub(self.start.elapsed()));
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn compress(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let mut encoder = GzEncoder::new(File::create(packed)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_written_once_and_whole_whatever_becomes_of_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = Log::open(folder.path().join("app.log"), 100_000);
        let records = log.write(0).expect("a disk");
        let text = fs::read_to_string(folder.path().join("app.log")).expect("a log");
        let expected: Vec<String> =
            (0..records).map(|number| record(Timestamp::UNIX_EPOCH, number)).collect();
        assert_eq!(text.lines().count(), expected.iter().map(|text| text.lines().count()).sum::<usize>());
    }
}
