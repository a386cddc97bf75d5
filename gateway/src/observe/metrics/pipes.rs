//! Metrics of the pipes that bytes are moved through.

use prometheus::IntCounter;
use prometheus::IntGauge;
use prometheus::Registry;

use super::registered;

/// How many pipes there are, how many are in use, and how often there was none.
#[derive(Clone)]
pub struct PipeMetrics {
    open: IntGauge,
    in_use: IntGauge,
    none: IntCounter,
}

impl PipeMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: registered(
                registry,
                IntGauge::new("la_gateway_pipes_open", "Pipes that tunnels' bytes are moved through.")?,
            )?,
            in_use: registered(
                registry,
                IntGauge::new(
                    "la_gateway_pipes_in_use",
                    "Pipes that are lent to tunnels now; of those that are open.",
                )?,
            )?,
            none: registered(
                registry,
                IntCounter::new(
                    "la_gateway_pipes_lacking_total",
                    "Moves of many bytes that were copies because there was no pipe.",
                )?,
            )?,
        })
    }

    /// Counts a pipe that was opened.
    pub fn opened(&self) {
        self.open.inc();
    }

    /// Counts a pipe that was closed.
    pub fn closed(&self) {
        self.open.dec();
    }

    /// Counts a pipe that a tunnel got.
    pub fn lent(&self) {
        self.in_use.inc();
    }

    /// Counts a pipe that a tunnel has no longer.
    pub fn returned(&self) {
        self.in_use.dec();
    }

    /// Returns how many pipes tunnels have now.
    #[cfg(all(test, target_os = "linux"))]
    pub(crate) fn in_use(&self) -> i64 {
        self.in_use.get()
    }

    /// Counts that a pipe was asked for and there was none.
    pub fn none(&self) {
        self.none.inc();
    }
}
