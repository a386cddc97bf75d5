//! Where the service manager calls into the program.

use std::ffi::OsString;
use std::sync::OnceLock;

use windows_service::define_windows_service;
use windows_service::service_dispatcher;

static MAIN: OnceLock<fn()> = OnceLock::new();

define_windows_service!(called_by_windows, called);

/// Runs a service of this name: `main` is called on a thread of its own, and is to register for what the service
/// manager asks. Returns when the service has stopped; fails at once where the service manager did not start it.
pub fn run(name: &str, main: fn()) -> windows_service::Result<()> {
    MAIN.get_or_init(|| main);
    service_dispatcher::start(name, called_by_windows)
}

fn called(_arguments: Vec<OsString>) {
    if let Some(main) = MAIN.get() {
        main();
    }
}
