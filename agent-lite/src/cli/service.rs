//! `agent-lite service`: the service of Windows, from its installation to its removal.

mod run;

use std::path::Path;
use std::process::ExitCode;

use agent_lite::system;
use agent_lite_windows::service::Definition;
use agent_lite_windows::service::arguments;
use anyhow::Context;
use anyhow::bail;

pub(super) use self::run::tell;

/// The service: LocalSystem's, because the log Security and most logs of other programs need it.
const SERVICE: Definition = Definition {
    name: "agent-lite",
    shown: "agent-lite (Azure Monitor through gateways)",
    description: "Collects events, counters and logs of this machine, queues them on disk, and sends them to Azure Monitor through gateways only.",
    account: None,
    delayed: true,
    at_shutdown: None,
};

/// What to do with the service.
#[derive(clap::Subcommand)]
pub(super) enum What {
    /// Make the service known to Windows: it starts with the machine, a little after what is urgent
    Install,
    /// Stop the service and make it unknown; configuration, identity and queues stay
    Uninstall,
    /// Start the service and wait until it runs
    Start {
        /// Do nothing where the configuration is not there yet
        #[arg(long)]
        if_configured: bool,
    },
    /// Stop the service and wait until it has sealed its queues
    Stop,
    /// Let the running service read its configuration anew
    Reload,
    /// Say whether it runs; the exit code is 0 when it does
    State,
    /// Be the service; only the service manager can call this
    Run,
}

pub(super) fn service(file: &Path, what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::Install => install(file),
        What::Uninstall => uninstall(),
        What::Start { if_configured: true } if !file.exists() => not_yet(file),
        What::Start { .. } => start(file),
        What::Stop => stop(),
        What::Reload => reload(),
        What::State => state(),
        What::Run => run::run(file),
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn install(file: &Path) -> anyhow::Result<ExitCode> {
    let file = std::path::absolute(file)?;
    system::vouch_for(&file).with_context(|| file.display().to_string())?;
    for trouble in SERVICE.install(&arguments(&file))? {
        eprintln!("agent-lite: the service is there, but {trouble}");
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
    println!("not started: {} is not there; `agent-lite onboard` makes it", file.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn start(file: &Path) -> anyhow::Result<ExitCode> {
    if SERVICE.start()? {
        println!("the service {} runs", SERVICE.name);
        return Ok(ExitCode::SUCCESS);
    }
    system::vouch_for(file).with_context(|| file.display().to_string())?;
    bail!("the service has stopped at once; `agent-lite check` or its log say why")
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
