//! The one way of every event of this process to its record, past the bound on repeats.

use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::io::Write;

use tracing::Event;
use tracing::Level;
use tracing::Subscriber;
use tracing::callsite::Identifier;
use tracing::info;
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;
use super::entry::Form;
use crate::events;
use crate::observe::repeats::Repeats;
use crate::observe::repeats::Suppressed;
use crate::observe::repeats::Throttle;

/// Most subjects that are told apart; beyond it a kind of record is one subject.
const MOST_SUBJECTS: usize = 4096;
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
    message: String,
}

/// Turns events into records, and hands them to the queue.
pub(super) struct Records {
    form: Form,
    out: NonBlocking,
}

impl Records {
    pub(super) fn new(form: Form, out: NonBlocking) -> Self {
        Self { form, out }
    }
}

impl<S: Subscriber> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::of(event);
        if !pass(&WRITTEN, event.metadata().callsite(), &mut entry) {
            return;
        }
        // A queue that takes no more counts what it drops.
        let _ = self.out.clone().write_all(&entry.bytes(self.form));
    }
}

/// Lets a record be written, with the number of those like it that were not. Access records have a bound
/// of their own, before they are made, and details of the libraries are asked for.
fn pass(written: &Throttle<Kind, Sample>, callsite: Identifier, entry: &mut Entry) -> bool {
    let apart = entry.target == "access" || entry.level > Level::INFO;
    let event_id = entry.field("event_id").and_then(|id| id.parse().ok()).unwrap_or_default();
    if apart || event_id == u64::from(events::REPEATS.0) {
        return true;
    }
    let kind = (callsite, if written.subjects() < MOST_SUBJECTS { subject(entry) } else { 0 });
    let sample = || Sample { event_id, message: entry.message.clone() };
    let Some(suppressed) = written.pass(kind, sample) else { return false };
    if suppressed > 0 {
        entry.suppressed(suppressed);
    }
    true
}

/// Returns a hash of what a record says, its numbers and its client apart.
fn subject(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.message.hash(&mut hasher);
    for (name, value) in entry.fields.iter().filter(|(name, _)| !OF_ONE_RECORD.contains(name)) {
        if let super::entry::Value::String(text) | super::entry::Value::Shown(text) = value {
            (name, text).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Tells, in one record a kind, how many were not written and not told yet; forgets those who were quiet.
pub fn tell_suppressed(repeats: &Repeats) {
    let event_id = events::REPEATS.0;
    for (reason, count) in repeats.sweep() {
        info!(event_id, reason, suppressed = count, "access records were not written: too many alike");
    }
    for Suppressed { count, sample: Sample { event_id: of_event, message } } in WRITTEN.sweep() {
        info!(
            event_id,
            of_event,
            like = message,
            suppressed = count,
            "records were not written: too many alike"
        );
    }
}

#[cfg(test)]
mod tests;
