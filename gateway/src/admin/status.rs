//! `/api/status`: the whole gateway at a glance. The page is drawn from it, and every field stands in
//! `openapi.json`.

use std::collections::BTreeMap;
use std::time::Instant;
use std::time::SystemTime;

use serde::Serialize;

use crate::connect::Stations;
use crate::observe::examples::Example;
use crate::observe::examples::quoted;
use crate::observe::fleet::FleetCounts;
use crate::observe::history::Totals;
use crate::observe::readiness::ReadinessSnapshot;
use crate::observe::situation::ReloadState;
use crate::refusal::Refusal;

/// The whole gateway at a glance.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    time: String,
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    state: &'static str,
    seconds_left: Option<u64>,
    traffic: Rates,
    limits: Vec<Limit>,
    clients: FleetCounts,
    readiness: ReadinessSnapshot,
    refusals: Vec<RefusalView>,
    configuration: Configuration,
}

/// What moves now.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Rates {
    pub(super) bytes_up_per_second: u64,
    pub(super) bytes_down_per_second: u64,
    pub(super) connects_per_minute: u64,
    pub(super) refusals_per_minute: u64,
    pub(super) tunnels: u64,
    pub(super) connections: u64,
    pub(super) addresses: u64,
}

/// One limit, and how near it is.
#[derive(Debug, Serialize)]
struct Limit {
    name: &'static str,
    used: u64,
    most: u64,
}

/// One reason for refusals.
#[derive(Debug, Serialize)]
pub(super) struct RefusalView {
    reason: &'static str,
    status: u16,
    fault: &'static str,
    last_hour: u64,
    total: u64,
    advice: &'static str,
    /// The last one whose target could be read.
    example: Option<ExampleView>,
}

#[derive(Debug, Serialize)]
struct ExampleView {
    seconds_ago: u64,
    host: String,
    user: Option<String>,
    from: String,
    command: String,
}

#[derive(Debug, Serialize)]
struct Configuration {
    #[serde(flatten)]
    reload: ReloadState,
    policy: String,
}

/// Looks at what is counted.
pub(super) fn totals(stations: &Stations) -> Totals {
    let bytes = stations.fleet.bytes();
    Totals {
        bytes_up: bytes.up,
        bytes_down: bytes.down,
        tunnels: stations.metrics.usage().tunnels,
        connects: stations.metrics.carried(),
        refusals: stations.metrics.refusals(),
    }
}

impl Status {
    /// Looks at everything. A walk over the table of clients, and nothing longer.
    pub(super) fn of(stations: &Stations, traffic: Rates) -> Self {
        let situation = &stations.situation;
        let (usage, bounds) = (stations.metrics.usage(), situation.bounds());
        let clients = stations.fleet.counts(Instant::now());
        let limit = |name, used: u64, most: u64| Limit { name, used, most };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let limits = vec![
            limit("connections", usage.connections, bounds.connections.into()),
            limit("tunnels", usage.tunnels, bounds.tunnels.into()),
            limit("setups", usage.setups, bounds.setups.into()),
            limit("setups_waiting", usage.setups_waiting, bounds.setups_waiting.into()),
            limit("clients", count(clients.known), count(clients.most)),
        ];
        let (stage, reload) = (situation.stage(), situation.reload());
        Self {
            time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: situation.uptime().as_secs(),
            state: stage.label(),
            seconds_left: stage.left().map(|left| left.as_secs()),
            traffic: Rates {
                tunnels: usage.tunnels,
                connections: usage.connections,
                addresses: usage.addresses,
                ..traffic
            },
            limits,
            clients,
            readiness: stations.readiness.snapshot(),
            refusals: refusals(stations),
            configuration: Configuration { policy: reload.policy.clone(), reload },
        }
    }
}

/// Returns the reasons for which anything was refused, the most frequent of the last hour first.
pub(super) fn refusals(stations: &Stations) -> Vec<RefusalView> {
    let totals = totals(stations);
    let last_hour = stations.history.refusals(&totals);
    let examples = stations.examples.all();
    let option = configuration_option(stations);
    let mut seen: Vec<RefusalView> = Refusal::every()
        .filter_map(|refusal| {
            let row = refusal.row();
            let total = totals.refusals.get(row.reason).copied()?;
            Some(RefusalView {
                reason: row.reason,
                status: row.status,
                fault: row.fault.label(),
                last_hour: last_hour.get(row.reason).copied().unwrap_or_default(),
                total,
                advice: refusal.advice(),
                example: example(&examples, row.reason, &option),
            })
        })
        .collect();
    seen.sort_by_key(|view| (std::cmp::Reverse((view.last_hour, view.total)), view.reason));
    seen
}

fn example(examples: &BTreeMap<&'static str, Example>, reason: &str, option: &str) -> Option<ExampleView> {
    let example = examples.get(reason)?;
    Some(ExampleView {
        seconds_ago: example.at.elapsed().as_secs(),
        host: example.target.to_string(),
        user: example.user.as_ref().map(ToString::to_string),
        from: example.from.to_canonical().to_string(),
        command: example.command(option),
    })
}

/// Returns what names the configuration to a command, where it is not in its usual place.
fn configuration_option(stations: &Stations) -> String {
    let file = stations.situation.reload().file.filter(|file| *file != crate::system::usual_place());
    file.map(|file| format!(" --config {}", quoted(&file.display().to_string()))).unwrap_or_default()
}
