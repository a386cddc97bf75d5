//! What the agent says about itself when it is asked.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::events::OneLine;

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
}

impl Status {
    /// Returns whether every workspace takes records.
    pub fn well(&self) -> bool {
        self.workspaces.iter().all(|workspace| workspace.trouble.is_none())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "agent-lite {} on {}, started {}", self.version, self.computer, self.started)?;
        writeln!(f, "gateway    {}", self.gateway)?;
        for workspace in &self.workspaces {
            workspace.fmt(f)?;
        }
        for source in &self.sources {
            writeln!(f, "source     {}: {} records{}", source.name, source.collected, Lost(&source.losses))?;
        }
        Ok(())
    }
}

impl fmt::Display for WorkspaceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = bytesize::ByteSize::b;
        write!(f, "workspace  {} ({}): {} delivered", self.name, self.transport, self.delivered)?;
        if let Some(last) = &self.last_delivery {
            write!(f, ", the last {last}")?;
        }
        write!(f, "; {} wait, {} of {}", self.queue_records, size(self.queue_bytes), size(self.queue_cap))?;
        if let Some(oldest) = &self.queue_oldest {
            write!(f, ", the oldest {oldest}")?;
        }
        writeln!(f, "{}", Lost(&self.losses))?;
        match &self.trouble {
            Some(trouble) => writeln!(f, "           {}", OneLine(trouble)),
            None => Ok(()),
        }
    }
}

struct Lost<'a>(&'a BTreeMap<String, u64>);

impl fmt::Display for Lost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, count)) in self.0.iter().enumerate() {
            write!(f, "{} {kind} {count}", if at == 0 { "; losses:" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_waits_and_why() {
        let status = Status {
            version: "1".to_owned(),
            computer: "edge7".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            gateway: "http://agent@gateway:8080".to_owned(),
            workspaces: vec![WorkspaceStatus {
                name: "main".to_owned(),
                transport: "logs-ingestion".to_owned(),
                queue_bytes: 2048,
                queue_cap: 1 << 30,
                queue_records: 7,
                queue_oldest: Some("2026-01-01T00:00:00Z".to_owned()),
                delivered: 3,
                last_delivery: None,
                trouble: Some("the gateway answers 407".to_owned()),
                losses: [("dropped".to_owned(), 5)].into(),
            }],
            sources: vec![SourceStatus {
                name: "syslog.local".to_owned(),
                collected: 10,
                losses: BTreeMap::new(),
            }],
        };
        assert_eq!(
            status.to_string(),
            "agent-lite 1 on edge7, started 2026-01-01T00:00:00Z\n\
             gateway    http://agent@gateway:8080\n\
             workspace  main (logs-ingestion): 3 delivered; 7 wait, 2.0 KiB of 1.0 GiB, the oldest 2026-01-01T00:00:00Z; losses: dropped 5\n\
             \u{20}          the gateway answers 407\n\
             source     syslog.local: 10 records\n"
        );
        assert!(!status.well());
    }
}
