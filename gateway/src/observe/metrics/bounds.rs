//! Metrics of what ends: how much fits at once, and until when the files of TLS are good.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::Registry;

use super::registered;

/// What of TLS runs out, and the value of `what`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsOut {
    /// A listener's own certificate.
    Certificate,
    /// The certificate of a clients' CA.
    ClientAuthority,
    /// A revocation list.
    RevocationList,
}

impl RunsOut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::ClientAuthority, Self::RevocationList];

    fn label(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::ClientAuthority => "client_authority",
            Self::RevocationList => "revocation_list",
        }
    }
}

/// The bounds in force.
pub struct Bounds {
    connections: IntGauge,
    tunnels: IntGauge,
    runs_out: GaugeVec,
}

impl Bounds {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        let runs_out = Opts::new(
            "la_gateway_tls_good_until_timestamp_seconds",
            "When the first file of its kind runs out; infinite where there is none.",
        );
        let made = Self {
            connections: gauge("la_gateway_connections_limit", "Client connections that there is room for.")?,
            tunnels: gauge("la_gateway_tunnels_limit", "Tunnels that may be open at once.")?,
            runs_out: registered(registry, GaugeVec::new(runs_out, &["what"])?)?,
        };
        RunsOut::ALL.into_iter().for_each(|what| made.runs_out(what, None));
        Ok(made)
    }

    /// Tells how many connections and tunnels there may be at once.
    pub fn limits(&self, connections: u32, tunnels: u32) {
        self.connections.set(connections.into());
        self.tunnels.set(tunnels.into());
    }

    /// Tells when the first file of a kind runs out; `None` where there is no such file.
    pub fn runs_out(&self, what: RunsOut, first: Option<SystemTime>) {
        let seconds = first.map_or(f64::INFINITY, |at| {
            at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
        });
        let gauge: Gauge = self.runs_out.with_label_values(&[what.label()]);
        gauge.set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn what_never_runs_out_is_infinite_and_the_rest_is_a_time() {
        let registry = Registry::new();
        let bounds = Bounds::new(&registry).expect("registers");
        bounds.runs_out(RunsOut::Certificate, Some(UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
        let name = "la_gateway_tls_good_until_timestamp_seconds";
        assert!(text.contains(&format!("{name}{{what=\"certificate\"}} 1800000000\n")), "{text}");
        // As the format wants it: what Go's ParseFloat takes.
        assert!(text.contains(&format!("{name}{{what=\"revocation_list\"}} inf\n")), "{text}");
    }
}
