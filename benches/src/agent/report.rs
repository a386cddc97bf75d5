//! What was measured: a row of a Markdown table for people, a line of JSON with the raw numbers for later.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde_json::Value;
use serde_json::json;

use super::machine;

/// Where figures go.
pub(crate) struct Report {
    file: File,
    machine: String,
}

impl Report {
    /// Appends to this file.
    pub(crate) fn to(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self { file: file.expect("a file for the raw numbers"), machine: machine::describe() }
    }

    /// Prints what comes before the rows.
    pub(crate) fn begin(&self) {
        println!("Measured on {}; load {} before.\n", self.machine, machine::load());
        println!("| scenario | measured | goal |\n|---|---|---|");
    }

    /// Prints a row, and writes its raw numbers.
    pub(crate) fn row(&mut self, scenario: &str, measured: &str, goal: &str, raw: Value) {
        println!("| {scenario} | {measured} | {goal} |");
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let line = json!({ "scenario": scenario, "time": time, "machine": self.machine, "load": machine::load(), "raw": raw });
        writeln!(self.file, "{line}").expect("a disk with room for a line");
    }
}
