//! What is measured: the lines of the table, and the work behind each.

use clap::ValueEnum;

use super::job::Job;

/// Bytes of one upload of an agent, and how many it makes a minute: Microsoft's own sizing of a gateway.
pub(crate) const UPLOAD: u64 = 200_000;
pub(crate) const UPLOADS_A_MINUTE: f64 = 10.0;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Tunnels used once and closed
    SetUp,
    /// Many bytes through 64 tunnels
    Bulk,
    /// Many bytes through one tunnel
    Single,
    /// Small messages over 100 tunnels
    Message,
    /// Memory of tunnels with nothing to do
    Memory,
    /// A fleet of agents
    Agents,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    SetUp,
    Bulk { tunnels: usize, way: Way },
    Message,
    Memory,
    Agents { kept: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Seconds of each measurement.
    pub seconds: f64,
    /// Idle tunnels.
    pub tunnels: usize,
}

/// What is looked at after the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub count: u64,
    pub bytes: u64,
    /// Seconds of processor time.
    pub processor: f64,
    /// Bytes that were not there before.
    pub memory: f64,
}

impl Group {
    pub(crate) fn scenarios(self) -> Vec<Scenario> {
        let bulk = |tunnels| [Way::Up, Way::Down].map(|way| Scenario::Bulk { tunnels, way }).to_vec();
        match self {
            Self::SetUp => vec![Scenario::SetUp],
            Self::Bulk => bulk(64),
            Self::Single => bulk(1),
            Self::Message => vec![Scenario::Message],
            Self::Memory => vec![Scenario::Memory],
            Self::Agents => [true, false].map(|kept| Scenario::Agents { kept }).to_vec(),
        }
    }
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        let way = |way| if way == Way::Up { "up" } else { "down" };
        match self {
            Self::SetUp => "CPU per tunnel, used once and closed".to_owned(),
            Self::Bulk { tunnels: 1, way: to } => format!("CPU per GB, one tunnel, {}", way(to)),
            Self::Bulk { tunnels, way: to } => format!("CPU per GB, {tunnels} tunnels, {}", way(to)),
            Self::Message => "CPU per 256-byte ping-pong, 100 tunnels".to_owned(),
            Self::Memory => "memory per idle tunnel (PSS)".to_owned(),
            Self::Agents { kept: true } => "CPU per 1,000 agent-minutes, kept tunnels".to_owned(),
            Self::Agents { kept: false } => "CPU per 1,000 agent-minutes, fresh tunnels".to_owned(),
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::SetUp | Self::Message => "µs",
            Self::Bulk { .. } | Self::Agents { .. } => "s",
            Self::Memory => "KiB",
        }
    }

    pub(crate) fn job(self, size: Size) -> Job {
        const MIB: u64 = 1 << 20;
        let Size { seconds, tunnels: idle } = size;
        match self {
            Self::SetUp => Job::SetUps { at_once: 32, seconds },
            Self::Bulk { tunnels, way } => {
                let bytes = if tunnels == 1 { 64 * MIB } else { 8 * MIB };
                let (up, down) = if way == Way::Up { (bytes, 8) } else { (16, bytes as u32) };
                Job::Exchanges { tunnels, up, down, seconds }
            }
            Self::Message => Job::Exchanges { tunnels: 100, up: 256, down: 256, seconds },
            Self::Memory => Job::Hold { tunnels: idle },
            Self::Agents { kept } => {
                let kept = kept.then_some(500);
                Job::Uploads { kept, bytes: UPLOAD, per_second: 500.0, seconds }
            }
        }
    }

    /// Returns the figure, in the unit.
    pub(crate) fn figure(self, sample: Sample) -> f64 {
        let each = |what: f64| what / sample.count.max(1) as f64;
        match self {
            Self::SetUp | Self::Message => each(sample.processor * 1e6),
            Self::Bulk { .. } => sample.processor / (sample.bytes.max(1) as f64 / 1e9),
            Self::Memory => each(sample.memory / 1024.0),
            Self::Agents { .. } => each(sample.processor) * UPLOADS_A_MINUTE * 1000.0,
        }
    }
}
