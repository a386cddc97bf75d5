//! `load growth`: what the gateway costs among more tunnels, users and rules; a page of tables with a drawing (SVG) beside each.

mod chart;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::machine;
use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;

use self::chart::Chart;
use super::measure::measure;
use super::network;
use super::network::Shape;
use super::programs::Program;
use super::report::Line;
use super::report::median;
use super::scenarios::Scenario;
use super::scenarios::Size;
use super::stage::Stage;

const TUNNELS: [usize; 10] = [1, 10, 100, 1000, 2500, 5000, 7500, 9500, 20_000, 40_000];
const USERS: [usize; 4] = [10, 100, 1000, 10_000];
const RULES: [usize; 4] = [1, 50, 500, 5000];
/// Files that a gateway has open beside two a tunnel, and that it keeps free.
const OTHER_FILES: u64 = 768;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Seconds of each measurement of set-ups
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// File to which the figures are appended, as lines of JSON
    #[arg(long, default_value = "growth-figures.jsonl")]
    output: PathBuf,
    /// File for the charts
    #[arg(long, default_value = "benches/growth.md")]
    charts: PathBuf,
    #[command(flatten)]
    network: Shape,
}

/// One chart.
struct Series {
    title: &'static str,
    what: &'static str,
    unit: &'static str,
    points: Vec<(usize, Vec<f64>)>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(code) = network::enter(&options.network)? {
        return Ok(code);
    }
    let program = Program::find("gateway", "/".as_ref())?;
    let mut stage = Stage::new(&options.network, 100, 20)?;
    let mut all = vec![options.memory(&stage, &program)?];
    let users = |stage: &mut Stage, users| stage.users = users;
    all.push(options.set_ups(&mut stage, &program, "Users in the file", "users", &USERS, users)?);
    stage.users = 100;
    let rules = |stage: &mut Stage, rules| stage.rules = rules;
    all.push(options.set_ups(
        &mut stage,
        &program,
        "Host rules beside the bundle",
        "rules",
        &RULES,
        rules,
    )?);
    let text = page(&all);
    fs::write(&options.charts, &text)?;
    for series in &all {
        fs::write(options.charts.with_file_name(series.drawing()), series.chart().svg())?;
    }
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// Takes the memory of so many idle tunnels, as far as descriptors reach.
    fn memory(&self, stage: &Stage, program: &Program) -> anyhow::Result<Series> {
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let most = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
        let mut points: Vec<(usize, Vec<f64>)> =
            TUNNELS.into_iter().filter(|tunnels| *tunnels <= most).map(|at| (at, Vec::new())).collect();
        for _ in 0..self.repetitions {
            for (tunnels, figures) in &mut points {
                let size = Size { seconds: 0.0, tunnels: *tunnels, uploads: 0.0 };
                let measured = measure(stage, program, Scenario::Memory, size)?;
                let figure = measured.figure * *tunnels as f64 / 1024.0;
                Line::new("memory of idle tunnels", "MiB", &tunnels.to_string(), Some(figure), measured.raw)
                    .append(&self.output)?;
                figures.push(figure);
            }
        }
        Ok(Series {
            title: "Memory of idle tunnels (PSS beyond a gateway's without)",
            what: "tunnels",
            unit: "MiB",
            points,
        })
    }

    fn set_ups(
        &self,
        stage: &mut Stage,
        program: &Program,
        title: &'static str,
        what: &'static str,
        sizes: &[usize],
        grow: impl Fn(&mut Stage, usize),
    ) -> anyhow::Result<Series> {
        let mut points: Vec<(usize, Vec<f64>)> = sizes.iter().map(|at| (*at, Vec::new())).collect();
        for _ in 0..self.repetitions {
            for (at, figures) in &mut points {
                grow(stage, *at);
                let size = Size { seconds: self.seconds, tunnels: 0, uploads: 0.0 };
                let measured = measure(stage, program, Scenario::SetUp, size)?;
                let scenario = format!("CPU per tunnel among {what}");
                Line::new(&scenario, "µs", &at.to_string(), Some(measured.figure), measured.raw)
                    .append(&self.output)?;
                figures.push(measured.figure);
            }
        }
        Ok(Series { title, what, unit: "µs of CPU per tunnel set up", points })
    }
}

impl Series {
    /// Returns the name of the file with the drawing.
    fn drawing(&self) -> String {
        format!("growth-{}.svg", self.what)
    }

    fn chart(&self) -> Chart {
        let points = self.points.iter().filter(|(_, figures)| !figures.is_empty());
        Chart {
            title: format!("{}: {}", self.title, self.unit),
            across: self.what,
            points: points.map(|(at, figures)| (*at, middle(figures))).collect(),
        }
    }
}

fn page(all: &[Series]) -> String {
    let mut text = String::from(
        "# How cost grows\n\n`load growth` writes this page; medians, with the range in parentheses.\n\n",
    );
    // A string takes all text.
    let _ = writeln!(text, "Measured on {}; load {}.", machine::describe(), machine::load());
    for series in all {
        let Series { title, what, unit, points } = series;
        let medians: Vec<f64> = points.iter().map(|(_, figures)| middle(figures)).collect();
        let _ = write!(text, "\n## {title}\n\n| {what} | {unit} |\n|---|---|\n");
        for ((at, figures), median) in points.iter().zip(&medians) {
            let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
            let most = figures.iter().copied().fold(0.0, f64::max);
            let _ = writeln!(text, "| {at} | {median:.2} ({least:.2}–{most:.2}) |");
        }
        let _ = write!(text, "\n![{title}]({})\n", series.drawing());
    }
    text
}

fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_table_of_medians_and_names_its_drawing() {
        let points = vec![(10, vec![3.0, 1.0, 2.0]), (100, vec![4.0])];
        let text = page(&[Series { title: "Users", what: "users", unit: "µs", points }]);
        assert!(text.contains("| 10 | 2.00 (1.00–3.00) |\n| 100 | 4.00 (4.00–4.00) |"), "{text}");
        assert!(text.contains("\n![Users](growth-users.svg)\n"), "{text}");
    }
}
