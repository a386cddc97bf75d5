//! The counters by their names in the table `Perf` (facts of the Log Analytics agent for Linux, 8.3).

use std::time::Duration;

/// A performance object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// Instances are processors and `_Total`.
    Processor,
    /// The one instance is `Memory`.
    Memory,
    /// Instances are mount points and `_Total`.
    LogicalDisk,
    /// Instances are whole disks.
    PhysicalDisk,
    /// Instances are interfaces.
    Network,
    /// The one instance is the system's name.
    System,
    /// Instances are names of processes.
    Process,
}

impl Object {
    /// Every object.
    pub const ALL: [Self; 7] = [
        Self::Processor,
        Self::Memory,
        Self::LogicalDisk,
        Self::PhysicalDisk,
        Self::Network,
        Self::System,
        Self::Process,
    ];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processor => "Processor",
            Self::Memory => "Memory",
            Self::LogicalDisk => "Logical Disk",
            Self::PhysicalDisk => "Physical Disk",
            Self::Network => "Network",
            Self::System => "System",
            Self::Process => "Process",
        }
    }

    /// Returns the names of its counters.
    pub fn counters(self) -> &'static [&'static str] {
        match self {
            Self::Processor => &[
                "% Processor Time",
                "% Idle Time",
                "% User Time",
                "% Nice Time",
                "% Privileged Time",
                "% IO Wait Time",
                "% Interrupt Time",
                "% DPC Time",
            ],
            Self::Memory => &[
                "Available MBytes Memory",
                "% Available Memory",
                "Used Memory MBytes",
                "% Used Memory",
                "Pages/sec",
                "Page Reads/sec",
                "Page Writes/sec",
                "Available MBytes Swap",
                "% Available Swap Space",
                "Used MBytes Swap Space",
                "% Used Swap Space",
            ],
            Self::LogicalDisk => &[
                "% Free Inodes",
                "% Used Inodes",
                "Free Megabytes",
                "% Free Space",
                "% Used Space",
                "Logical Disk Bytes/sec",
                "Disk Read Bytes/sec",
                "Disk Write Bytes/sec",
                "Disk Transfers/sec",
                "Disk Reads/sec",
                "Disk Writes/sec",
            ],
            Self::PhysicalDisk => &[
                "Physical Disk Bytes/sec",
                "Avg. Disk sec/Transfer",
                "Avg. Disk sec/Read",
                "Avg. Disk sec/Write",
            ],
            Self::Network => &[
                "Total Bytes Transmitted",
                "Total Bytes Received",
                "Total Bytes",
                "Total Packets Transmitted",
                "Total Packets Received",
                "Total Rx Errors",
                "Total Tx Errors",
                "Total Collisions",
            ],
            Self::System => &[
                "Processes",
                "Users",
                "Uptime",
                "Free Virtual Memory",
                "Free Physical Memory",
                "Size Stored In Paging Files",
                "Free Space in Paging Files",
            ],
            Self::Process => {
                &["Pct User Time", "Pct Privileged Time", "Used Memory kBytes", "Virtual Shared Memory"]
            }
        }
    }

    /// Returns how often it is sampled where nothing is configured; none: it is not. These four are what the
    /// legacy agent's documentation recommends; the others are many rows, and rows cost money.
    pub fn default_interval(self) -> Option<Duration> {
        match self {
            Self::Processor | Self::Memory => Some(Duration::from_secs(30)),
            Self::LogicalDisk | Self::PhysicalDisk => Some(Duration::from_secs(300)),
            Self::Network | Self::System | Self::Process => None,
        }
    }
}

/// Some counters and instances of one object. That it exists says that their names are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    object: Object,
    counters: u16,
    instances: Vec<String>,
}

/// A name that no object or counter has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownName {
    /// Of an object.
    #[error("`{0}` is no performance object: write {list}", list = names(Object::ALL.iter().map(|known| known.name())))]
    Object(String),
    /// Of a counter.
    #[error("`{1}` is no counter of {object}: write `*` or {list}", object = .0.name(), list = names(.0.counters().iter().copied()))]
    Counter(Object, String),
    /// No counters at all.
    #[error("{object} has no counters here: write `*` or {list}", object = .0.name(), list = names(.0.counters().iter().copied()))]
    NoCounters(Object),
}

impl Selection {
    /// Looks names up. Upper and lower case are the same but in instances, which are paths, too; `*` stands for
    /// any text; no instances are all.
    pub fn new(object: &str, counters: &[String], instances: &[String]) -> Result<Self, UnknownName> {
        let found = Object::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(object));
        let object = found.ok_or_else(|| UnknownName::Object(object.to_owned()))?;
        let mut chosen = 0;
        for pattern in counters {
            let lower = pattern.to_ascii_lowercase();
            let is_meant = |name: &str| matches(&lower, &name.to_ascii_lowercase());
            let known = object.counters().iter().enumerate();
            let meant = known.fold(0, |sum, (at, name)| sum | u16::from(is_meant(name)) << at);
            if meant == 0 {
                return Err(UnknownName::Counter(object, pattern.clone()));
            }
            chosen |= meant;
        }
        match chosen {
            0 => Err(UnknownName::NoCounters(object)),
            counters => Ok(Self { object, counters, instances: instances.to_vec() }),
        }
    }

    /// Returns the object.
    pub fn object(&self) -> Object {
        self.object
    }

    /// Returns whether the counter at this place of [`Object::counters`] is chosen.
    pub fn has_counter(&self, at: usize) -> bool {
        self.counters.checked_shr(at as u32).is_some_and(|rest| rest & 1 == 1)
    }

    /// Returns whether an instance is chosen.
    pub fn has_instance(&self, name: &str) -> bool {
        self.instances.is_empty() || self.instances.iter().any(|pattern| matches(pattern, name))
    }
}

/// Returns what is sampled where nothing is configured: all counters and instances of some objects.
pub fn defaults() -> Vec<(Object, Duration)> {
    Object::ALL.into_iter().filter_map(|object| Some((object, object.default_interval()?))).collect()
}

/// Returns whether a text fits a pattern in which `*` is any text. The time is bounded by the product of both
/// lengths.
pub(in crate::parse) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*');
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        let Some((_, behind)) = text.split_once(part) else { return false };
        text = behind;
    }
    text.ends_with(last)
}

fn names<'a>(known: impl Iterator<Item = &'a str>) -> String {
    known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
