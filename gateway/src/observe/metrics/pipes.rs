//! Metrics of the pipes that bytes are moved through.

use prometheus::IntCounter;
use prometheus::IntGauge;
use prometheus::Registry;

use super::registered;

/// How many pipes there are, and how often there was none.
#[derive(Clone)]
pub struct PipeMetrics {
    open: IntGauge,
    none: IntCounter,
}

impl PipeMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: registered(
                registry,
                IntGauge::new("la_gateway_pipes_open", "Pipes that tunnels' bytes are moved through.")?,
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

    /// Counts that a pipe was asked for and there was none.
    pub fn none(&self) {
        self.none.inc();
    }
}
