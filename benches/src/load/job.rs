//! What a client is to do, as it is told to a process of its own, and what came of it.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// One measurement's work.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Tunnels that are set up, used for one small exchange and closed, `at_once` side by side.
    SetUps { at_once: usize, seconds: f64 },
    /// Exchanges of this size, one after the other in each of some tunnels that stand before.
    Exchanges { tunnels: usize, up: u64, down: u32, seconds: f64 },
    /// Tunnels that are set up, used once, and kept with nothing to do.
    Hold { tunnels: usize },
    /// Uploads at a rate, whether or not those before have ended: in tunnels that stand before, or in new ones.
    Uploads { kept: Option<usize>, bytes: u64, per_second: f64, seconds: f64 },
    /// Connections that do TLS with the proxy, and nothing more.
    Handshakes { at_once: usize, resumed: bool, seconds: f64 },
}

impl Job {
    /// Returns how long it works, as far as that is given.
    pub(crate) fn duration(self) -> Duration {
        match self {
            Self::SetUps { seconds, .. }
            | Self::Exchanges { seconds, .. }
            | Self::Uploads { seconds, .. }
            | Self::Handshakes { seconds, .. } => Duration::from_secs_f64(seconds),
            Self::Hold { .. } => Duration::ZERO,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Tunnels, exchanges, uploads or handshakes.
    pub count: u64,
    /// Bytes of the exchanges, up and down.
    pub up: u64,
    pub down: u64,
    /// Those that failed, and why the first did.
    pub failed: u64,
    pub error: Option<String>,
    /// From the first to the last.
    pub seconds: f64,
    /// Milliseconds that a set-up or an upload took, from when it was due.
    pub median: f64,
    pub p99: f64,
    pub longest: f64,
}

/// Returns median, 99th percentile and the longest of these microseconds, in milliseconds.
pub(crate) fn percentiles(mut micros: Vec<u32>) -> (f64, f64, f64) {
    micros.sort_unstable();
    let at = |part: f64| {
        let last = micros.len().saturating_sub(1);
        micros.get((last as f64 * part).round() as usize).copied().unwrap_or_default() as f64 / 1000.0
    };
    (at(0.5), at(0.99), at(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        assert_eq!(percentiles((0..=1000).rev().map(|at| at * 1000).collect()), (500.0, 990.0, 1000.0));
        assert_eq!(percentiles(Vec::new()), (0.0, 0.0, 0.0));
    }
}
