use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most characters of a custom table's name, `_CL` apart (HTTP Data Collector API, `Log-Type`).
const LONGEST_NAME: usize = 100;

/// A table of a Log Analytics workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Syslog messages.
    Syslog,
    /// Performance counters.
    Perf,
    /// One row a minute says that the agent lives.
    Heartbeat,
    /// Events of Windows' event logs.
    Event,
    /// Losses, truncations, restarts.
    Operation,
    /// Requests to web sites, as IIS writes them down.
    W3cIisLog,
    /// A custom table: its whole name, `…_CL`.
    Custom(Arc<str>),
}

/// Text that names no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no table: write Syslog, Perf, Event, Heartbeat, Operation, W3CIISLog, or a custom name of letters, digits and `_` that ends in `_CL`"
)]
pub struct TableError(String);

impl Table {
    /// Returns the name in the workspace.
    pub fn name(&self) -> &str {
        match self {
            Self::Syslog => "Syslog",
            Self::Perf => "Perf",
            Self::Event => "Event",
            Self::Heartbeat => "Heartbeat",
            Self::Operation => "Operation",
            Self::W3cIisLog => "W3CIISLog",
            Self::Custom(name) => name,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Table {
    type Err = TableError;

    fn from_str(text: &str) -> Result<Self, TableError> {
        for known in
            [Self::Syslog, Self::Perf, Self::Event, Self::Heartbeat, Self::Operation, Self::W3cIisLog]
        {
            if known.name() == text {
                return Ok(known);
            }
        }
        let stem = text.strip_suffix("_CL").unwrap_or_default();
        let plain = stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match stem.bytes().next() {
            Some(first) if first.is_ascii_alphabetic() && plain && stem.len() <= LONGEST_NAME => {
                Ok(Self::Custom(text.into()))
            }
            _ => Err(TableError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back_from_its_own_name_and_nothing_else_is_one() {
        for name in ["Syslog", "Perf", "Event", "Heartbeat", "Operation", "W3CIISLog", "App_1_CL", "a_CL"] {
            assert_eq!(name.parse::<Table>().map(|table| table.to_string()), Ok(name.to_owned()));
        }
        let long = format!("{}_CL", "a".repeat(101));
        for wrong in ["", "_CL", "App", "1App_CL", "../App_CL", "A-b_CL", "syslog", "Ä_CL", long.as_str()] {
            assert!(wrong.parse::<Table>().is_err(), "{wrong}");
        }
    }
}
