//! The command line: one file a command.

mod beside;
mod bundles;
mod check;
mod control;
mod document;
mod events;
mod explain;
mod firewall;
mod hosts;
mod import;
mod manual;
mod pair;
mod replace;
mod run;
#[cfg(windows)]
mod service;
mod status;
mod suggest;
mod users;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use clap::Subcommand;
use la_gateway::config;
use la_gateway::config::Config;
use la_gateway::gateway::reload::Baseline;
use la_gateway::system;

/// Exit code for a wrong configuration (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// Carries Azure Monitor traffic out of closed networks: an HTTPS forwarding gateway (HTTP CONNECT)
/// for a short list of hosts, and nothing else.
#[derive(Parser)]
#[command(name = "la-gateway", version)]
struct Arguments {
    #[arg(long, short, global = true, value_name = "FILE", help = about_configuration())]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Run(run::Arguments),
    /// Say how the running gateway is
    Status(control::Status),
    /// Let the running gateway read its configuration anew
    Reload(control::Reload),
    /// Let the running gateway take no new work, and end when its tunnels have
    Drain(control::Place),
    /// Start successors of a gateway (for its own use)
    #[cfg(unix)]
    #[command(hide = true)]
    Launcher(control::Launcher),
    /// Read the configuration and every file it names; report every problem
    Check,
    /// Say what would become of a CONNECT, station by station
    Explain(explain::Arguments),
    /// Make a user and write the small file that an air-gapped machine's agent-lite needs
    Pair(pair::Arguments),
    /// Make, list and remove the users of a users file
    #[command(subcommand)]
    Users(users::Command),
    /// List, add and remove the further hosts of a role
    #[command(subcommand)]
    Hosts(hosts::Command),
    /// Make packet filter rules of the configuration, for the gateway's host and for air-gapped machines
    #[command(subcommand)]
    Firewall(firewall::Command),
    /// List, show and compare the lists of hosts that come with the program
    #[command(subcommand)]
    Bundles(bundles::Command),
    /// Turn what was refused, or would be, into rules: bundles, which open further hosts and say so, and single hosts
    Suggest(suggest::Arguments),
    /// Make a configuration of what Microsoft's Log Analytics gateway allows
    ImportOms(import::OmsArguments),
    /// Make a configuration of a Squid's allowed domains
    ImportSquid(import::SquidArguments),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: common::manual::Shell,
    },
    /// Print the manual page, or write one for each command
    Man {
        /// The folder they are written to
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List every event id, refusal and ending, and what to do about each
    Events(events::Arguments),
    /// Install, remove, start or stop the service of Windows
    #[cfg(windows)]
    Service {
        #[command(subcommand)]
        what: service::What,
    },
}

fn about_configuration() -> String {
    let usual = system::usual_place();
    format!(
        "Configuration file [default: {} if it exists, else built in: this machine only]",
        usual.display()
    )
}

/// Reads the arguments and runs the command.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Run(run::Arguments::default())) {
        Command::Run(what) => {
            // Before it is loaded, so that no change in between is lost.
            let before = Baseline::of(arguments.config.as_deref());
            with_config(arguments.config, "started", |config| run::run(config, before, &what))
        }
        Command::Status(what) => exit_code(control::status(arguments.config.as_deref(), &what)),
        Command::Reload(at) => exit_code(control::reload(arguments.config.as_deref(), &at)),
        Command::Drain(at) => exit_code(control::drain(arguments.config.as_deref(), &at)),
        #[cfg(unix)]
        Command::Launcher(what) => exit_code(control::launcher(what)),
        Command::Check => with_config(arguments.config, "done", check::check),
        Command::Explain(what) => {
            with_config(arguments.config, "done", |config| explain::explain(&config, &what))
        }
        Command::Pair(what) => with_config(arguments.config, "done", |config| pair::pair(&config, &what)),
        Command::Users(command) => users::users(&command, arguments.config.as_deref()),
        Command::Hosts(command) => {
            with_config(arguments.config, "done", |config| hosts::hosts(&config, &command))
        }
        Command::Firewall(command) => {
            with_config(arguments.config, "done", |config| firewall::firewall(&config, &command))
        }
        Command::Bundles(command) => exit_code(bundles::bundles(&command)),
        Command::Suggest(what) => {
            with_config(arguments.config, "done", |config| suggest::suggest(&config, &what))
        }
        Command::ImportOms(what) => exit_code(import::oms(&what)),
        Command::ImportSquid(what) => exit_code(import::squid(&what)),
        Command::Completions { shell } => exit_code(manual::completions(shell)),
        Command::Man { out } => exit_code(manual::man(out.as_deref())),
        Command::Events(what) => exit_code(events::events(&what)),
        #[cfg(windows)]
        Command::Service { what } => exit_code(service::service(arguments.config, what)),
    }
}

/// Runs a command with the configuration. `begun` is what a wrong one keeps it from.
fn with_config(
    file: Option<PathBuf>,
    begun: &str,
    command: impl FnOnce(Config) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    match config::load(file.as_deref()) {
        Err(problems) => {
            eprintln!("{problems}");
            eprintln!(
                "la-gateway: {} in the configuration; nothing was {begun}",
                count(problems.0.len(), "problem")
            );
            ExitCode::from(EX_CONFIG)
        }
        Ok(config) => exit_code(command(config)),
    }
}

/// Prints a command's result. A reader that has seen enough is no error.
fn show(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write"),
        _ => Ok(()),
    }
}

fn exit_code(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("la-gateway: {error:#}");
        ExitCode::FAILURE
    })
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
