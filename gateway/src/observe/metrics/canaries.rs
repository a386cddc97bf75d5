//! Metrics of the canaries, by class; every class has its series from the start.

use std::time::Duration;

use prometheus::GaugeVec;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use super::registered;
use crate::policy::class::Class;
use crate::policy::readiness::Standing;
use crate::policy::readiness::Station;

/// What the canaries have shown.
pub struct Canaries {
    ready: IntGauge,
    canaries: IntGaugeVec,
    seconds: GaugeVec,
    failures: IntCounterVec,
}

impl Canaries {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let made = Self {
            ready: registered(
                registry,
                IntGauge::new("la_gateway_ready", "1 while /readyz answers 200, else 0.")?,
            )?,
            canaries: registered(
                registry,
                IntGaugeVec::new(
                    opts("la_gateway_canaries", "Canaries by class and by what is held of them."),
                    &["class", "state"],
                )?,
            )?,
            seconds: registered(
                registry,
                GaugeVec::new(
                    opts("la_gateway_canary_seconds", "Duration of the last walk of a class's canary."),
                    &["class"],
                )?,
            )?,
            failures: registered(
                registry,
                IntCounterVec::new(
                    opts(
                        "la_gateway_canary_failures_total",
                        "Failed walks of canaries by class and station.",
                    ),
                    &["class", "station"],
                )?,
            )?,
        };
        for class in Class::ALL.map(Class::label) {
            for state in Standing::ALL.map(Standing::label) {
                made.canaries.with_label_values(&[class, state]).set(0);
            }
            made.seconds.with_label_values(&[class]).set(0.0);
            for station in Station::ALL.map(Station::label) {
                made.failures.with_label_values(&[class, station]).reset();
            }
        }
        Ok(made)
    }

    /// Takes the end of a walk.
    pub fn walked(&self, class: Class, took: Duration, failed: Option<Station>) {
        self.seconds.with_label_values(&[class.label()]).set(took.as_secs_f64());
        if let Some(station) = failed {
            self.failures.with_label_values(&[class.label(), station.label()]).inc();
        }
    }

    /// Shows how many canaries of each class there are by standing.
    pub fn show(&self, standings: &[(Class, Standing)]) {
        for class in Class::ALL {
            for state in Standing::ALL {
                let count = standings.iter().filter(|standing| **standing == (class, state)).count();
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.canaries.with_label_values(&[class.label(), state.label()]).set(count);
            }
        }
    }

    /// Shows whether `/readyz` is green.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }
}
