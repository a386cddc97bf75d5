//! What the agent counts: one registry, and a tally for each source and each workspace.
//!
//! Everything that is lost, cut or doubtful is a [`Loss`]. Whoever loses something adds it to the tally of
//! its place; the Operation records and the metrics are both made from there, so no loss can go unreported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use prometheus::Encoder;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

macro_rules! losses {
    ($($name:ident $label:literal $text:literal),* $(,)?) => {
        /// One way to lose something. The sentence is the operator's: it completes "N …".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Loss { $(#[doc = $text] $name,)* }

        impl Loss {
            /// Every way.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the label of the metric.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Returns the sentence for the operator, without the number at its beginning.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

losses! {
    // at a source
    Cut "cut" "records with a text that was longer than 64 KiB and was cut",
    Unparsed "unparsed" "syslog messages, log lines and events that are not as their format says, kept whole as they came",
    InvalidText "invalid_text" "records with bytes that are no valid text, replaced by U+FFFD",
    Refused "refused" "records lost because a queue was full or could not be written and the source cannot wait",
    Overflowed "overflowed" "datagrams lost in the socket's buffer before they were read",
    Connections "connections" "connections refused because too many were open",
    Unread "unread" "files that vanished or were truncated before they were read to their end",
    Unreadable "unreadable" "attempts to read a file, folder or channel that failed",
    Damaged "damaged" "damaged pieces of event log files that were passed over",
    Missed "missed" "events that were gone from their log before they were read",
    Unsampled "unsampled" "performance counters that could not be read",
    // at a workspace
    Dropped "dropped" "records dropped from the queue because it was full, the oldest first",
    Rejected "rejected" "records that the service refused and that were set aside",
    Corrupt "corrupt" "pieces of the queue that were damaged and were set aside",
    Torn "torn" "unfinished records cut from the end of the queue after a crash",
    Unsent "unsent" "records of a table that this workspace's transport has no place for",
    Shortened "shortened" "fields cut to what the service takes",
    Unsynced "unsynced" "times the disk did not confirm what the queue wrote to it",
}

/// The registry and its families. Cheap to clone.
#[derive(Clone)]
pub struct Counters {
    registry: Registry,
    losses: IntCounterVec,
    collected: IntCounterVec,
    delivered: IntCounterVec,
    requests: IntCounterVec,
    body_bytes: IntCounterVec,
    queue: IntGaugeVec,
    gateway_connections: IntCounterVec,
    inherited: IntGaugeVec,
    tallies: Arc<Mutex<Vec<(String, Losses)>>>,
    notes: Arc<Mutex<BTreeMap<String, Notes>>>,
}

/// The losses of one place.
#[derive(Clone)]
pub struct Losses(Arc<[IntCounter]>);

impl Losses {
    /// Counts a loss.
    pub fn add(&self, loss: Loss, count: u64) {
        if let Some(counter) = self.0.get(loss as usize) {
            counter.inc_by(count);
        }
    }

    /// Returns the count so far.
    pub fn count(&self, loss: Loss) -> u64 {
        self.0.get(loss as usize).map_or(0, IntCounter::get)
    }
}

/// What a source says of itself beside numbers, by what it is about: how far a long import is, what is in the way.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

/// Most notes of one source; more are left out.
const MOST_NOTES: usize = 64;

impl Notes {
    /// Says something about one thing, in the place of what was said about it before.
    pub fn say(&self, about: &str, text: impl Into<String>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MOST_NOTES || notes.contains_key(about) {
            notes.insert(about.to_owned(), text.into());
        }
    }

    /// Takes back what was said about one thing.
    pub fn take_back(&self, about: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(about);
    }

    /// Takes everything back.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns what is said now.
    pub fn all(&self) -> Vec<String> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().map(|(about, text)| format!("{about}: {text}")).collect()
    }
}

/// What one source counts.
#[derive(Clone)]
pub struct SourceTally {
    /// What it says beside.
    pub notes: Notes,
    /// Records that the source made.
    pub collected: IntCounter,
    /// Its losses.
    pub losses: Losses,
}

/// What one workspace counts.
#[derive(Clone)]
pub struct WorkspaceTally {
    /// Records the service has taken.
    pub delivered: IntCounter,
    /// Bytes of the bodies of these requests, compressed.
    pub body_bytes: IntCounter,
    /// Bytes in the queue, on the disk.
    pub queue_bytes: IntGauge,
    /// Records in the queue.
    pub queue_records: IntGauge,
    /// Its losses.
    pub losses: Losses,
    name: Arc<str>,
    requests: IntCounterVec,
}

impl WorkspaceTally {
    /// Counts a request by its outcome, a word from a closed set (`delivered`, `throttled`, …).
    pub fn request(&self, outcome: &'static str) {
        self.requests.with_label_values(&[&*self.name, outcome]).inc();
    }
}

impl Counters {
    /// Makes an empty registry.
    pub fn new() -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric")
        };
        let counters = Self {
            registry: Registry::new(),
            losses: counter("agent_lite_losses_total", "What was lost, cut or doubtful.", &["place", "kind"]),
            collected: counter("agent_lite_collected_records_total", "Records collected.", &["source"]),
            delivered: counter(
                "agent_lite_delivered_records_total",
                "Records the service has taken.",
                &["workspace"],
            ),
            requests: counter("agent_lite_requests_total", "Requests by outcome.", &["workspace", "outcome"]),
            body_bytes: counter(
                "agent_lite_body_bytes_total",
                "Bytes of delivered bodies, compressed.",
                &["workspace"],
            ),
            queue: IntGaugeVec::new(
                Opts::new("agent_lite_queue", "The queue on the disk."),
                &["workspace", "unit"],
            )
            .expect("a valid metric"),
            gateway_connections: counter(
                "agent_lite_gateway_connections_total",
                "Connections opened to a gateway, by its place in the list and outcome.",
                &["gateway", "outcome"],
            ),
            inherited: IntGaugeVec::new(
                Opts::new(
                    "agent_lite_inherited",
                    "What a clone does not send of the machine it was made of.",
                ),
                &["unit"],
            )
            .expect("a valid metric"),
            tallies: Arc::default(),
            notes: Arc::default(),
        };
        let families: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(counters.losses.clone()),
            Box::new(counters.collected.clone()),
            Box::new(counters.delivered.clone()),
            Box::new(counters.requests.clone()),
            Box::new(counters.body_bytes.clone()),
            Box::new(counters.queue.clone()),
            Box::new(counters.gateway_connections.clone()),
            Box::new(counters.inherited.clone()),
        ];
        for family in families {
            counters.registry.register(family).expect("a family is registered once");
        }
        counters
    }

    /// Returns the tally of a source, the same one for the same name.
    pub fn source(&self, name: &str) -> SourceTally {
        SourceTally {
            collected: self.collected.with_label_values(&[name]),
            losses: self.losses_of(&format!("source {name}")),
            notes: self
                .notes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(name.to_owned())
                .or_default()
                .clone(),
        }
    }

    /// Returns the tally of a workspace, the same one for the same name.
    pub fn workspace(&self, name: &str) -> WorkspaceTally {
        WorkspaceTally {
            delivered: self.delivered.with_label_values(&[name]),
            body_bytes: self.body_bytes.with_label_values(&[name]),
            queue_bytes: self.queue.with_label_values(&[name, "bytes"]),
            queue_records: self.queue.with_label_values(&[name, "records"]),
            losses: self.losses_of(&format!("workspace {name}")),
            name: name.into(),
            requests: self.requests.clone(),
        }
    }

    /// Counts a connection to the gateway at this place of the list.
    pub fn gateway_connection(&self, place: usize, outcome: &'static str) {
        self.gateway_connections.with_label_values(&[&place.to_string(), outcome]).inc();
    }

    /// Notes what lies here of other machines.
    pub fn inherited(&self, records: u64, bytes: u64) {
        for (unit, count) in [("records", records), ("bytes", bytes)] {
            self.inherited.with_label_values(&[unit]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Returns every loss that happened: place, kind, count.
    pub fn losses(&self) -> Vec<(String, Loss, u64)> {
        let tallies = self.tallies.lock().expect("no panic under the lock");
        let of_place = |(place, losses): &(String, Losses)| {
            let counted: Vec<_> = Loss::ALL
                .iter()
                .map(|&loss| (place.clone(), loss, losses.count(loss)))
                .filter(|(_, _, count)| *count > 0)
                .collect();
            counted
        };
        tallies.iter().flat_map(of_place).collect()
    }

    /// Returns everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        debug_assert!(encoded.is_ok());
        String::from_utf8_lossy(&text).into_owned()
    }

    fn losses_of(&self, place: &str) -> Losses {
        let mut tallies = self.tallies.lock().expect("no panic under the lock");
        if let Some((_, losses)) = tallies.iter().find(|(known, _)| known == place) {
            return losses.clone();
        }
        let counter = |loss: &Loss| self.losses.with_label_values(&[place, loss.label()]);
        let losses = Losses(Loss::ALL.iter().map(counter).collect());
        tallies.push((place.to_owned(), losses.clone()));
        losses
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_seen_in_the_snapshot_and_in_the_metrics() {
        let counters = Counters::new();
        counters.source("syslog").losses.add(Loss::Refused, 3);
        counters.source("syslog").losses.add(Loss::Refused, 1);
        assert_eq!(counters.losses(), [("source syslog".to_owned(), Loss::Refused, 4)]);
        assert!(
            counters.text().contains("agent_lite_losses_total{kind=\"refused\",place=\"source syslog\"} 4")
        );
    }
}
