//! Everything the services know, behind one lock.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;
use std::time::SystemTime;

use super::blob::Blob;
use super::certificate;
use super::directory::Workspace;
use super::download::Stored;
use super::faults::Faults;
use super::ledger::CutField;
use super::ledger::Ledger;
use super::place::Asked;
use super::place::Place;
use super::rows::Retention;
use super::rows::Tables;
use super::tokens::Tokens;

pub(super) struct State {
    pub(super) workspaces: Vec<Workspace>,
    pub(super) settings: Settings,
    pub(super) agents: HashMap<Vec<u8>, Agent>,
    pub(super) blobs: HashMap<String, Blob>,
    /// Blobs that are only read, by host and path.
    pub(super) stored: HashMap<(String, String), Stored>,
    /// How many versions of them there were.
    pub(super) versions: usize,
    pub(super) tokens: Tokens,
    pub(super) tables: Tables,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
}

pub(super) struct Settings {
    pub(super) retention: Retention,
    /// `queryInterval` of onboarding's answer.
    pub(super) query_interval: String,
    /// `telemetryReportInterval`.
    pub(super) telemetry_interval: String,
    pub(super) update_certificate: BTreeSet<String>,
    pub(super) clock_ahead: Duration,
    pub(super) clock_behind: Duration,
}

/// An agent by one of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it is onboarded.
    pub workspace: String,
    /// Its GUID.
    pub guid: String,
    /// How it calls its machine.
    pub name: String,
    /// The certificate that is forgotten when this one is first used.
    pub(super) replaces: Option<Vec<u8>>,
}

impl State {
    pub(super) fn new(workspaces: &[Workspace]) -> Self {
        Self {
            workspaces: workspaces.to_vec(),
            settings: Settings {
                retention: Retention::Rows,
                query_interval: "PT1H".to_owned(),
                telemetry_interval: "PT10M".to_owned(),
                update_certificate: BTreeSet::new(),
                clock_ahead: Duration::ZERO,
                clock_behind: Duration::ZERO,
            },
            agents: HashMap::new(),
            blobs: HashMap::new(),
            stored: HashMap::new(),
            versions: 0,
            tokens: Tokens::default(),
            tables: Tables::default(),
            ledger: Ledger::default(),
            faults: Faults::default(),
        }
    }

    /// Returns the time by the service's clock.
    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + self.settings.clock_ahead - self.settings.clock_behind
    }

    /// Returns the workspace a request belongs to, as far as its host and path tell.
    pub(super) fn owner(&self, host: &str, path: &str) -> Option<&Workspace> {
        let segment = |at: usize| path.split('/').nth(at).unwrap_or_default().to_owned();
        self.workspaces.iter().find(|workspace| match host {
            _ if host == workspace.oms() || host == workspace.ods() || host == workspace.blob() => true,
            _ if host == workspace.endpoint => segment(2) == workspace.rule,
            _ if host == workspace.login() => segment(1) == workspace.tenant,
            _ => false,
        })
    }

    /// Returns the workspace a host belongs to; one that several share belongs to the first.
    pub(super) fn owner_of_host(&self, host: &str) -> Option<&Workspace> {
        self.workspaces.iter().find(|workspace| workspace.names().iter().any(|name| name == host))
    }

    /// Returns the agent of a client certificate, if it is known and valid.
    pub(super) fn agent(&self, asked: &Asked) -> Option<&Agent> {
        let known = self.agents.get(&asked.fingerprint()?)?;
        let valid =
            certificate::Read::der(asked.certificate.as_deref()?).is_ok_and(|read| read.is_valid(asked.now));
        valid.then_some(known)
    }

    /// Notes that a certificate was used: the one it replaces is no longer known.
    pub(super) fn used(&mut self, asked: &Asked) {
        let Some(agent) = asked.fingerprint().and_then(|print| self.agents.get_mut(&print)) else { return };
        if let Some(old) = agent.replaces.take() {
            self.agents.remove(&old);
        }
    }

    /// Cuts every text of a record that is longer than the service takes.
    pub(super) fn cut(
        &mut self,
        (workspace, table): (&str, &str),
        record: &mut serde_json::Map<String, serde_json::Value>,
        most: usize,
    ) {
        for (column, value) in record.iter_mut() {
            let serde_json::Value::String(text) = value else { continue };
            if text.len() <= most {
                continue;
            }
            self.ledger.cuts.push(CutField {
                workspace: workspace.to_owned(),
                table: table.to_owned(),
                column: column.clone(),
                bytes: text.len(),
            });
            let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or_default());
        }
    }

    /// Notes what every request has to have, wherever it goes.
    pub(super) fn look_at(&mut self, number: u64, asked: &Asked, place: Place) {
        let named = asked.header("host").unwrap_or_default();
        if named.split(':').next() != Some(asked.host.as_str()) {
            self.ledger.problem(number, format!("the Host field is {named:?} at {}", asked.host));
        }
        if asked.certificate.is_some() && !place.shows_certificate() {
            self.ledger.problem(number, "a client certificate is shown where it has no business");
        }
        if asked.header("transfer-encoding").is_some() {
            self.ledger.problem(number, "the body comes in chunks");
        }
    }
}
