//! Metrics. Every series exists from the start: labels come from the tables, never from a peer.

mod admin;
mod bounds;
mod canaries;
mod fleet;
mod pipes;
mod reloads;
mod surge;
mod usage;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

use self::admin::Admin;
pub use self::admin::AdminRefusal;
pub use self::bounds::Bounds;
pub use self::bounds::RunsOut;
use self::canaries::Canaries;
pub(super) use self::fleet::FleetMetrics;
pub use self::pipes::PipeMetrics;
pub use self::reloads::ReloadResult;
use self::reloads::Reloads;
use self::surge::Surge;
pub use self::usage::Usage;
use super::access::Traffic;
use super::log::Dropped;
use crate::ending::Ending;
use crate::policy::destinations::Reported;
use crate::refusal::Fault;
use crate::refusal::Refusal;

/// How a password check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordResult {
    /// Known from before; no hash was computed.
    Cached,
    /// Right.
    Right,
    /// Wrong, or no such user.
    Wrong,
    /// Not checked: the client went away before its turn.
    Abandoned,
}

impl PasswordResult {
    const ALL: [Self; 4] = [Self::Cached, Self::Right, Self::Wrong, Self::Abandoned];

    fn label(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The gateway's metrics. What every tunnel counts is at hand, without looking a label up.
pub struct Metrics {
    registry: Registry,
    connections: IntGauge,
    clients: IntGauge,
    errors: IntCounter,
    rejections: IntCounter,
    tunnels: IntGauge,
    carried: IntCounter,
    refused: IntCounter,
    refusals: IntCounterVec,
    would_refuse: IntCounterVec,
    reporting: IntGauge,
    endings: Vec<(Ending, IntCounter)>,
    up: IntCounter,
    down: IntCounter,
    setup: Histogram,
    passwords: Vec<(PasswordResult, IntCounter)>,
    dropped: IntCounter,
    reloads: Reloads,
    present: Mutex<HashMap<IpAddr, u32>>,
    /// Those of the limits and of what runs out.
    pub bounds: Bounds,
    /// Those of the canaries.
    pub canaries: Canaries,
    /// Those of the admission to set-ups.
    pub surge: Surge,
    /// Those of the pipes.
    pub pipes: PipeMetrics,
    /// Those of the admin listener.
    pub admin: Admin,
}

impl Metrics {
    /// Makes all series, at zero.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help)?);
        let counters =
            |name: &str, help: &str, label: &str, values: &mut dyn Iterator<Item = &'static str>| {
                let made = registered(&registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
                for value in values {
                    made.with_label_values(&[value]);
                }
                Ok::<_, prometheus::Error>(made)
            };
        let connects = counters(
            "la_gateway_connects_total",
            "Requests by verdict.",
            "verdict",
            &mut ["carried", "refused"].into_iter(),
        )?;
        let endings = counters(
            "la_gateway_tunnel_endings_total",
            "Ended tunnels by reason.",
            "reason",
            &mut Ending::ALL.into_iter().map(|ending| ending.row().reason),
        )?;
        let bytes = counters(
            "la_gateway_tunnel_bytes_total",
            "Bytes carried by ended tunnels: up from clients, down to them.",
            "direction",
            &mut ["up", "down"].into_iter(),
        )?;
        let passwords = counters(
            "la_gateway_password_checks_total",
            "Password checks by result.",
            "result",
            &mut PasswordResult::ALL.into_iter().map(PasswordResult::label),
        )?;
        let build = registered(
            &registry,
            IntGaugeVec::new(
                Opts::new("la_gateway_build_info", "Version of the program, as a label."),
                &["version"],
            )?,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let buckets =
            vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let setup =
            HistogramOpts::new("la_gateway_setup_seconds", "Time from a request's first look to its 200.");
        Ok(Self {
            connections: gauge("la_gateway_active_client_connections", "Client connections open now.")?,
            clients: gauge("la_gateway_connected_clients", "Client addresses with an open connection.")?,
            errors: counter(
                "la_gateway_errors_total",
                "Requests and tunnels that failed through the network, the origin or the gateway.",
            )?,
            rejections: counter(
                "la_gateway_rejections_total",
                "Requests and tunnels refused by policy or as wrong.",
            )?,
            tunnels: gauge("la_gateway_tunnels_active", "Tunnels open now.")?,
            carried: connects.with_label_values(&["carried"]),
            refused: connects.with_label_values(&["refused"]),
            refusals: counters(
                "la_gateway_refusals_total",
                "Refused requests by reason.",
                "reason",
                &mut Refusal::every().map(|refusal| refusal.row().reason),
            )?,
            would_refuse: registered(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "la_gateway_would_refuse_total",
                        "Requests that report mode let through, by role and the reason enforcing would give.",
                    ),
                    &["role", "reason"],
                )?,
            )?,
            reporting: gauge("la_gateway_roles_in_report_mode", "Roles in report mode.")?,
            endings: Ending::ALL
                .map(|ending| (ending, endings.with_label_values(&[ending.row().reason])))
                .into(),
            up: bytes.with_label_values(&["up"]),
            down: bytes.with_label_values(&["down"]),
            setup: registered(&registry, Histogram::with_opts(setup.buckets(buckets))?)?,
            passwords: PasswordResult::ALL
                .map(|result| (result, passwords.with_label_values(&[result.label()])))
                .into(),
            dropped: counter(
                "la_gateway_log_records_dropped_total",
                "Records dropped because the queue was full, or the journal took none.",
            )?,
            reloads: Reloads::new(&registry)?,
            present: Mutex::default(),
            bounds: Bounds::new(&registry)?,
            canaries: Canaries::new(&registry)?,
            surge: Surge::new(&registry)?,
            pipes: PipeMetrics::new(&registry)?,
            admin: Admin::new(&registry)?,
            registry,
        })
    }

    /// Counts a connection for as long as the returned value lives.
    pub fn connection(self: &Arc<Self>, from: IpAddr) -> Present {
        self.connections.inc();
        let mut present = lock(&self.present);
        *present.entry(from).or_default() += 1;
        self.clients.set(i64::try_from(present.len()).unwrap_or(i64::MAX));
        Present { metrics: Arc::clone(self), from }
    }

    /// Counts a tunnel that begins now.
    pub fn tunnel_begins(&self, setup: Duration) {
        self.carried.inc();
        self.tunnels.inc();
        self.setup.observe(setup.as_secs_f64());
    }

    /// Counts a tunnel that has ended.
    pub fn tunnel_ends(&self, ending: Ending, traffic: Traffic) {
        self.tunnels.dec();
        count(&self.endings, ending);
        self.up.inc_by(traffic.up);
        self.down.inc_by(traffic.down);
        match ending {
            Ending::Finished | Ending::Idle | Ending::ClientReset => {}
            Ending::OriginReset
            | Ending::OriginNotTls
            | Ending::OriginAlert
            | Ending::OriginClosed
            | Ending::OriginTlsVersion
            | Ending::OriginHelloTimeout
            | Ending::Drained => self.errors.inc(),
            Ending::NotTls
            | Ending::TlsVersion
            | Ending::ServerName
            | Ending::HelloTimeout
            | Ending::UploadCap
            | Ending::Revoked => self.rejections.inc(),
        }
    }

    /// Counts a refused request.
    pub fn refused(&self, refusal: &Refusal) {
        let row = refusal.row();
        self.refused.inc();
        self.refusals.with_label_values(&[row.reason]).inc();
        match row.fault {
            Fault::Network | Fault::Gateway => self.errors.inc(),
            Fault::Client | Fault::Policy => self.rejections.inc(),
        }
    }

    /// Makes the series of the roles in report mode, and counts the roles. Called with every policy.
    pub fn report_mode<'a>(&self, roles: impl Iterator<Item = &'a str>) {
        let mut number = 0;
        for role in roles {
            number += 1;
            for why in Reported::ALL {
                self.would_refuse.with_label_values(&[role, why.refusal().row().reason]);
            }
        }
        self.reporting.set(number);
    }

    /// Counts a request that report mode let through.
    pub fn would_refuse(&self, role: &str, why: Reported) {
        self.would_refuse.with_label_values(&[role, why.refusal().row().reason]).inc();
    }

    /// Counts a password check.
    pub fn password(&self, result: PasswordResult) {
        count(&self.passwords, result);
    }

    /// Counts a reload, and how many parts of what is written wait for a hand-over or a restart.
    pub fn reload(&self, result: ReloadResult, waiting: usize) {
        self.reloads.count(result, waiting);
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn text(&self, dropped: Option<&Dropped>) -> Result<String, prometheus::Error> {
        if let Some(total) = dropped.map(Dropped::total) {
            self.dropped.inc_by(total.saturating_sub(self.dropped.get()));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// A connection that is being counted.
pub struct Present {
    metrics: Arc<Metrics>,
    from: IpAddr,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        let mut present = lock(&self.metrics.present);
        if let Some(count) = present.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                present.remove(&self.from);
            }
        }
        self.metrics.clients.set(i64::try_from(present.len()).unwrap_or(i64::MAX));
    }
}

fn count<L: PartialEq>(counters: &[(L, IntCounter)], label: L) {
    counters.iter().filter(|(own, _)| *own == label).for_each(|(_, counter)| counter.inc());
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s09_no_series_appears_after_the_start() {
        let metrics = Arc::new(Metrics::new().expect("registers"));
        let series = |metrics: &Metrics| {
            let text = metrics.text(None).expect("encodes");
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(series, _)| series.to_owned())
                .collect::<Vec<_>>()
        };
        let before = series(&metrics);
        let present = metrics.connection(IpAddr::from([10, 0, 0, 1]));
        Refusal::every().for_each(|refusal| metrics.refused(&refusal));
        for ending in Ending::ALL {
            metrics.tunnel_begins(Duration::from_millis(1));
            metrics.tunnel_ends(ending, Traffic { up: 1, down: 2 });
        }
        PasswordResult::ALL.into_iter().for_each(|result| metrics.password(result));
        ReloadResult::ALL.into_iter().for_each(|result| metrics.reload(result, 1));
        assert_eq!(series(&metrics), before);
        drop(present);
        let text = metrics.text(None).expect("encodes");
        assert!(text.contains("\nla_gateway_connected_clients 0\n"), "{text}");
        assert!(text.contains("\nla_gateway_tunnels_active 0\n"), "{text}");
    }

    #[test]
    fn connected_clients_counts_addresses_and_active_connections_counts_connections() {
        let metrics = Arc::new(Metrics::new().expect("registers"));
        let present: Vec<Present> =
            [1, 1, 2].map(|last| metrics.connection(IpAddr::from([10, 0, 0, last]))).into();
        let text = metrics.text(None).expect("encodes");
        assert!(text.contains("\nla_gateway_connected_clients 2\n"), "{text}");
        assert!(text.contains("\nla_gateway_active_client_connections 3\n"), "{text}");
        drop(present);
    }
}
