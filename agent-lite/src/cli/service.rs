//! `agent-lite service`: the service of Windows, from its installation to its removal.

mod run;

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use agent_lite::system;
use anyhow::Context;
use anyhow::bail;
use windows_service::service::Service;
use windows_service::service::ServiceAccess;
use windows_service::service::ServiceAction;
use windows_service::service::ServiceActionType;
use windows_service::service::ServiceErrorControl;
use windows_service::service::ServiceFailureActions;
use windows_service::service::ServiceFailureResetPeriod;
use windows_service::service::ServiceInfo;
use windows_service::service::ServiceStartType;
use windows_service::service::ServiceState;
use windows_service::service::ServiceType;
use windows_service::service_manager::ServiceManager;
use windows_service::service_manager::ServiceManagerAccess;

pub(super) use self::run::tell;

/// The service's name.
const NAME: &str = "agent-lite";
const SHOWN: &str = "agent-lite (Azure Monitor through gateways)";
const DESCRIPTION: &str = "Collects events, counters and logs of this machine, queues them on disk, and sends them to Azure Monitor through gateways only.";
/// How soon the service manager starts a service again that broke off: the first, the second and every other time.
const AGAIN_AFTER: [u64; 3] = [5, 30, 60];
/// After how long without one breaking off is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a start or a stop is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its state is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_NOT_ACTIVE.
const RUNNING_ALREADY: i32 = 1056;
const NOT_RUNNING: i32 = 1062;

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
    let executable_path = std::env::current_exe().context("this program does not know its own path")?;
    let arguments = [OsStr::new("--config"), file.as_os_str(), OsStr::new("service"), OsStr::new("run")];
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: SHOWN.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path,
        launch_arguments: arguments.map(OsStr::to_owned).into(),
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::QUERY_CONFIG;
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let service = match manager.create_service(&info, access) {
        Ok(service) => service,
        // Installed before: it takes what is new.
        Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(1073) => {
            let service = manager.open_service(NAME, access).context("cannot open the service")?;
            service.change_config(&info).context("cannot change the service")?;
            service
        }
        Err(error) => return Err(error).context("cannot make the service; are you an administrator?"),
    };
    for (what, outcome) in [
        ("its description", service.set_description(DESCRIPTION)),
        ("its delayed start", service.set_delayed_auto_start(true)),
        ("what happens when it breaks off", service.update_failure_actions(failure_actions())),
        ("that a failed start counts, too", service.set_failure_actions_on_non_crash_failures(true)),
    ] {
        if let Err(error) = outcome {
            eprintln!("agent-lite: the service is there, but Windows did not take {what}: {error}");
        }
    }
    println!("the service {NAME} is installed, with {}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn failure_actions() -> ServiceFailureActions {
    let restart = |seconds| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay: Duration::from_secs(seconds),
    };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGOTTEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(AGAIN_AFTER.map(restart).into()),
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn uninstall() -> anyhow::Result<ExitCode> {
    let service = open(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE)?;
    end(&service)?;
    service.delete().context("cannot remove the service")?;
    println!("the service {NAME} is removed");
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn not_yet(file: &Path) -> anyhow::Result<ExitCode> {
    println!("not started: {} is not there; `agent-lite onboard` makes it", file.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn start(file: &Path) -> anyhow::Result<ExitCode> {
    let service = open(ServiceAccess::QUERY_STATUS | ServiceAccess::START)?;
    match service.start::<OsString>(&[]) {
        Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(RUNNING_ALREADY) => {}
        started => started.context("cannot start the service")?,
    }
    match wait(&service, |state| matches!(state, ServiceState::Running | ServiceState::Stopped))? {
        ServiceState::Running => {
            println!("the service {NAME} runs");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            system::vouch_for(file).with_context(|| file.display().to_string())?;
            bail!("the service has stopped at once; `agent-lite check` or its log say why")
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn stop() -> anyhow::Result<ExitCode> {
    end(&open(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP)?)?;
    println!("the service {NAME} has stopped");
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn reload() -> anyhow::Result<ExitCode> {
    let service = open(ServiceAccess::PAUSE_CONTINUE)?;
    agent_lite_windows::service::reload(&service).context("cannot tell the service; does it run?")?;
    println!("the service {NAME} reads its configuration; its log says whether it took it");
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn state() -> anyhow::Result<ExitCode> {
    let state = open(ServiceAccess::QUERY_STATUS)?.query_status().context("cannot ask the service")?;
    println!("{:?}", state.current_state);
    Ok(match state.current_state {
        ServiceState::Running => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn end(service: &Service) -> anyhow::Result<()> {
    match service.stop() {
        Ok(_) => {}
        Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(NOT_RUNNING) => {
            return Ok(());
        }
        Err(error) => return Err(error).context("cannot stop the service"),
    }
    wait(service, |state| state == ServiceState::Stopped).map(drop)
}

fn wait(service: &Service, until: impl Fn(ServiceState) -> bool) -> anyhow::Result<ServiceState> {
    let end = Instant::now() + PATIENCE;
    loop {
        let state = service.query_status().context("cannot ask the service")?.current_state;
        if until(state) {
            return Ok(state);
        }
        if Instant::now() >= end {
            bail!("the service is still {state:?} after {} s", PATIENCE.as_secs());
        }
        sleep(LOOK);
    }
}

fn manager(access: ServiceManagerAccess) -> anyhow::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&OsStr>, access)
        .context("cannot reach the service manager; are you an administrator?")
}

fn open(access: ServiceAccess) -> anyhow::Result<Service> {
    manager(ServiceManagerAccess::CONNECT)?
        .open_service(NAME, access)
        .context("cannot open the service; is it installed, and are you an administrator?")
}
