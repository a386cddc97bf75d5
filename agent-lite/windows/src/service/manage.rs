//! A service from its installation to its removal, as an operator asks for it.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

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

/// How soon the service manager starts a service again that broke off: the first, the second and every other time.
const AGAIN_AFTER: [u64; 3] = [5, 30, 60];
/// After how long without one breaking off is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a start or a stop is waited for that gives no sign of life.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its state is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// ERROR_SERVICE_EXISTS, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_NOT_ACTIVE.
const EXISTS: i32 = 1073;
const RUNNING_ALREADY: i32 = 1056;
const NOT_RUNNING: i32 = 1062;

/// A service of one of our programs.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// The name that is shown.
    pub shown: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Whose rights it has; LocalSystem's if none is named.
    pub account: Option<&'static str>,
    /// Whether it starts a little after what is urgent.
    pub delayed: bool,
    /// How long it may take to end when the machine does; the system's own time if none is named.
    pub at_shutdown: Option<Duration>,
}

/// Why the service manager did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It refuses.
    #[error("{what}")]
    Refused {
        /// What was not done, and what may be wrong.
        what: &'static str,
        /// What it says.
        source: windows_service::Error,
    },
    /// It does not tell the service.
    #[error("cannot tell the service; does it run?")]
    Untold(#[source] std::io::Error),
    /// The service takes too long.
    #[error("the service is still {state} after {} s", PATIENCE.as_secs())]
    Late {
        /// What it is.
        state: String,
    },
    /// The program is not found.
    #[error("this program does not know its own path")]
    Nowhere(#[source] std::io::Error),
}

impl Definition {
    /// Makes it known to Windows, or gives it the path of this program and its arguments anew. Returns what Windows did not
    /// take, which the service can be without.
    pub fn install(&self, arguments: &[&OsStr]) -> Result<Vec<String>, ServiceError> {
        let info = self.info(arguments, std::env::current_exe().map_err(ServiceError::Nowhere)?);
        let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::QUERY_CONFIG;
        let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
        let service = match manager.create_service(&info, access) {
            Ok(service) => service,
            // Installed before: it takes what is new.
            Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(EXISTS) => {
                let service =
                    manager.open_service(self.name, access).map_err(refused("cannot open the service"))?;
                service.change_config(&info).map_err(refused("cannot change the service"))?;
                service
            }
            Err(error) => {
                return Err(refused("cannot make the service; are you an administrator?")(error));
            }
        };
        Ok(self.complete(&service))
    }

    fn info(&self, arguments: &[&OsStr], executable_path: PathBuf) -> ServiceInfo {
        ServiceInfo {
            name: self.name.into(),
            display_name: self.shown.into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::AutoStart,
            error_control: ServiceErrorControl::Normal,
            executable_path,
            launch_arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            dependencies: Vec::new(),
            account_name: self.account.map(OsString::from),
            account_password: None,
        }
    }

    fn complete(&self, service: &Service) -> Vec<String> {
        let at_shutdown = self.at_shutdown.map_or(Ok(()), |time| service.set_preshutdown_timeout(time));
        let outcomes = [
            ("its description", service.set_description(self.description)),
            ("its delayed start", service.set_delayed_auto_start(self.delayed)),
            ("what happens when it breaks off", service.update_failure_actions(failure_actions())),
            ("that a failed start counts, too", service.set_failure_actions_on_non_crash_failures(true)),
            ("how long it may end when the machine does", at_shutdown),
        ];
        let failed = outcomes.into_iter().filter_map(|(what, outcome)| Some((what, outcome.err()?)));
        failed.map(|(what, error)| format!("Windows did not take {what}: {error}")).collect()
    }

    /// Stops it and makes it unknown.
    pub fn uninstall(&self) -> Result<(), ServiceError> {
        let service = self.open(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE)?;
        end(&service)?;
        service.delete().map_err(refused("cannot remove the service"))
    }

    /// Starts it and waits; returns whether it runs then, or has stopped at once.
    pub fn start(&self) -> Result<bool, ServiceError> {
        let service = self.open(ServiceAccess::QUERY_STATUS | ServiceAccess::START)?;
        match service.start::<OsString>(&[]) {
            Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(RUNNING_ALREADY) => {}
            started => started.map_err(refused("cannot start the service"))?,
        }
        let state = wait(&service, |state| matches!(state, ServiceState::Running | ServiceState::Stopped))?;
        Ok(state == ServiceState::Running)
    }

    /// Stops it and waits until it has ended.
    pub fn stop(&self) -> Result<(), ServiceError> {
        end(&self.open(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP)?)
    }

    /// Lets it read its configuration anew.
    pub fn reload(&self) -> Result<(), ServiceError> {
        super::reload(&self.open(ServiceAccess::PAUSE_CONTINUE)?).map_err(ServiceError::Untold)
    }

    /// Returns its state in a word, and whether it runs.
    pub fn state(&self) -> Result<(String, bool), ServiceError> {
        let status = self.open(ServiceAccess::QUERY_STATUS)?.query_status();
        let state = status.map_err(refused("cannot ask the service"))?.current_state;
        Ok((format!("{state:?}"), state == ServiceState::Running))
    }

    /// Returns whether Windows knows it.
    pub fn is_installed(&self) -> bool {
        self.open(ServiceAccess::QUERY_STATUS).is_ok()
    }

    fn open(&self, access: ServiceAccess) -> Result<Service, ServiceError> {
        manager(ServiceManagerAccess::CONNECT)?
            .open_service(self.name, access)
            .map_err(refused("cannot open the service; is it installed, and are you an administrator?"))
    }
}

/// Returns the arguments of a service that is this program with a configuration.
pub fn arguments(configuration: &Path) -> [&OsStr; 4] {
    [OsStr::new("--config"), configuration.as_os_str(), OsStr::new("service"), OsStr::new("run")]
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

fn end(service: &Service) -> Result<(), ServiceError> {
    match service.stop() {
        Ok(_) => {}
        Err(windows_service::Error::Winapi(error)) if error.raw_os_error() == Some(NOT_RUNNING) => {
            return Ok(());
        }
        Err(error) => return Err(refused("cannot stop the service")(error)),
    }
    wait(service, |state| state == ServiceState::Stopped).map(drop)
}

/// Waits as long as the service gives signs of life.
fn wait(service: &Service, until: impl Fn(ServiceState) -> bool) -> Result<ServiceState, ServiceError> {
    let mut end = Instant::now() + PATIENCE;
    let mut sign = 0;
    loop {
        let status = service.query_status().map_err(refused("cannot ask the service"))?;
        if until(status.current_state) {
            return Ok(status.current_state);
        }
        if status.checkpoint != sign {
            sign = status.checkpoint;
            end = Instant::now() + PATIENCE;
        }
        if Instant::now() >= end {
            return Err(ServiceError::Late { state: format!("{:?}", status.current_state) });
        }
        sleep(LOOK);
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, ServiceError> {
    ServiceManager::local_computer(None::<&OsStr>, access)
        .map_err(refused("cannot reach the service manager; are you an administrator?"))
}

fn refused(what: &'static str) -> impl Fn(windows_service::Error) -> ServiceError {
    move |source| ServiceError::Refused { what, source }
}
