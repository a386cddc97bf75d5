//! The fleet's metrics: by role and family, never by client.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;
use prometheus::Opts;

use super::Metrics;
use super::lock;
use super::registered;
use crate::observe::access::Traffic;
use crate::policy::fleet::Family;

const STATES: [&str; 2] = ["active", "silent"];
const DIRECTIONS: [&str; 2] = ["up", "down"];

/// The bytes of a role: of each family, up and down.
type OfRole = Vec<(Family, [IntCounter; 2])>;

/// Series of the roles that are known, and no others.
pub(in crate::observe) struct FleetMetrics {
    clients: IntGaugeVec,
    bytes: IntCounterVec,
    forgotten: IntCounter,
    not_entered: IntCounter,
    /// Is not shown.
    nobody: IntCounter,
    /// By family, up and down.
    roles: Mutex<HashMap<String, OfRole>>,
}

impl FleetMetrics {
    /// Makes the series, without a role yet.
    pub(in crate::observe) fn new(metrics: &Metrics) -> Result<Self, prometheus::Error> {
        let registry = &metrics.registry;
        let clients = Opts::new("la_gateway_fleet_clients", "Clients in the table, by role and state.");
        let bytes = Opts::new(
            "la_gateway_fleet_bytes_total",
            "Bytes carried, those of open tunnels included, by role and family of hosts.",
        );
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help)?);
        Ok(Self {
            clients: registered(registry, IntGaugeVec::new(clients, &["role", "state"])?)?,
            bytes: registered(registry, IntCounterVec::new(bytes, &["role", "family", "direction"])?)?,
            forgotten: counter(
                "la_gateway_fleet_forgotten_total",
                "Clients that were forgotten to make room in the table.",
            )?,
            not_entered: counter(
                "la_gateway_fleet_not_entered_total",
                "Requests of clients for whom the table had no room.",
            )?,
            nobody: IntCounter::new("nobody", "Bytes of roles that are no more.")?,
            roles: Mutex::default(),
        })
    }

    /// Makes the series of these roles, and ends those of all others.
    pub(in crate::observe) fn know<'a>(&self, roles: impl IntoIterator<Item = &'a str>) {
        let mut known = lock(&self.roles);
        let new: HashMap<String, OfRole> =
            roles.into_iter().map(|role| (role.to_owned(), self.of_role(role))).collect();
        for role in known.keys().filter(|role| !new.contains_key(*role)) {
            // A series that is not there needs no end.
            STATES.iter().for_each(|state| drop(self.clients.remove_label_values(&[&**role, state])));
            for (family, way) in
                Family::ALL.into_iter().flat_map(|family| DIRECTIONS.map(|way| (family, way)))
            {
                drop(self.bytes.remove_label_values(&[&**role, family.label(), way]));
            }
        }
        *known = new;
    }

    /// Makes the series of a role.
    fn of_role(&self, role: &str) -> OfRole {
        STATES.iter().for_each(|state| drop(self.clients.with_label_values(&[role, state])));
        let counter = |family: Family, way| self.bytes.with_label_values(&[role, family.label(), way]);
        Family::ALL.into_iter().map(|family| (family, DIRECTIONS.map(|way| counter(family, way)))).collect()
    }

    /// Returns what counts the bytes of a tunnel: up and down.
    pub(in crate::observe) fn bytes(&self, role: &str, family: Family) -> (IntCounter, IntCounter) {
        let known = lock(&self.roles);
        let of_role = known.get(role).and_then(|families| families.iter().find(|(own, _)| *own == family));
        match of_role {
            Some((_, [up, down])) => (up.clone(), down.clone()),
            // A tunnel of a role that a reload has just ended counts for nobody.
            None => (self.nobody.clone(), self.nobody.clone()),
        }
    }

    /// Returns the bytes of all roles that are known, those of open tunnels included.
    pub(in crate::observe) fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        for (_, [up, down]) in lock(&self.roles).values().flatten() {
            total.up = total.up.saturating_add(up.get());
            total.down = total.down.saturating_add(down.get());
        }
        total
    }

    /// Takes over what a sweep has found.
    pub(in crate::observe) fn swept(
        &self,
        states: &BTreeMap<Arc<str>, [i64; 2]>,
        forgotten: u64,
        not_entered: u64,
    ) {
        for role in lock(&self.roles).keys() {
            let counts = states.get(role.as_str()).copied().unwrap_or_default();
            for (state, count) in STATES.into_iter().zip(counts) {
                self.clients.with_label_values(&[role.as_str(), state]).set(count);
            }
        }
        self.forgotten.inc_by(forgotten.saturating_sub(self.forgotten.get()));
        self.not_entered.inc_by(not_entered.saturating_sub(self.not_entered.get()));
    }
}
