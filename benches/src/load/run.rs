//! `load run`: every figure of every program, one after the other and several times, so that what else the machine
//! does falls on all alike.

use std::path::PathBuf;
use std::process::ExitCode;

use benches::machine;
use serde_json::json;

use super::measure::measure;
use super::network;
use super::network::Shape;
use super::programs::Program;
use super::report;
use super::report::Line;
use super::scenarios::Group;
use super::scenarios::Scenario;
use super::scenarios::Size;
use super::stage::Stage;

/// Hosts with rules beside the bundle's.
const RULES: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure [default: everything]
    #[arg(long, value_enum, value_delimiter = ',')]
    scenarios: Vec<Group>,
    /// Programs, in turn; `NAME=FILE` is another build of the gateway
    #[arg(long, value_delimiter = ',', default_value = "floor,floor-1m,gateway")]
    programs: Vec<String>,
    /// How often
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Idle tunnels whose memory is taken
    #[arg(long, default_value_t = 4000)]
    tunnels: usize,
    /// Users in the file
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// Once, half a second each and 500 tunnels: to see that it works
    #[arg(long)]
    quick: bool,
    /// File to which the figures are appended, as lines of JSON
    #[arg(long, default_value = "load-figures.jsonl")]
    output: PathBuf,
    #[command(flatten)]
    network: Shape,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(code) = network::enter(&options.network)? {
        return Ok(code);
    }
    let programs = options.programs.iter().map(|name| Program::find(name)).collect::<Result<Vec<_>, _>>()?;
    let stage = Stage::new(&options.network, options.users, RULES)?;
    let mut lines = Vec::new();
    for scenario in options.all() {
        for _ in 0..if options.quick { 1 } else { options.repetitions } {
            for program in &programs {
                let line = options.line(&stage, program, scenario);
                line.append(&options.output)?;
                lines.push(line);
            }
        }
    }
    println!("Measured on {}; load {}.\n", machine::describe(), machine::load());
    print!("{}", report::table(&lines));
    let failed = lines.iter().any(|line| line.figure.is_none());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Options {
    fn all(&self) -> Vec<Scenario> {
        use clap::ValueEnum;
        let groups = if self.scenarios.is_empty() { Group::value_variants() } else { &self.scenarios };
        groups.iter().flat_map(|group| group.scenarios()).collect()
    }

    fn size(&self) -> Size {
        if self.quick {
            return Size { seconds: 0.5, tunnels: self.tunnels.min(500) };
        }
        Size { seconds: self.seconds, tunnels: self.tunnels }
    }

    fn line(&self, stage: &Stage, program: &Program, scenario: Scenario) -> Line {
        let (name, unit) = (scenario.name(), scenario.unit());
        match measure(stage, program, scenario, self.size()) {
            Ok(measured) => {
                eprintln!("{name}, {}: {:.3} {unit}", program.name, measured.figure);
                Line::new(&name, unit, &program.name, Some(measured.figure), measured.raw)
            }
            Err(error) => {
                eprintln!("{name}, {}: {error:#}", program.name);
                Line::new(&name, unit, &program.name, None, json!({ "error": format!("{error:#}") }))
            }
        }
    }
}
