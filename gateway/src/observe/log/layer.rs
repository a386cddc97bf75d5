//! The one way of every event of this process to its record, past the bound on repeats.

use std::cell::Cell;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

use tracing::Event;
use tracing::Level;
use tracing::Subscriber;
use tracing::callsite::Identifier;
use tracing::error;
use tracing::info;
use tracing::warn;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;
use super::entry::Kind as FieldKind;
use super::form::Form;
use super::queue::Queue;
use crate::ending::Ending;
use crate::events;
use crate::observe::repeats::Repeats;
use crate::observe::repeats::Suppressed;
use crate::observe::repeats::Throttle;
use crate::refusal;
use crate::refusal::Refusal;

/// Most subjects that are told apart; beyond it a kind of record is one subject.
const MOST_SUBJECTS: usize = 4096;
/// A buffer that had to be larger than this is given back.
const KEPT: usize = 64 * 1024;
/// Fields that differ from record to record of one subject.
const OF_ONE_RECORD: [&str; 3] = ["client", "request_id", "suppressed"];

/// What tells a repeated record: where in the program it is made, and what its text fields say.
pub(super) type Kind = (Identifier, u64);

/// What was written of late by this process, and how much was not.
static WRITTEN: Throttle<Kind, Sample> = Throttle::new();

/// What a record that was not written was about.
#[derive(Debug)]
pub(super) struct Sample {
    event_id: u64,
    level: Level,
    message: String,
}

/// Turns events into records, and hands them to the queue.
pub(super) struct Records {
    form: Form,
    out: Queue,
}

thread_local! {
    /// What the last record of this thread was made in.
    static SCRATCH: Cell<(Entry, Vec<u8>)> = Cell::default();
}

impl Records {
    pub(super) fn new(form: Form, out: Queue) -> Self {
        Self { form, out }
    }
}

impl<S: Subscriber> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A value that makes a record when it is shown finds an empty place.
        let (mut entry, mut bytes) = SCRATCH.take();
        entry.take(event);
        if pass(&WRITTEN, event.metadata().callsite(), &mut entry) {
            bytes.clear();
            self.form.write(&entry, &mut bytes);
            self.out.push(&bytes);
        }
        if bytes.capacity() <= KEPT {
            SCRATCH.set((entry, bytes));
        }
    }
}

/// Lets a record be written, with the number of those like it that were not. Access records have a bound
/// of their own, before they are made, and details of the libraries are asked for.
fn pass(written: &Throttle<Kind, Sample>, callsite: Identifier, entry: &mut Entry) -> bool {
    if entry.target == "access" || entry.level > Level::INFO {
        return true;
    }
    let event_id = entry.field("event_id").and_then(|id| id.parse().ok()).unwrap_or_default();
    if event_id == u64::from(events::REPEATS.0) {
        return true;
    }
    let kind = (callsite, if written.subjects() < MOST_SUBJECTS { subject(entry) } else { 0 });
    let sample = || Sample { event_id, level: entry.level, message: entry.message().to_owned() };
    let Some(suppressed) = written.pass(kind, sample) else { return false };
    if suppressed > 0 {
        entry.suppressed(suppressed);
    }
    true
}

/// Returns a hash of what a record says, its numbers and its client apart.
fn subject(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.message().hash(&mut hasher);
    for (name, kind, text) in entry.fields().filter(|(name, ..)| !OF_ONE_RECORD.contains(name)) {
        if kind != FieldKind::Plain {
            (name, text).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Tells, in one record a kind, how many were not written and not told yet; forgets those who were quiet.
/// The record has the level of those that it stands for, so that whoever reads them reads it.
pub(super) fn tell_repeats(repeats: &Repeats) {
    for (reason, suppressed) in repeats.sweep() {
        let text = "access records were not written: too many alike";
        match level_of(reason) {
            Level::ERROR => error!(event_id = events::REPEATS.0, reason, suppressed, "{text}"),
            Level::WARN => warn!(event_id = events::REPEATS.0, reason, suppressed, "{text}"),
            _ => info!(event_id = events::REPEATS.0, reason, suppressed, "{text}"),
        }
    }
    for Suppressed { count: suppressed, sample } in WRITTEN.sweep() {
        let Sample { event_id: of_event, level, message: like } = sample;
        let text = "records were not written: too many alike";
        match level {
            Level::ERROR => error!(event_id = events::REPEATS.0, of_event, like, suppressed, "{text}"),
            Level::WARN => warn!(event_id = events::REPEATS.0, of_event, like, suppressed, "{text}"),
            _ => info!(event_id = events::REPEATS.0, of_event, like, suppressed, "{text}"),
        }
    }
}

/// Returns the level of the access records of a reason; a visitor of the admin listener is a warning.
fn level_of(reason: &str) -> Level {
    let refusals = Refusal::every().map(|refusal| (refusal.row().reason, refusal.row().level));
    let endings = Ending::ALL.into_iter().map(|ending| (ending.row().reason, ending.row().level));
    match refusals.chain(endings).find(|(known, _)| *known == reason) {
        Some((_, refusal::Level::Error)) => Level::ERROR,
        Some((_, refusal::Level::Warn)) | None => Level::WARN,
        Some((_, refusal::Level::Info)) => Level::INFO,
    }
}

#[cfg(test)]
mod tests;
