//! What the agent says about itself when it is asked.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::inherited;
use super::seal::Inheritance;

/// The whole answer to `agent-lite status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The name in every record.
    pub computer: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// The gateway in use, without its password.
    pub gateway: String,
    /// Where records go.
    pub workspaces: Vec<WorkspaceStatus>,
    /// Where they come from.
    pub sources: Vec<SourceStatus>,
    /// What a clone does not send: the queues of the machine it was made of.
    #[serde(default)]
    pub inherited: Vec<InheritedStatus>,
}

/// One workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceStatus {
    /// Its name here.
    pub name: String,
    /// The transport's name.
    pub transport: String,
    /// Bytes in the queue.
    pub queue_bytes: u64,
    /// Most bytes of the queue.
    pub queue_cap: u64,
    /// Records in the queue.
    pub queue_records: u64,
    /// When the oldest of them was collected, RFC 3339.
    pub queue_oldest: Option<String>,
    /// Records the service has taken since the start.
    pub delivered: u64,
    /// When it took the last ones, RFC 3339.
    pub last_delivery: Option<String>,
    /// Why nothing is taken now, and what to change.
    pub trouble: Option<String>,
    /// Losses by kind since the start.
    pub losses: BTreeMap<String, u64>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// Records since the start.
    pub collected: u64,
    /// Losses by kind since the start.
    pub losses: BTreeMap<String, u64>,
    /// How far a long import is, and what is in the way.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What lies here of another machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InheritedStatus {
    /// When it was found, RFC 3339.
    pub found: String,
    /// The GUID of that machine's agent.
    pub agent_id: Option<String>,
    /// Its records.
    pub records: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Where they are.
    pub folder: String,
}

impl InheritedStatus {
    pub(super) fn of(one: &Inheritance) -> Self {
        Self {
            found: one.found.clone(),
            agent_id: one.agent_id.clone(),
            records: one.records,
            bytes: one.bytes,
            folder: inherited::of_spool(one).display().to_string(),
        }
    }
}

impl Status {
    /// Returns whether every workspace takes records.
    pub fn well(&self) -> bool {
        self.workspaces.iter().all(|workspace| workspace.trouble.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_with_a_workspace_in_trouble_is_not_well() {
        let workspace = |trouble: Option<&str>| WorkspaceStatus {
            name: "main".to_owned(),
            transport: "logs-ingestion".to_owned(),
            queue_bytes: 0,
            queue_cap: 1,
            queue_records: 0,
            queue_oldest: None,
            delivered: 0,
            last_delivery: None,
            trouble: trouble.map(str::to_owned),
            losses: BTreeMap::new(),
        };
        let mut status = Status {
            version: "1".to_owned(),
            computer: "edge7".to_owned(),
            started: String::new(),
            gateway: String::new(),
            workspaces: vec![workspace(None)],
            sources: Vec::new(),
            inherited: Vec::new(),
        };
        assert!(status.well());
        status.workspaces.push(workspace(Some("407")));
        assert!(!status.well());
    }
}
