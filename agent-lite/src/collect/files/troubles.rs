//! What cannot be read: said and counted when it begins, not while it lasts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::counters::Loss;
use crate::counters::Losses;
use crate::events::Event;
use crate::events::say;

/// Most troubles that are remembered; more are counted only.
const MOST: usize = 1000;

/// The troubles of one source that last.
#[derive(Debug, Default)]
pub(in crate::collect) struct Troubles {
    /// Found by looking at folders.
    seen: BTreeSet<String>,
    /// Met in reading.
    met: BTreeSet<String>,
}

impl Troubles {
    /// Takes everything that the last look found.
    pub(in crate::collect) fn look(
        &mut self,
        source: &str,
        losses: &Losses,
        found: BTreeMap<String, String>,
    ) {
        self.seen.retain(|path| found.contains_key(path));
        for (path, why) in found {
            if !self.seen.contains(&path) {
                losses.add(Loss::Unreadable, 1);
                say(Event::SourceTrouble, source, format_args!("{path}: {why}"));
                self.seen.insert(path);
            }
        }
    }

    /// Takes one that was met.
    pub(in crate::collect) fn meet(
        &mut self,
        source: &str,
        losses: &Losses,
        path: &str,
        why: impl std::fmt::Display,
    ) {
        if self.met.contains(path) {
            return;
        }
        losses.add(Loss::Unreadable, 1);
        if self.met.len() < MOST {
            say(Event::SourceTrouble, source, format_args!("{path}: {why}"));
            self.met.insert(path.to_owned());
        }
    }

    /// Takes one back.
    pub(in crate::collect) fn well(&mut self, path: &str) {
        if !self.met.is_empty() {
            self.met.remove(path);
        }
    }
}
