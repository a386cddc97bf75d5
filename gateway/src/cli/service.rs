//! `la-gateway service`: the service of Windows, from its installation to its removal.

mod run;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent_lite_windows::folders;
use agent_lite_windows::security::Others;
use agent_lite_windows::service::Definition;
use agent_lite_windows::service::arguments;
use anyhow::Context;
use anyhow::bail;
use la_gateway::system;

/// The service. It has an account of its own, which Windows makes of its name and which has no rights beside an ordinary
/// user's: the gateway is what strangers speak with.
const SERVICE: Definition = Definition {
    name: system::NAME,
    shown: "la-gateway (Azure Monitor gateway)",
    description: "Carries Azure Monitor traffic out of closed networks: HTTP CONNECT for a short list of hosts, and nothing else.",
    account: Some(r"NT SERVICE\la-gateway"),
    delayed: false,
    at_shutdown: Some(Duration::from_secs(60)),
};
/// The SID of that account: S-1-5-80 and the SHA-1 of the name in capitals; `sc showsid la-gateway` shows it.
const ACCOUNT: &str = "S-1-5-80-2944787308-2993073964-1559412861-4220551394-3175956020";
/// The service's folder for its records, beside its configuration.
const LOGS: &str = "logs";

/// What to do with the service.
#[derive(clap::Subcommand)]
pub(super) enum What {
    /// Make the service known to Windows: it starts with the machine
    Install,
    /// Stop the service and make it unknown; configuration, users and records stay
    Uninstall,
    /// Start the service and wait until it serves
    Start {
        /// Do nothing where the configuration is not there yet
        #[arg(long)]
        if_configured: bool,
    },
    /// Let the service drain, and wait until it has ended
    Stop {
        /// Do nothing where there is no service
        #[arg(long)]
        if_installed: bool,
    },
    /// Let the running service read its configuration anew
    Reload,
    /// Say whether it runs; the exit code is 0 when it does
    State,
    /// Be the service; only the service manager can call this
    Run,
}

pub(super) fn service(named: Option<PathBuf>, what: What) -> anyhow::Result<ExitCode> {
    let file = named.unwrap_or_else(system::usual_place);
    match what {
        What::Install => install(&file),
        What::Uninstall => uninstall(),
        What::Start { if_configured: true } if !file.exists() => not_yet(&file),
        What::Start { .. } => start(&file),
        What::Stop { if_installed: true } if !SERVICE.is_installed() => Ok(ExitCode::SUCCESS),
        What::Stop { .. } => stop(),
        What::Reload => reload(),
        What::State => state(),
        What::Run => run::run(&file),
    }
}

/// Makes the folders of the service where they are missing, and refuses those of a stranger.
fn vouch_for(file: &Path) -> anyhow::Result<PathBuf> {
    folders::vouch_for(file, Others::Read(ACCOUNT)).with_context(|| file.display().to_string())?;
    let logs = file.with_file_name(LOGS);
    folders::make(&logs, Others::Write(ACCOUNT)).with_context(|| logs.display().to_string())?;
    Ok(logs)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn install(file: &Path) -> anyhow::Result<ExitCode> {
    let file = std::path::absolute(file)?;
    vouch_for(&file)?;
    for trouble in SERVICE.install(&arguments(&file))? {
        eprintln!("la-gateway: the service is there, but {trouble}");
    }
    println!("the service {} is installed, with {}", SERVICE.name, file.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn uninstall() -> anyhow::Result<ExitCode> {
    SERVICE.uninstall()?;
    println!("the service {} is removed", SERVICE.name);
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn not_yet(file: &Path) -> anyhow::Result<ExitCode> {
    println!("not started: {} is not there; write it, and try it with `la-gateway check`", file.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn start(file: &Path) -> anyhow::Result<ExitCode> {
    if SERVICE.start()? {
        println!("the service {} runs", SERVICE.name);
        return Ok(ExitCode::SUCCESS);
    }
    vouch_for(file)?;
    bail!("the service has stopped at once; `la-gateway check` or the file in {LOGS} say why")
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn stop() -> anyhow::Result<ExitCode> {
    SERVICE.stop()?;
    println!("the service {} has stopped", SERVICE.name);
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn reload() -> anyhow::Result<ExitCode> {
    SERVICE.reload()?;
    println!("the service {} reads its configuration; its log says whether it took it", SERVICE.name);
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn state() -> anyhow::Result<ExitCode> {
    let (state, runs) = SERVICE.state()?;
    println!("{state}");
    Ok(if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
