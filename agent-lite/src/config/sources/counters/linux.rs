//! The names of counters on Linux: a catalogue, so that every name is known.

use std::time::Duration;

use crate::config::settings::CounterSettings;
use crate::parse::proc::catalogue;
use crate::parse::proc::catalogue::Object;
use crate::parse::proc::catalogue::Selection;

/// Says what is wrong with these names.
pub(super) fn check(object: &str, counters: &[String], instances: &[String]) -> Result<(), String> {
    Selection::new(object, counters, instances).map(drop).map_err(|wrong| wrong.to_string())
}

/// Returns what is sampled when nothing is said.
pub(super) fn usual() -> Vec<CounterSettings> {
    let of = |(object, every): (Object, Duration)| CounterSettings {
        object: object.name().to_owned(),
        counters: vec!["*".to_owned()],
        instances: Vec::new(),
        every,
    };
    catalogue::defaults().into_iter().map(of).collect()
}
