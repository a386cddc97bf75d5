//! `la-gateway run`.

#[cfg_attr(unix, path = "run/unix.rs")]
#[cfg_attr(windows, path = "run/windows.rs")]
pub(super) mod told;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::bail;
use la_gateway::config::Config;
use la_gateway::config::ControlSocket;
use la_gateway::control::MOST_ORDERS;
use la_gateway::control::socket;
use la_gateway::control::socket::Placed;
use la_gateway::control::successor::Predecessor;
use la_gateway::events;
use la_gateway::gateway::Attendants;
use la_gateway::gateway::Gateway;
use la_gateway::gateway::StartError;
use la_gateway::gateway::launcher::Launcher;
use la_gateway::gateway::reload::Baseline;
use la_gateway::listen::inherited::Inherited;
use la_gateway::observe::log;
use la_gateway::observe::log::Output;
use la_gateway::sandbox;
use la_gateway::sandbox::Openings;
use la_gateway::sandbox::RulesetError;
use la_gateway::sandbox::Sandbox;
use la_gateway::system;
use la_gateway::tunnel::pipes::KernelLimits;
use tokio::sync::mpsc;
use tracing::error;
use tracing::info;
use tracing::warn;

use self::told::Signals;
use super::EX_CONFIG;

/// Arguments of `run`.
#[derive(clap::Args, Default)]
pub(super) struct Arguments {
    /// Take the listening sockets over from the gateway that runs, which then drains. Without a value: the one
    /// on the control socket of the configuration
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, require_equals = true)]
    take_over: Option<Option<PathBuf>>,
}

/// What must be there before the sandbox closes: it forbids all of it.
pub(super) struct Prepared {
    inherited: Inherited,
    predecessor: Option<Predecessor>,
    control: Option<Placed>,
    /// What is missing, and why.
    notes: Vec<String>,
    launcher: Option<Launcher>,
}

impl Prepared {
    pub(super) fn new(config: &Config, what: &Arguments) -> anyhow::Result<Self> {
        let mut inherited = Inherited::of_systemd()?;
        let from = what.take_over.as_ref().map(|named| match named {
            Some(named) => Ok(named.clone()),
            None => control_socket(&config.control),
        });
        let predecessor = from
            .transpose()?
            .map(|from| Predecessor::ask(&from, &mut inherited))
            .transpose()
            .context("nothing is taken over")?;
        let (control, none) = socket::open(&config.control, &mut inherited)?;
        let mut notes: Vec<String> = none
            .map(|why| format!("no control socket, so no `status`, `reload`, `drain` and SIGUSR2: {why}"))
            .into_iter()
            .collect();
        let launcher = control.as_ref().map(|(_, path)| told::launcher(config.file.as_deref(), path));
        let launcher = launcher.transpose().map(Option::flatten).unwrap_or_else(|error| {
            notes.push(format!("no launcher, so no SIGUSR2: {error}"));
            None
        });
        Ok(Self { inherited, predecessor, control, notes, launcher })
    }
}

/// Returns where the control socket of a configuration is.
pub(super) fn control_socket(configured: &ControlSocket) -> anyhow::Result<PathBuf> {
    match configured {
        ControlSocket::At(path) => Ok(path.clone()),
        ControlSocket::Usual => Ok(system::usual_control_socket()),
        ControlSocket::Off => bail!("`[control] socket` is \"off\"; name a place there, or the socket here"),
    }
}

/// Runs the gateway until it is told to stop.
pub(super) fn run(config: Config, before: Baseline, what: &Arguments) -> anyhow::Result<ExitCode> {
    let prepared = Prepared::new(&config, what)?;
    // The journal's socket is opened before the sandbox closes, its writer's thread is started inside.
    let output = log::open(&config.log);
    Ok(match serve(config, before, prepared, output, Signals::new)? {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("la-gateway: {error}");
            if is_of_the_configuration(&error) { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    })
}

/// Runs it with these signals, which are made within the runtime, and this place for records.
pub(super) fn serve(
    config: Config,
    before: Baseline,
    prepared: Prepared,
    output: Output,
    signals: impl FnOnce() -> io::Result<Signals>,
) -> anyhow::Result<Result<(), StartError>> {
    let openings = Openings::of(&config);
    let pipes = KernelLimits::read();
    let sandbox = config.sandbox.then(|| sandbox::close(&openings));
    let in_force = sandbox.as_ref().and_then(|closed| closed.as_ref().ok()).copied();
    let writer =
        log::start(config.log.level, output).context("cannot start the thread that writes records")?;
    say(sandbox);
    prepared.notes.iter().for_each(|note| info!(event_id = events::INFORMATION.0, "{note}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        // Before anything says that the gateway is there: who is told may end it at once.
        let signals = signals().context("cannot receive signals")?;
        let gateway = match Gateway::bind(&config, before, prepared.inherited, Some(writer.dropped()), pipes)
        {
            Ok(gateway) => gateway,
            Err(error) => {
                error!(event_id = events::CONFIGURATION.0, "not started: {error}");
                return Ok(Err(error));
            }
        };
        if let Some(sandbox) = in_force {
            gateway.reloader().is_confined(openings, sandbox);
        }
        let (orders, inbox) = mpsc::channel(MOST_ORDERS);
        let attendants = Attendants {
            control: prepared.control,
            launcher: prepared.launcher,
            predecessor: prepared.predecessor,
            orders: (orders.clone(), inbox),
        };
        tokio::select! {
            ended = gateway.run(attendants) => ended.map(|_| Ok(())).context("nothing is taken over"),
            never = signals.become_orders(orders) => match never {},
        }
    })
}

fn say(sandbox: Option<Result<Sandbox, RulesetError>>) {
    let id = events::SANDBOX.0;
    match sandbox {
        Some(Ok(Sandbox::Full)) => {
            info!(event_id = id, "sandbox: in force (files read-only, TCP to few ports)")
        }
        Some(Ok(Sandbox::Partial)) => {
            warn!(event_id = id, "sandbox: in part; this kernel cannot limit TCP (Linux 6.7 can)");
        }
        Some(Ok(Sandbox::Absent)) => warn!(event_id = id, "sandbox: none; {}", told::NO_SANDBOX),
        Some(Err(error)) => warn!(event_id = id, "sandbox: none; {error}"),
        None => info!(event_id = id, "sandbox: off in the configuration"),
    }
}

pub(super) fn is_of_the_configuration(error: &StartError) -> bool {
    match error {
        StartError::Tls(_) | StartError::Relay(_) | StartError::Resolver(_) => true,
        StartError::Listen { .. }
        | StartError::Inherited(_)
        | StartError::Interfaces(_)
        | StartError::Random(_)
        | StartError::Metrics(_) => false,
    }
}
