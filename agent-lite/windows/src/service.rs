//! A service of Windows: where the service manager calls into the program, what it asks and is told, and how an operator
//! installs, starts, stops and removes it.

mod attend;
mod manage;

use std::ffi::OsString;
use std::io;
use std::sync::OnceLock;

use windows_service::define_windows_service;
use windows_service::service::Service;
use windows_service::service_dispatcher;
use windows_sys::Win32::System::Services::ControlService;
use windows_sys::Win32::System::Services::SERVICE_CONTROL_PARAMCHANGE;
use windows_sys::Win32::System::Services::SERVICE_STATUS;

pub use self::attend::Asked;
pub use self::attend::State;
pub use self::attend::attend;
pub use self::attend::go_on_stopping;
pub use self::attend::report;
pub use self::manage::Definition;
pub use self::manage::ServiceError;
pub use self::manage::arguments;
use crate::wide::checked;

static MAIN: OnceLock<fn()> = OnceLock::new();

define_windows_service!(called_by_windows, called);

/// Runs a service of this name: `main` is called on a thread of its own, and is to register for what the service
/// manager asks. Returns when the service has stopped; fails at once where the service manager did not start it.
pub fn run(name: &str, main: fn()) -> windows_service::Result<()> {
    MAIN.get_or_init(|| main);
    service_dispatcher::start(name, called_by_windows)
}

/// Tells a running service, opened with the right to pause it, that its configuration has changed.
pub(crate) fn reload(service: &Service) -> io::Result<()> {
    let mut status = SERVICE_STATUS::default();
    // SAFETY: the handle is open as long as `service` lives, and `status` is a place for the structure.
    checked(unsafe { ControlService(service.raw_handle(), SERVICE_CONTROL_PARAMCHANGE, &mut status) })
}

fn called(_arguments: Vec<OsString>) {
    if let Some(main) = MAIN.get() {
        main();
    }
}
