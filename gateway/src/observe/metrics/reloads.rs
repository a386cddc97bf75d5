//! Metrics of reloads.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

use super::registered;

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadResult {
    /// Another configuration is in force.
    Applied,
    /// There was nothing to change.
    Unchanged,
    /// The configuration is wrong; the one before stays in force.
    Refused,
}

impl ReloadResult {
    pub(super) const ALL: [Self; 3] = [Self::Applied, Self::Unchanged, Self::Refused];

    /// Returns the value of `outcome` in metrics and records.
    pub fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// Whether what is written is what is in force.
pub(super) struct Reloads {
    success: IntGauge,
    last_success: IntGauge,
    reloads: IntCounterVec,
    waiting: IntGauge,
}

impl Reloads {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        let reloads = Opts::new("la_gateway_reloads_total", "Reloads by outcome.");
        let made = Self {
            success: gauge(
                "la_gateway_reload_success",
                "Whether the last look at the configuration found it right: 1, or 0 while an older one is in force.",
            )?,
            last_success: gauge(
                "la_gateway_reload_last_success_timestamp_seconds",
                "When the configuration was last found right.",
            )?,
            reloads: registered(registry, IntCounterVec::new(reloads, &["outcome"])?)?,
            waiting: gauge(
                "la_gateway_reload_waiting",
                "Parts of the configuration that wait for a hand-over (SIGUSR2) or a restart.",
            )?,
        };
        ReloadResult::ALL.iter().for_each(|result| drop(made.reloads.with_label_values(&[result.label()])));
        made.is_right();
        Ok(made)
    }

    pub(super) fn count(&self, result: ReloadResult, waiting: usize) {
        self.reloads.with_label_values(&[result.label()]).inc();
        match result {
            ReloadResult::Refused => self.success.set(0),
            ReloadResult::Applied | ReloadResult::Unchanged => {
                self.is_right();
                self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            }
        }
    }

    fn is_right(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.success.set(1);
        self.last_success.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }
}
