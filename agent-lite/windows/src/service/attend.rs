//! The service's own end: what the service manager asks, and what it is told.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use windows_service::service::ServiceControl;
use windows_service::service::ServiceControlAccept;
use windows_service::service::ServiceExitCode;
use windows_service::service::ServiceState;
use windows_service::service::ServiceStatus;
use windows_service::service::ServiceType;
use windows_service::service_control_handler;
use windows_service::service_control_handler::ServiceControlHandlerResult;
use windows_service::service_control_handler::ServiceStatusHandle;

/// How long the service manager waits for a start or a stop that says nothing more.
const HINT: Duration = Duration::from_secs(30);

static MANAGER: OnceLock<ServiceStatusHandle> = OnceLock::new();
/// How many signs of life a stop has given; 0 while nothing stops.
static SIGNS: AtomicU32 = AtomicU32::new(0);

/// What the service manager asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end: the service is stopped, or the machine.
    Stop,
    /// To read the configuration anew.
    Reload,
}

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It starts.
    Starting,
    /// It serves.
    Running,
    /// It ends.
    Stopping,
    /// It has ended; 0 is well.
    Stopped(u32),
}

/// Registers for what the service manager asks. It calls this by one thread.
pub fn attend(name: &str, mut asked: impl FnMut(Asked) + Send + 'static) -> windows_service::Result<()> {
    let handler = move |control| {
        match control {
            ServiceControl::Stop | ServiceControl::Preshutdown => asked(Asked::Stop),
            ServiceControl::ParamChange => asked(Asked::Reload),
            ServiceControl::Interrogate => {}
            _ => return ServiceControlHandlerResult::NotImplemented,
        }
        ServiceControlHandlerResult::NoError
    };
    let manager = service_control_handler::register(name, handler)?;
    MANAGER.get_or_init(|| manager);
    Ok(())
}

/// Tells the service manager, where it has started this process. A manager that does not listen is no reason to end.
pub fn report(state: State) {
    let sign = match state {
        State::Stopping => SIGNS.fetch_add(1, Ordering::Relaxed) + 1,
        State::Starting => 1,
        State::Running | State::Stopped(_) => {
            SIGNS.store(0, Ordering::Relaxed);
            0
        }
    };
    tell(state, sign);
}

/// Gives a sign of life, if the service is stopping: the manager gives one up that stops and says nothing.
pub fn go_on_stopping() {
    if SIGNS.load(Ordering::Relaxed) > 0 {
        report(State::Stopping);
    }
}

fn tell(state: State, checkpoint: u32) {
    let Some(manager) = MANAGER.get() else { return };
    let accepted =
        ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE;
    let none = ServiceControlAccept::empty();
    let (current_state, controls_accepted, wait_hint) = match state {
        State::Starting => (ServiceState::StartPending, none, HINT),
        State::Running => (ServiceState::Running, accepted, Duration::ZERO),
        State::Stopping => (ServiceState::StopPending, none, HINT),
        State::Stopped(_) => (ServiceState::Stopped, none, Duration::ZERO),
    };
    let exit_code = match state {
        State::Stopped(code @ 1..) => ServiceExitCode::ServiceSpecific(code),
        _ => ServiceExitCode::NO_ERROR,
    };
    let _ = manager.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted,
        exit_code,
        checkpoint,
        wait_hint,
        process_id: None,
    });
}
