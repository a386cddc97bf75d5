//! What the metrics show now, for who looks at them from inside.

use std::collections::BTreeMap;

use prometheus::IntGauge;

use super::Metrics;
use crate::refusal::Refusal;

/// What is open now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Client connections.
    pub connections: u64,
    /// Client addresses with one.
    pub addresses: u64,
    /// Tunnels.
    pub tunnels: u64,
    /// Set-ups in progress.
    pub setups: u64,
    /// Requests that wait for theirs.
    pub setups_waiting: u64,
}

impl Metrics {
    /// Returns how many connections, tunnels and set-ups there are now.
    pub fn usage(&self) -> Usage {
        let number = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or_default();
        let (setups, setups_waiting) = self.surge.now();
        Usage {
            connections: number(&self.connections),
            addresses: number(&self.clients),
            tunnels: number(&self.tunnels),
            setups,
            setups_waiting,
        }
    }

    /// Returns how many tunnels have begun.
    pub fn carried(&self) -> u64 {
        self.carried.get()
    }

    /// Returns how many requests were refused, by reason; those of which there are any.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        let reasons = Refusal::every().map(|refusal| refusal.row().reason);
        let counted = reasons.map(|reason| (reason, self.refusals.with_label_values(&[reason]).get()));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}
