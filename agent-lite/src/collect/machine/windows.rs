//! What a Windows says of itself, in its registry and its firmware.

use agent_lite_windows::machine;

use super::Machine;
use super::NO_UUID;
use crate::parse::proc::release::Release;

/// Asks the machine.
pub(super) fn ask() -> Machine {
    let version = machine::version();
    let release = Release {
        caption: format!("{} {}", version.name, version.number),
        name: version.name,
        id: "windows".to_owned(),
        version: Some(version.number),
    };
    let hostname = machine::computer_name().unwrap_or_default();
    Machine {
        hostname: Some(hostname).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
        release,
        architecture: std::env::consts::ARCH,
        uuid: machine::hardware_uuid().unwrap_or_else(|| NO_UUID.to_owned()),
        container: false,
    }
}
