//! The command line: one file a command.

mod check;
mod doctor;
mod drain;
mod generalize;
mod import_dcr;
mod import_omsagent;
mod inherited;
mod log;
mod manual;
mod onboard;
#[cfg(windows)]
mod protect;
mod run;
#[cfg(windows)]
mod service;
mod socket;
mod status;
mod tail;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use agent_lite::agent::generalize::Waiting;
use agent_lite::collect::machine::Machine;
use agent_lite::config;
use agent_lite::config::settings::Config;
use agent_lite::system;
use clap::Parser;
use clap::Subcommand;

/// Exit code for a wrong configuration (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// Collects logs and counters on a machine without internet access, queues them on disk, and sends them to Azure
/// Monitor through gateways only.
#[derive(Parser)]
#[command(name = "agent-lite", version)]
struct Arguments {
    /// Configuration file
    #[arg(long, short, global = true, value_name = "FILE", default_value_os_t = system::usual_place())]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent (the default)
    Run,
    /// Make this agent known to a workspace by its ID and key, and write the configuration
    Onboard(Box<onboard::Arguments>),
    /// Read the configuration and every file it names; report every problem
    Check,
    /// Say what the running agent does: queues, deliveries, losses, troubles
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Again and again, every two seconds or as often as this says
        #[arg(long, value_name = "EVERY", num_args = 0..=1, default_missing_value = "2s",
              value_parser = humantime::parse_duration, conflicts_with = "json")]
        watch: Option<std::time::Duration>,
    },
    /// Walk every leg to every workspace and say what to change where one fails
    Doctor,
    /// Show records as the running agent collects them
    Tail {
        /// As JSON, one record a line
        #[arg(long)]
        json: bool,
        /// Only this source, or sources that begin so
        #[arg(long)]
        source: Option<String>,
        /// End after so many records
        #[arg(long, short = 'n')]
        count: Option<u64>,
    },
    /// Print a data collection rule as this agent's own configuration, and list what is not carried over and why
    ImportDcr {
        /// The rule in JSON, as the portal's JSON view or `az monitor data-collection rule show` gives it; `-` reads
        /// the standard input
        file: PathBuf,
    },
    /// Seal what the running agent holds, and wait until every queue is empty
    Drain {
        /// Give up after so long
        #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
        within: std::time::Duration,
    },
    /// Remove who the agent is, what it has read and its empty queues, before an image of the machine is taken
    Generalize {
        /// Remove records that wait, too
        #[arg(long)]
        discard_queue: bool,
    },
    /// Make a configuration of an existing omsagent's: workspaces, proxy, syslog, text logs and counters
    ImportOmsagent(Box<import_omsagent::Arguments>),
    /// Show what a clone does not send of the machine it was made of, take it back or remove it
    Inherited {
        #[command(subcommand)]
        what: Option<inherited::What>,
    },
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
    /// Seal a `key_file`, `secret_file` or `key` for this machine (DPAPI)
    #[cfg(windows)]
    Protect {
        /// The file
        file: PathBuf,
    },
    /// Install, remove, start or stop the service of Windows
    #[cfg(windows)]
    Service {
        #[command(subcommand)]
        what: service::What,
    },
}

/// Reads the arguments and runs the command.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = arguments.config;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => with_config(&file, |config, machine| run::run(&file, config, machine)),
        Command::Onboard(what) => onboard::onboard(&file, &what),
        Command::Check => with_config(&file, |config, _| check::check(&config)),
        Command::Status { json, watch } => with_config(&file, |config, _| match watch {
            Some(every) => status::watch(&config, every),
            None => status::status(&config, json),
        }),
        Command::Doctor => with_config(&file, |config, machine| doctor::doctor(&config, &machine)),
        Command::Tail { json, source, count } => {
            with_config(&file, |config, _| tail::tail(&config, json, source.as_deref(), count))
        }
        Command::Generalize { discard_queue } => {
            let waiting = if discard_queue { Waiting::Discard } else { Waiting::Refuse };
            with_config(&file, |config, _| generalize::generalize(&file, &config, waiting))
        }
        Command::ImportOmsagent(what) => exit_code(import_omsagent::import(&what, &Machine::ask().hostname)),
        Command::Inherited { what } => {
            with_config(&file, |config, _| inherited::inherited(&config, what.as_ref()))
        }
        Command::ImportDcr { file } => exit_code(import_dcr::import_dcr(&file)),
        Command::Completions { shell } => exit_code(manual::completions(shell)),
        Command::Man { out } => exit_code(manual::man(out.as_deref())),
        Command::Drain { within } => with_config(&file, |config, _| drain::drain(&config, within)),
        #[cfg(windows)]
        Command::Protect { file } => exit_code(protect::protect(&file)),
        #[cfg(windows)]
        Command::Service { what } => exit_code(service::service(&file, what)),
    }
}

fn with_config(file: &Path, command: impl FnOnce(Config, Machine) -> anyhow::Result<ExitCode>) -> ExitCode {
    let machine = Machine::ask();
    let named = (file != system::usual_place()).then_some(file);
    match config::load(named, &machine.hostname) {
        Err(problems) => {
            eprintln!("{problems}");
            eprintln!("agent-lite: the configuration is wrong; nothing was started");
            ExitCode::from(EX_CONFIG)
        }
        Ok(config) => exit_code(command(config, machine)),
    }
}

fn exit_code(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("agent-lite: {error:#}");
        ExitCode::FAILURE
    })
}

/// How long a thread for the disk waits for more to do: longer than it is between two samplings of counters, as a
/// thread for each would cost an idle agent more than the sampling.
const DISK_THREAD: std::time::Duration = std::time::Duration::from_secs(15);

/// Returns the one runtime of every command: one thread, and one more for the disk.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_keep_alive(DISK_THREAD)
        .build()
}
