//! `agent`: measures agent-lite on this machine, one scenario after the other. `benches/README.md` says how.
//!
//! [`stage`] has the fakes and the gateway, [`load`] the records ([`messages`]), [`usage`] what a process uses,
//! [`report`] where figures go; the rest is one module a scenario.

// Figures are what this program is for.
#![allow(clippy::print_stdout)]

mod backlog;
mod direct;
mod idle;
mod kill;
mod load;
mod messages;
mod outage;
mod peers;
mod rate;
mod report;
mod rotate;
mod sink;
mod stage;
mod start;
mod throttle;

use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::time::Duration;

use benches::machine;
use benches::usage;
use clap::Parser;
use clap::Subcommand;

use crate::rate::Mix;
use crate::report::Report;
use crate::stage::Transport;

/// Measures agent-lite behind a real gateway, against a fake Azure, on loopback.
///
/// The programs are built in release mode, or are those that AGENT_LITE_PROGRAM and LA_GATEWAY_PROGRAM name.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
    /// How the agent sends
    #[arg(long, global = true, value_enum, default_value = "logs-ingestion")]
    transport: Transport,
    /// File to which the raw numbers are appended, as lines of JSON
    #[arg(long, global = true, default_value = "agent-figures.jsonl")]
    output: PathBuf,
}

#[derive(Subcommand)]
enum Scenario {
    /// Memory and processor time with every source on and nothing to do
    Idle {
        /// Seconds after the start
        #[arg(long, default_value_t = 60)]
        settle: u64,
        /// Seconds of the measurement
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
    /// An even load of syslog messages
    Rate {
        /// Records a second
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// UDP, TCP and a file instead of UDP alone
        #[arg(long)]
        mixed: bool,
    },
    /// A full queue: restart, then send it
    Backlog {
        /// Size of the queue, in GB
        #[arg(long, default_value_t = 1.0)]
        gigabytes: f64,
    },
    /// The gateway is away for a while
    Outage {
        /// Records a second
        #[arg(long, default_value_t = 1000)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// SIGKILL under load
    Kill {
        /// Records a second, by TCP and into a file each
        #[arg(long, default_value_t = 500)]
        rate: u64,
        /// How often
        #[arg(long, default_value_t = 11)]
        hits: u32,
    },
    /// Rotations under load
    Rotate {
        /// Lines a second
        #[arg(long, default_value_t = 500)]
        rate: u64,
        /// How often
        #[arg(long, default_value_t = 30)]
        rotations: usize,
    },
    /// 429 with Retry-After
    Throttle {
        /// Records a second
        #[arg(long, default_value_t = 1000)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// 413 for large bodies
    Large {
        /// Records a second
        #[arg(long, default_value_t = 1000)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Bytes on the wire above which a body is refused [default: half of the usual largest]
        #[arg(long)]
        above: Option<u64>,
    },
    /// Connections to anything but the gateway
    Direct {
        /// Records a second
        #[arg(long, default_value_t = 200)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 40)]
        seconds: u64,
    },
    /// Size of the program, and its start
    Start {
        /// How often
        #[arg(long, default_value_t = 20)]
        times: usize,
    },
    /// syslog-ng and rsyslog under the load of `rate`
    Peers {
        /// Folder into which packages were unpacked
        #[arg(long, default_value = "/")]
        programs: PathBuf,
        /// Records a second
        #[arg(long, default_value_t = 10_000)]
        rate: u64,
        /// How long
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Every scenario as it is by default, each in a process of its own: about half an hour
    All,
}

/// The scenarios of `all`. One transport is enough where the transport makes no difference.
const ALL: &[&[&str]] = &[
    &["start"],
    &["idle"],
    &["rate", "--rate", "10000"],
    &["rate", "--rate", "10000", "--mixed"],
    &["rate", "--rate", "1000"],
    &["rate", "--rate", "10000", "--transport", "log-analytics-agent"],
    &["rate", "--rate", "10000", "--mixed", "--transport", "log-analytics-agent"],
    &["rate", "--rate", "1000", "--transport", "log-analytics-agent"],
    &["backlog"],
    &["outage"],
    &["outage", "--transport", "log-analytics-agent"],
    &["kill"],
    &["kill", "--transport", "log-analytics-agent"],
    &["rotate"],
    &["rotate", "--transport", "log-analytics-agent"],
    &["throttle"],
    &["throttle", "--transport", "log-analytics-agent"],
    &["large"],
    &["large", "--transport", "log-analytics-agent"],
    &["direct"],
    &["direct", "--transport", "log-analytics-agent"],
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::to(&arguments.output);
    if matches!(arguments.scenario, Scenario::All) {
        report.begin();
        return all(&arguments.output);
    }
    if std::env::var_os(PART).is_none() {
        report.begin();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(&arguments.scenario, arguments.transport, &mut report));
    ExitCode::SUCCESS
}

/// Says to a scenario that it is a part of all, whose table has begun.
const PART: &str = "AGENT_BENCH_PART";

fn all(output: &std::path::Path) -> ExitCode {
    let own = std::env::current_exe().expect("this program");
    let mut code = ExitCode::SUCCESS;
    for scenario in ALL {
        let status = Command::new(&own).args(*scenario).arg("--output").arg(output).env(PART, "1").status();
        if !status.is_ok_and(|status| status.success()) {
            println!("| {} | could not be measured | |", scenario.join(" "));
            code = ExitCode::FAILURE;
        }
    }
    code
}

async fn run(scenario: &Scenario, transport: Transport, report: &mut Report) {
    match *scenario {
        Scenario::Peers { ref programs, rate, seconds } => peers::run(report, programs, rate, seconds).await,
        Scenario::Idle { settle, seconds } => {
            idle::run(report, transport, Duration::from_secs(settle), Duration::from_secs(seconds)).await;
        }
        Scenario::Rate { rate, seconds, mixed } => {
            let mix = if mixed { Mix::Mixed } else { Mix::Udp };
            rate::run(report, transport, mix, rate, seconds).await;
        }
        Scenario::Backlog { gigabytes } => backlog::run(report, transport, gigabytes).await,
        Scenario::Outage { rate, seconds } => outage::run(report, transport, rate, seconds).await,
        Scenario::Kill { rate, hits } => kill::run(report, transport, rate, hits).await,
        Scenario::Rotate { rate, rotations } => rotate::run(report, transport, rate, rotations).await,
        Scenario::Throttle { rate, seconds } => throttle::throttle(report, transport, rate, seconds).await,
        Scenario::Large { rate, seconds, above } => {
            throttle::large(report, transport, rate, seconds, above).await;
        }
        Scenario::Direct { rate, seconds } => direct::run(report, transport, rate, seconds).await,
        Scenario::Start { times } => start::run(report, transport, times).await,
        Scenario::All => unreachable!("it has its own way"),
    }
}
