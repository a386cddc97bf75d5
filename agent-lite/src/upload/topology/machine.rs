//! What is said of this machine.

use crate::transport::Agent;
use crate::transport::log_analytics_agent::Machine;

/// What the service is told of this machine and this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFacts {
    /// Who sends; its GUID is replaced by that of the identity.
    pub agent: Agent,
    /// The host name, with its domain if it has one.
    pub name: String,
    /// `Debian GNU/Linux` and the like.
    pub os_name: Option<String>,
    /// `12` and the like.
    pub os_version: Option<String>,
    /// Who makes the operating system.
    pub os_manufacturer: Option<String>,
    /// `x64` or `x86`.
    pub architecture: String,
    /// Whether this is a container.
    pub container: bool,
}

impl MachineFacts {
    pub(in crate::upload) fn machine(&self) -> Machine<'_> {
        Machine {
            name: &self.name,
            os_name: self.os_name.as_deref(),
            os_version: self.os_version.as_deref(),
            os_manufacturer: self.os_manufacturer.as_deref(),
            architecture: &self.architecture,
            container: self.container,
        }
    }
}
