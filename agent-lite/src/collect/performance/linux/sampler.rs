use std::path::PathBuf;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::super::SHORTEST;
use super::before::Before;
use super::disks;
use super::disks::Logical;
use super::processes::Processes;
use super::rows::Rows;
use super::system;
use super::tables::Buffer;
use super::tables::TableFile;
use crate::config::settings::PerformanceSettings;
use crate::events;
use crate::events::Event;
use crate::parse::proc::catalogue::Object;
use crate::parse::proc::catalogue::Selection;
use crate::parse::proc::disk::Done;
use crate::parse::proc::memory::Memory;
use crate::parse::proc::memory::Paging;
use crate::parse::proc::network;
use crate::parse::proc::processor;
use crate::parse::proc::processor::Ticks;
use crate::parse::proc::reading::Reading;
use crate::record::Frames;
use crate::record::Timestamp;

/// The one instance of the object `Memory`.
const MEMORY: &str = "Memory";

/// Where the kernel's folders are.
pub(super) struct Roots {
    /// `/proc`
    pub(super) proc: PathBuf,
    /// `/sys`
    pub(super) sys: PathBuf,
    /// `/run`
    pub(super) run: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), run: "/run".into() }
    }
}

/// The tables and the one buffer they are read into.
pub(super) struct Tables {
    pub(super) roots: Roots,
    pub(super) caption: String,
    pub(super) buffer: Buffer,
    pub(super) memory: TableFile,
    pub(super) uptime: TableFile,
    pub(super) mounts: TableFile,
    pub(super) disks: TableFile,
    processors: TableFile,
    paging: TableFile,
    network: TableFile,
}

/// All sets, and what their rates begin with.
pub(in super::super) struct Sampler {
    tables: Tables,
    sets: Vec<Set>,
}

struct Set {
    selection: Selection,
    every: Duration,
    state: State,
}

/// What a set keeps from one sampling to the next.
enum State {
    Processor(Before<Ticks>),
    Memory(Before<Paging>),
    LogicalDisk(Logical),
    PhysicalDisk(Before<Done>),
    Network,
    System,
    Process(Processes),
}

impl Sampler {
    /// Samples this machine.
    pub(in super::super) fn of_this_machine(settings: &PerformanceSettings, caption: String) -> Self {
        Self::new(settings, Roots::default(), caption)
    }

    /// Takes the sets whose names are known; the configuration has seen to it that all are.
    pub(super) fn new(settings: &PerformanceSettings, roots: Roots, caption: String) -> Self {
        let mut sets = Vec::new();
        for set in &settings.counters {
            match Selection::new(&set.object, &set.counters, &set.instances) {
                Ok(selection) => {
                    let state = State::new(selection.object());
                    sets.push(Set { selection, every: set.every.max(SHORTEST), state });
                }
                Err(error) => events::say(Event::SourceTrouble, "performance", error),
            }
        }
        Self { tables: Tables::new(roots, caption), sets }
    }

    /// Returns the interval of each set.
    pub(in super::super) fn intervals(&self) -> Vec<Duration> {
        self.sets.iter().map(|set| set.every).collect()
    }

    /// Reads what the first rates begin with, and makes no records.
    pub(in super::super) async fn begin(&mut self, now: Instant) {
        let all: Vec<usize> = (0..self.sets.len()).collect();
        self.sample(&all, now, Timestamp::default(), &mut Frames::default()).await;
    }

    /// Writes the records of the sets at these places and returns how many values were lost.
    pub(in super::super) async fn sample(
        &mut self,
        due: &[usize],
        now: Instant,
        time: Timestamp,
        frames: &mut Frames,
    ) -> u64 {
        let mut lost = 0;
        for at in due {
            let Some(set) = self.sets.get_mut(*at) else { continue };
            let mut rows = Rows::new(frames, time, &set.selection);
            set.state.sample(&mut self.tables, now, &mut rows).await;
            lost += rows.end();
            yield_now().await;
        }
        self.tables.buffer.shrink();
        lost
    }
}

impl State {
    fn new(object: Object) -> Self {
        match object {
            Object::Processor => Self::Processor(Before::none()),
            Object::Memory => Self::Memory(Before::none()),
            Object::LogicalDisk => Self::LogicalDisk(Logical::new()),
            Object::PhysicalDisk => Self::PhysicalDisk(Before::none()),
            Object::Network => Self::Network,
            Object::System => Self::System,
            Object::Process => Self::Process(Processes::new()),
        }
    }

    async fn sample(&mut self, tables: &mut Tables, now: Instant, rows: &mut Rows<'_>) {
        match self {
            Self::Processor(before) => tables.sample_processors(before, now, rows),
            Self::Memory(before) => tables.sample_memory(before, now, rows),
            Self::LogicalDisk(logical) => logical.sample(tables, now, rows),
            Self::PhysicalDisk(before) => disks::sample_physical(before, tables, now, rows),
            Self::Network => tables.sample_network(rows),
            Self::System => system::sample(tables, rows),
            Self::Process(processes) => processes.sample(tables, now, rows).await,
        }
    }
}

impl Tables {
    fn new(roots: Roots, caption: String) -> Self {
        let table = |name: &str| TableFile::new(roots.proc.join(name));
        Self {
            memory: table("meminfo"),
            uptime: table("uptime"),
            mounts: table("self/mountinfo"),
            disks: table("diskstats"),
            processors: table("stat"),
            paging: table("vmstat"),
            network: table("net/dev"),
            buffer: Buffer::new(),
            caption,
            roots,
        }
    }

    fn sample_processors(&mut self, before: &mut Before<Ticks>, now: Instant, rows: &mut Rows<'_>) {
        let Some(text) = self.processors.read(&mut self.buffer) else { return rows.lose(1) };
        for (name, ticks) in processor::processors(text) {
            let earlier = before.exchange(name, ticks);
            rows.add(name, &processor::readings(earlier.as_ref(), &ticks));
        }
        before.end(now);
    }

    fn sample_memory(&mut self, before: &mut Before<Paging>, now: Instant, rows: &mut Rows<'_>) {
        let paging = self.paging.read(&mut self.buffer).and_then(Paging::read);
        let rates = paging.map_or([Reading::Lost; 2], |paging| {
            let earlier = before.exchange(MEMORY, paging);
            let rates = paging.rates(earlier.as_ref(), before.seconds(now));
            before.end(now);
            rates
        });
        match self.memory.read(&mut self.buffer).and_then(Memory::read) {
            Some(memory) => rows.add(MEMORY, &memory.readings(rates)),
            None => rows.lose(1),
        }
    }

    fn sample_network(&mut self, rows: &mut Rows<'_>) {
        let Some(text) = self.network.read(&mut self.buffer) else { return rows.lose(1) };
        for (name, sums) in network::interfaces(text) {
            rows.add(name, &sums.readings());
        }
    }
}
