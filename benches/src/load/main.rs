//! `load`: what the gateway costs beside a bare relay and the proxies an operator could pick instead.
//! `benches/README.md` says how to run it.
//!
//! [`run`] takes every figure in turn: [`measure`] starts a program ([`programs`]) on the [`stage`], and a client
//! of its own process does a [`job`] through it. Processes are of this program where they are not measured, and one
//! that is: the [`floor`].

// Figures are what this program is for.
#![allow(clippy::print_stdout)]

mod attacks;
mod bytes;
mod client;
mod floor;
mod growth;
mod job;
mod measure;
mod network;
mod origin;
mod page;
mod peers;
mod processes;
mod programs;
mod report;
mod run;
mod scenarios;
mod stage;
mod tunnel;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::Subcommand;

use self::tunnel::Way;

/// Measures the gateway's CPU and memory beside a bare relay's and other proxies', on this machine alone.
///
/// The gateway is the program that LA_GATEWAY_PROGRAM names, or la-gateway beside this program.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take figures, interleaved, and print the table
    Run(run::Options),
    /// How the gateway's cost grows with tunnels, users and rules; writes charts
    Growth(growth::Options),
    /// What the status page and the metrics cost with thousands of clients
    Page(page::Options),
    /// How good agents fare while somebody attacks the gateway
    Attacks(attacks::Options),
    /// Print the table of figures taken before
    Table {
        /// Files of `run`
        #[arg(default_value = "load-figures.jsonl")]
        files: Vec<PathBuf>,
    },
    #[command(hide = true)]
    Leash {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    #[command(hide = true)]
    Origin { address: SocketAddr, folder: PathBuf },
    #[command(hide = true)]
    Floor { address: SocketAddr, origin: SocketAddr, pipe: usize },
    #[command(hide = true)]
    Client { address: SocketAddr, job: String, leg: String, folder: PathBuf },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(options) => return run::run(&options),
        Command::Growth(options) => return growth::run(&options),
        Command::Page(options) => return page::run(&options),
        Command::Attacks(options) => return attacks::run(&options),
        Command::Table { files } => print!("{}", report::table(&report::read(&files)?)),
        Command::Leash { program, arguments } => {
            anyhow::bail!("{}: {}", program.display(), processes::leash(&program, &arguments))
        }
        Command::Origin { address, folder } => alone(origin::run(address, &folder))?,
        Command::Floor { address, origin, pipe } => floor::run(address, origin, pipe)?,
        Command::Client { address, job, leg, folder } => {
            let way = Way::new(address, &folder, serde_json::from_str(&leg)?)?;
            alone(client::run(way, serde_json::from_str(&job)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs on this thread and no other.
fn alone(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
