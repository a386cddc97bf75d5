//! Metrics of the admission to set-ups.

use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounter;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use super::registered;
use crate::policy::class::Urgency;
use crate::policy::surge::Room;

/// The set-ups and those that wait for one.
pub struct Surge {
    in_progress: IntGauge,
    waiting: [(Urgency, IntGauge); Urgency::ALL.len()],
    waited: Histogram,
    abandoned: IntCounter,
}

impl Surge {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let waited = HistogramOpts::new(
            "la_gateway_setup_wait_seconds",
            "Time that set-ups had to wait for their turn; those that begin at once are not in it.",
        );
        let waiting = registered(
            registry,
            IntGaugeVec::new(
                Opts::new("la_gateway_setups_waiting", "Requests that wait for their set-up, by urgency."),
                &["urgency"],
            )?,
        )?;
        Ok(Self {
            in_progress: registered(
                registry,
                IntGauge::new(
                    "la_gateway_setups_in_progress",
                    "Tunnels that are being set up now: look-up, relay and connection.",
                )?,
            )?,
            waiting: Urgency::ALL.map(|urgency| (urgency, waiting.with_label_values(&[urgency.label()]))),
            waited: registered(registry, Histogram::with_opts(waited.buckets(buckets))?)?,
            abandoned: registered(
                registry,
                IntCounter::new(
                    "la_gateway_setups_abandoned_total",
                    "Clients that went away while they waited; they have no record.",
                )?,
            )?,
        })
    }

    /// Shows who is in and who waits.
    pub fn show(&self, room: &Room) {
        self.in_progress.set(i64::try_from(room.in_progress()).unwrap_or(i64::MAX));
        for (urgency, waiting) in &self.waiting {
            waiting.set(i64::try_from(room.waiting_of(*urgency)).unwrap_or(i64::MAX));
        }
    }

    /// Returns how many are in and how many wait.
    pub(super) fn now(&self) -> (u64, u64) {
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        (number(self.in_progress.get()), number(self.waiting.iter().map(|(_, waiting)| waiting.get()).sum()))
    }

    /// Counts a client that went away while it waited.
    pub fn abandoned(&self) {
        self.abandoned.inc();
    }

    /// Takes the time that somebody waited before its set-up began.
    pub fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }
}
