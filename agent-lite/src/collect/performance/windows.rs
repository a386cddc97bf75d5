//! Counters of Windows, from its Performance Data Helper (PDH), by their English names.
//!
//! Every set of counters is a query of its own, collected on a thread for what waits: a provider may take long. A
//! counter that is not there is said once and tried again later; the others are sampled meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_lite_windows::counters::Counter;
use agent_lite_windows::counters::PdhError;
use agent_lite_windows::counters::Query;
use tokio::task;
use tokio::time::Instant;

use super::SHORTEST;
use crate::config::settings::CounterSettings;
use crate::config::settings::PerformanceSettings;
use crate::events;
use crate::events::Event;
use crate::parse::counter_paths;
use crate::parse::counter_paths::CounterPath;
use crate::parse::counter_paths::Instances;
use crate::record::Column;
use crate::record::Frames;
use crate::record::Timestamp;

/// Most instances of one counter at one sampling.
const MOST_INSTANCES: usize = 1024;
/// Samplings after which a counter that is not there is looked for again.
const AGAIN: u32 = 10;

/// All sets.
pub(super) struct Sampler {
    sets: Vec<Option<Set>>,
    intervals: Vec<Duration>,
}

/// Some counters of one object, and the query they are in.
struct Set {
    object: String,
    query: Option<Query>,
    counters: Vec<(CounterPath, Option<Counter>)>,
    samplings: u32,
    troubles: BTreeSet<String>,
}

/// What one sampling gave.
#[derive(Default)]
struct Sampled {
    rows: Vec<Row>,
    lost: u64,
}

struct Row {
    counter: String,
    instance: Option<String>,
    value: f64,
}

impl Sampler {
    /// Samples this machine.
    pub(super) fn of_this_machine(settings: &PerformanceSettings, _caption: String) -> Self {
        let sets = settings.counters.iter().map(|set| Some(Set::new(set))).collect();
        let intervals = settings.counters.iter().map(|set| set.every.max(SHORTEST)).collect();
        Self { sets, intervals }
    }

    /// Returns the interval of each set.
    pub(super) fn intervals(&self) -> Vec<Duration> {
        self.intervals.clone()
    }

    /// Reads what the first rates begin with, and makes no records.
    pub(super) async fn begin(&mut self, now: Instant) {
        let all: Vec<usize> = (0..self.sets.len()).collect();
        self.sample(&all, now, Timestamp::default(), &mut Frames::default()).await;
    }

    /// Writes the records of the sets at these places and returns how many values were lost.
    pub(super) async fn sample(
        &mut self,
        due: &[usize],
        _now: Instant,
        time: Timestamp,
        frames: &mut Frames,
    ) -> u64 {
        let mut lost = 0;
        for at in due {
            let Some(place) = self.sets.get_mut(*at) else { continue };
            let Some(mut set) = place.take() else { continue };
            let sampled = task::spawn_blocking(move || {
                let sampled = set.sample();
                (set, sampled)
            });
            // A set whose sampling broke off is not sampled any more: PDH may be in any state.
            let Ok((set, sampled)) = sampled.await else {
                say("a set of counters broke off and is left out: restart the agent");
                continue;
            };
            lost += sampled.lost;
            sampled.rows.iter().for_each(|row| row.write(&set.object, time, frames));
            *place = Some(set);
        }
        lost
    }
}

impl Set {
    fn new(settings: &CounterSettings) -> Self {
        let paths = counter_paths::paths(&settings.object, &settings.counters, &settings.instances);
        let counters = paths.inspect_err(say_of).unwrap_or_default();
        Self {
            object: settings.object.clone(),
            query: None,
            counters: counters.into_iter().map(|path| (path, None)).collect(),
            samplings: 0,
            troubles: BTreeSet::new(),
        }
    }

    fn sample(&mut self) -> Sampled {
        let mut sampled = Sampled::default();
        let Some(mut query) = self.open() else {
            sampled.lost = self.counters.len() as u64;
            return sampled;
        };
        if self.samplings.is_multiple_of(AGAIN) {
            self.add(&mut query);
        }
        self.samplings = self.samplings.wrapping_add(1);
        let collected = query.collect();
        for (path, counter) in &self.counters {
            let read = match (counter, collected) {
                (Some(counter), Ok(())) => path.read(&mut query, *counter, &mut sampled.rows),
                _ => Err(NOTHING),
            };
            // The first reading has no rates yet.
            sampled.lost += u64::from(read.is_err() && self.samplings > 1);
        }
        if let Err(error) = collected
            && self.counters.iter().any(|(_, counter)| counter.is_some())
        {
            self.trouble(format!("{}: {error}", self.object));
        }
        self.query = Some(query);
        sampled
    }

    fn open(&mut self) -> Option<Query> {
        match self.query.take().map_or_else(Query::open, Ok) {
            Ok(query) => Some(query),
            Err(error) => {
                self.trouble(format!("{}: {error}", self.object));
                None
            }
        }
    }

    /// Adds the counters that are not there yet.
    fn add(&mut self, query: &mut Query) {
        let mut troubles = Vec::new();
        for (path, counter) in self.counters.iter_mut().filter(|(_, counter)| counter.is_none()) {
            match query.add(&path.path) {
                Ok(added) => *counter = Some(added),
                Err(error) => troubles.push(format!("{}: {error}; it is looked for again", path.path)),
            }
        }
        troubles.into_iter().for_each(|trouble| self.trouble(trouble));
    }

    /// Says a trouble that was not said before.
    fn trouble(&mut self, text: String) {
        if !self.troubles.contains(&text) {
            say(&text);
            self.troubles.insert(text);
        }
    }
}

/// No value, whatever the reason.
const NOTHING: PdhError = PdhError(0x8000_07D5);

impl CounterPath {
    fn read(&self, query: &mut Query, counter: Counter, rows: &mut Vec<Row>) -> Result<(), PdhError> {
        let row = |instance: Option<String>, value| Row { counter: self.counter.clone(), instance, value };
        match &self.instances {
            Instances::None => rows.push(row(None, query.value(counter)?)),
            Instances::One(name) => rows.push(row(Some(name.clone()), query.value(counter)?)),
            Instances::Many(_) => {
                let values = query.values(counter)?;
                let wanted = values.into_iter().filter(|(name, _)| self.instances.has(name));
                rows.extend(wanted.take(MOST_INSTANCES).map(|(name, value)| row(Some(name), value)));
            }
        }
        Ok(())
    }
}

impl Row {
    fn write(&self, object: &str, time: Timestamp, frames: &mut Frames) {
        if !self.value.is_finite() {
            return;
        }
        frames
            .begin(time)
            .text(Column::ObjectName, object)
            .text_if(Column::InstanceName, self.instance.as_deref())
            .text(Column::CounterName, &self.counter)
            .real(Column::CounterValue, self.value)
            .finish();
    }
}

fn say_of(error: &counter_paths::WrongName) {
    say(&error.to_string());
}

fn say(text: &str) {
    events::say(Event::SourceTrouble, "performance", text);
}
