//! Sources that several workspaces have in common are one source that goes to all of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use agent_lite::parse::omsagent::sources::Counters;
use agent_lite::parse::omsagent::sources::TextLog;

use super::tree::SetUp;

/// A source with where it came from and which workspaces it goes to.
pub(super) struct Planned<T> {
    /// Its name in the configuration.
    pub(super) name: String,
    pub(super) places: Vec<String>,
    pub(super) workspaces: Vec<String>,
    pub(super) what: T,
}

/// A listener's address, and whether by TCP.
pub(super) type Address = (SocketAddr, bool);

/// All of them.
pub(super) struct Plan {
    pub(super) syslog: Vec<Planned<Address>>,
    pub(super) logs: Vec<Planned<TextLog>>,
    pub(super) counters: Vec<Planned<Vec<(String, Counters)>>>,
}

/// Joins what is the same.
pub(super) fn plan(set_up: &SetUp) -> Plan {
    let mut plan = Plan { syslog: Vec::new(), logs: Vec::new(), counters: Vec::new() };
    for workspace in &set_up.workspaces {
        let mut counters: Vec<(String, Counters)> = Vec::new();
        for (file, found) in &workspace.files {
            for listener in &found.listeners {
                let place = format!("{file}:{}", listener.line);
                join(&mut plan.syslog, (listener.address, listener.tcp), place, &workspace.name, |a, b| {
                    a == b
                });
            }
            for log in &found.logs {
                let same = |a: &TextLog, b: &TextLog| {
                    (&a.paths, &a.table, a.from_beginning) == (&b.paths, &b.table, b.from_beginning)
                };
                join(&mut plan.logs, log.clone(), format!("{file}:{}", log.line), &workspace.name, same);
            }
            counters.extend(found.counters.iter().map(|one| (format!("{file}:{}", one.line), one.clone())));
        }
        if !counters.is_empty() {
            join(&mut plan.counters, counters, String::new(), &workspace.name, |a, b| {
                meaning(a) == meaning(b)
            });
        }
    }
    name(&mut plan.syslog, |_| "local".to_owned());
    name(&mut plan.logs, |log| log.table.name().trim_end_matches("_CL").to_owned());
    name(&mut plan.counters, |_| "default".to_owned());
    plan
}

fn join<T>(
    all: &mut Vec<Planned<T>>,
    what: T,
    place: String,
    workspace: &str,
    is_same: impl Fn(&T, &T) -> bool,
) {
    let same = all.iter_mut().find(|known| is_same(&known.what, &what));
    match same {
        Some(known) => {
            known.places.push(place);
            if !known.workspaces.iter().any(|name| name == workspace) {
                known.workspaces.push(workspace.to_owned());
            }
        }
        None => {
            let workspaces = vec![workspace.to_owned()];
            all.push(Planned { name: String::new(), places: vec![place], workspaces, what });
        }
    }
}

/// What counters are without their places.
fn meaning(counters: &[(String, Counters)]) -> Vec<Counters> {
    counters.iter().map(|(_, one)| Counters { line: 0, ..one.clone() }).collect()
}

/// Gives each a name of its own.
fn name<T>(all: &mut [Planned<T>], usual: impl Fn(&T) -> String) {
    let mut taken = BTreeSet::new();
    for one in all {
        let usual: String = usual(&one.what).chars().take(48).collect();
        let mut name = usual.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{usual}-{number}");
            number += 1;
        }
        one.name = name;
    }
}
