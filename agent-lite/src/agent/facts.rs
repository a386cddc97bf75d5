//! What is said of this agent and its machine in every request.

use uuid::Uuid;

use super::VERSION;
use crate::collect::machine;
use crate::collect::machine::Machine;
use crate::transport::Agent;
use crate::transport::UNKNOWN_IP;
use crate::upload::topology::MachineFacts;

/// Returns who sends.
pub fn agent(machine: &Machine, computer: &str, agent_id: Uuid) -> Agent {
    Agent {
        computer: computer.to_owned(),
        agent_id,
        version: VERSION,
        host_ip: own_address(),
        machine_uuid: machine.uuid.clone(),
    }
}

/// Returns what the service is told at onboarding and in topology requests.
pub fn machine(machine: &Machine, agent: Agent) -> MachineFacts {
    let architecture = if machine.architecture == "x86" { "x86" } else { "x64" };
    MachineFacts {
        name: agent.computer.clone(),
        agent,
        os_name: Some(machine.release.name.clone()),
        os_version: machine.release.version.clone(),
        os_manufacturer: Some(machine.release.manufacturer().to_owned()),
        architecture: architecture.to_owned(),
        container: machine.container,
    }
}

/// Returns the address that stands for messages of this machine itself.
pub fn own_address() -> String {
    machine::private_addresses().first().map_or_else(|| UNKNOWN_IP.to_owned(), ToString::to_string)
}
