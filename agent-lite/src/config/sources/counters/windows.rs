//! The names of counters on Windows: whatever a provider has, by their English names. Whether one is there is found out
//! when it is sampled: a provider may be installed later.

use std::time::Duration;

use crate::config::settings::CounterSettings;
use crate::parse::counter_paths;

/// Says what is wrong with these names.
pub(super) fn check(object: &str, counters: &[String], instances: &[String]) -> Result<(), String> {
    counter_paths::check(object, counters, instances).map_err(|wrong| wrong.to_string())
}

/// Returns what is sampled when nothing is said.
pub(super) fn usual() -> Vec<CounterSettings> {
    let of = |(object, counters, seconds): &(&str, &[&str], u64)| CounterSettings {
        object: (*object).to_owned(),
        counters: counters.iter().map(|name| (*name).to_owned()).collect(),
        instances: Vec::new(),
        every: Duration::from_secs(*seconds),
    };
    counter_paths::USUAL.iter().map(of).collect()
}
