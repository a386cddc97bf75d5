//! What was measured: a line of JSON for each figure, and one table of medians with their ranges.

use std::collections::BTreeMap;
use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use benches::machine;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub scenario: String,
    pub unit: String,
    pub program: String,
    /// None where it could not be measured; `raw` says why.
    pub figure: Option<f64>,
    pub machine: String,
    pub load: String,
    pub time: u64,
    pub raw: Value,
}

impl Line {
    pub(crate) fn new(scenario: &str, unit: &str, program: &str, figure: Option<f64>, raw: Value) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let [scenario, unit, program] = [scenario, unit, program].map(str::to_owned);
        Self {
            scenario,
            unit,
            program,
            figure,
            machine: machine::describe(),
            load: machine::load(),
            time,
            raw,
        }
    }

    pub(crate) fn append(&self, file: &Path) -> anyhow::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        Ok(writeln!(file, "{}", serde_json::to_string(self)?)?)
    }
}

/// Reads the lines of some files.
pub(crate) fn read(files: &[impl AsRef<Path>]) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| file.as_ref().display().to_string())?;
        for line in text.lines() {
            lines.push(serde_json::from_str(line)?);
        }
    }
    Ok(lines)
}

/// Returns the table: a row for each scenario, a column for each program, in the order they were met. Ratios are of
/// the medians: the gateway's to the best floor's and to the best peer's.
pub(crate) fn table(lines: &[Line]) -> String {
    let programs = in_order(lines.iter().map(|line| line.program.as_str()));
    let scenarios = in_order(lines.iter().map(|line| line.scenario.as_str()));
    let mut text = format!("| figure | {} | to the floor | to the best peer |\n", programs.join(" | "));
    text.push_str(&"|---".repeat(programs.len() + 3));
    text.push_str("|\n");
    for scenario in scenarios {
        let of_scenario: Vec<&Line> = lines.iter().filter(|line| line.scenario == scenario).collect();
        let unit = of_scenario.first().map_or("", |line| line.unit.as_str());
        let mut medians = BTreeMap::new();
        let mut cells = vec![format!("{scenario}, {unit}")];
        for program in &programs {
            let figures: Vec<&Line> =
                of_scenario.iter().copied().filter(|line| line.program == *program).collect();
            let (median, cell) = cell(&figures);
            medians.extend(median.map(|median| (*program, median)));
            cells.push(cell);
        }
        cells.extend(ratios(&medians));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

fn cell(lines: &[&Line]) -> (Option<f64>, String) {
    let mut figures: Vec<f64> = lines.iter().filter_map(|line| line.figure).collect();
    figures.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (figures.first(), figures.last()) else {
        return (None, if lines.is_empty() { "" } else { "failed" }.to_owned());
    };
    let middle = median(&figures);
    let failed = lines.len() - figures.len();
    let note = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    let range =
        if figures.len() > 1 { format!(" ({}–{}{note})", short(*least), short(*most)) } else { note };
    (Some(middle), format!("{}{range}", short(middle)))
}

/// Returns the middle of sorted figures.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    let at = |at: usize| sorted.get(at).copied().unwrap_or_default();
    (at(low) + at(high)) / 2.0
}

/// Three figures are more than is known.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn ratios(medians: &BTreeMap<&str, f64>) -> [String; 2] {
    let Some(gateway) = medians.get("gateway") else { return [String::new(), String::new()] };
    let best = |floor: bool| {
        let others = medians.iter().filter(|(name, _)| **name != "gateway");
        let these = others.filter(|(name, _)| name.starts_with("floor") == floor).map(|(_, value)| *value);
        these.min_by(f64::total_cmp)
    };
    [true, false].map(|floor| best(floor).map_or(String::new(), |best| format!("{:.2}", gateway / best)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_ranges_and_ratios() {
        let line = |program: &str, figure| Line::new("memory", "KiB", program, figure, Value::Null);
        let mut lines: Vec<Line> = [3.0, 1.0, 2.0].map(|figure| line("floor", Some(figure))).to_vec();
        lines.extend([4.0, 4.0].map(|figure| line("gateway", Some(figure))));
        lines.extend([line("peer", Some(8.0)), line("other", None)]);
        assert_eq!(
            table(&lines),
            "| figure | floor | gateway | peer | other | to the floor | to the best peer |\n\
             |---|---|---|---|---|---|---|\n\
             | memory, KiB | 2.00 (1.00–3.00) | 4.00 (4.00–4.00) | 8.00 | failed | 2.00 | 0.50 |\n"
        );
    }
}
