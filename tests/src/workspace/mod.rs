//! FakeWorkspaces: the Azure side of the agent's journeys, as strict as the real one is known to be.
//!
//! One TLS server on loopback answers under the names of every [`Workspace`]: onboarding (`.oms.`),
//! ingestion (`.ods.`), blobs, a data collection endpoint and the token endpoint. Everything that is taken
//! becomes a [`Row`] of a table; everything a faithful client does not do becomes a [`Problem`], taken or
//! not; a [`Fault`] makes something go wrong. Facts: `oms-protocol.md` 1 to 3, 5, 11; `azure.md` 2.3, 3.
//!
//! Inside: `server` reads a request and finds its [`Place`], whose module answers it from the `state`.

mod answer;
mod blob;
mod certificate;
mod custom;
mod directory;
mod encoding;
mod faults;
mod ingestion;
mod items;
mod ledger;
mod notification;
mod onboarding;
mod place;
mod rows;
pub mod schema;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod xml;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::sign::CertifiedKey;

pub use self::directory::Stream;
pub use self::directory::Workspace;
pub use self::faults::Fault;
pub use self::faults::FaultId;
pub use self::ingestion::LARGEST_CALL;
pub use self::ingestion::LARGEST_FIELD;
pub use self::ledger::CutField;
pub use self::ledger::Problem;
pub use self::ledger::RetryAfter;
pub use self::ledger::SeenRequest;
pub use self::place::Place;
pub use self::rows::Retention;
pub use self::rows::Row;
pub use self::rows::Sequence;
pub use self::rows::Way;
pub use self::schema::ColumnType;
pub use self::schema::Columns;
pub use self::server::SeenConnection;
pub use self::state::Agent;

use self::server::Shared;
use self::state::State;
use self::tls::Certificates;
use crate::patience::PATIENCE;
use crate::pki::Pki;

/// Requests of a report, when a wait was in vain.
const SHOWN: usize = 12;

/// The services, which stop when this is dropped.
pub struct FakeWorkspaces {
    address: SocketAddr,
    workspaces: Vec<Workspace>,
    certificates: Mutex<Certificates>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// A server's certificate, as it should be or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it should be.
    Proper,
    /// Ran out years ago.
    Expired,
    /// For another name.
    WrongName,
    /// By an authority that nobody knows, as that of an intercepting proxy.
    UnknownIssuer,
}

/// What came for a workspace and was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests with at least one row.
    pub requests: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the bodies on the wire.
    pub body_bytes: u64,
    /// Bytes of the bodies before `Content-Encoding`.
    pub content_bytes: u64,
}

impl FakeWorkspaces {
    /// Starts at a port of the system's choice, with certificates of this authority.
    pub async fn start(pki: &Pki, workspaces: &[Workspace]) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("a literal address"), pki, workspaces).await
    }

    /// Starts at this address.
    pub async fn start_at(address: SocketAddr, pki: &Pki, workspaces: &[Workspace]) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        Self::start_on(listener, pki, workspaces)
    }

    /// Starts on a socket that listens.
    pub fn start_on(listener: TcpListener, pki: &Pki, workspaces: &[Workspace]) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let names = workspaces.iter().flat_map(Workspace::names);
        let certificates =
            Certificates(names.map(|name| (name.clone(), Arc::new(pki.certified_key(&name)))).collect());
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(workspaces)),
            tls: Mutex::new(tls::server_config(certificates.clone())),
            connections: Mutex::default(),
            progress: watch::Sender::new(0),
            closing: watch::Sender::new(0),
        });
        let task = tokio::spawn(server::accept(listener, Arc::clone(&shared)));
        let certificates = Mutex::new(certificates);
        Self { address, workspaces: workspaces.to_vec(), certificates, shared, task }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the workspaces.
    pub fn workspaces(&self) -> &[Workspace] {
        &self.workspaces
    }

    /// Returns every name it answers under, for the gateway's `[dns] hosts` and its roles.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.workspaces.iter().flat_map(Workspace::names).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns the rows of a table.
    pub fn rows(&self, workspace: &str, table: &str) -> Vec<Row> {
        self.shared.state().tables.rows(workspace, table)
    }

    /// Returns how many rows a table has.
    pub fn count(&self, workspace: &str, table: &str) -> u64 {
        self.shared.state().tables.count(workspace, table)
    }

    /// Returns the names of the tables that have rows.
    pub fn tables(&self, workspace: &str) -> Vec<String> {
        self.shared.state().tables.names(workspace)
    }

    /// Returns the sequence numbers of a table: of `seq=N` with the series "", of `udp-seq=N` with `udp`.
    pub fn sequence(&self, workspace: &str, table: &str, series: &str) -> Sequence {
        self.shared.state().tables.sequence(workspace, table, series)
    }

    /// Returns how many rows of a table say what another row of it has said before.
    pub fn doubled(&self, workspace: &str, table: &str) -> usize {
        let rows = self.rows(workspace, table);
        let said: Vec<&str> = rows.iter().map(Row::message).filter(|text| !text.is_empty()).collect();
        said.len() - said.iter().collect::<BTreeSet<_>>().len()
    }

    /// Waits until a table has so many rows at least, and returns them.
    pub async fn wait_for_rows(&self, workspace: &str, table: &str, count: u64) -> Vec<Row> {
        self.wait_for(&format!("{count} rows of {table}"), |fake| {
            (fake.count(workspace, table) >= count).then(|| fake.rows(workspace, table))
        })
        .await
    }

    /// Waits for the next request, and takes all rows out of the tables: workspace and row.
    pub async fn next_rows(&self) -> Vec<(String, Row)> {
        let mut progress = self.shared.progress.subscribe();
        progress.mark_unchanged();
        let rows = self.shared.state().tables.drain();
        if !rows.is_empty() {
            return rows;
        }
        // The sender lives as long as this.
        let _ = progress.changed().await;
        self.shared.state().tables.drain()
    }

    /// Waits until `find` makes something of what came so far.
    pub async fn wait_for<T>(&self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let mut progress = self.shared.progress.subscribe();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            progress.mark_unchanged();
            if let Some(found) = find(self) {
                return found;
            }
            if tokio::time::timeout_at(deadline, progress.changed()).await.is_err() {
                panic!("gave up after {PATIENCE:?}: {what}\n{}", self.report());
            }
        }
    }

    /// Returns every request so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.state().ledger.requests.clone()
    }

    /// Returns the requests for one place of one workspace.
    pub fn requests_at(&self, workspace: &str, place: Place) -> Vec<SeenRequest> {
        let wanted =
            |request: &SeenRequest| request.place == place && request.workspace.as_deref() == Some(workspace);
        self.requests().into_iter().filter(wanted).collect()
    }

    /// Returns every connection so far.
    pub fn connections(&self) -> Vec<SeenConnection> {
        self.shared.connections.lock().expect("no panic under the lock").clone()
    }

    /// Returns what came for a workspace and was taken.
    pub fn traffic(&self, workspace: &str) -> Traffic {
        let mut traffic = Traffic::default();
        for request in self.requests() {
            if request.workspace.as_deref() == Some(workspace) && request.rows > 0 {
                traffic.requests += 1;
                traffic.rows += request.rows;
                traffic.body_bytes += request.body_bytes;
                traffic.content_bytes += request.content_bytes;
            }
        }
        traffic
    }

    /// Returns how many requests came before a `Retry-After` had run out, at the place that had given it.
    pub fn early(&self, workspace: &str) -> u64 {
        self.shared.state().ledger.early(workspace)
    }

    /// Returns everything a faithful client does not do.
    pub fn problems(&self) -> Vec<Problem> {
        self.shared.state().ledger.problems.clone()
    }

    /// Panics if a client did anything that a faithful one does not do.
    pub fn assert_no_problems(&self) {
        let problems = self.problems();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    /// Returns the texts that were too long and lost their ends.
    pub fn cut_fields(&self) -> Vec<CutField> {
        self.shared.state().ledger.cuts.clone()
    }

    /// Returns the agents that a workspace knows, one for each certificate.
    pub fn agents(&self, workspace: &str) -> Vec<Agent> {
        let state = self.shared.state();
        state.agents.values().filter(|agent| agent.workspace == workspace).cloned().collect()
    }

    /// Knows an agent by another certificate (DER) from now on, as if it had been onboarded with it.
    pub fn know(&self, workspace: &str, guid: &str, certificate: &[u8]) {
        let agent = Agent {
            workspace: workspace.to_owned(),
            guid: guid.to_owned(),
            name: String::new(),
            replaces: None,
        };
        self.shared.state().agents.insert(encoding::sha256(certificate), agent);
    }

    /// Forgets every agent of a workspace, as when it was deleted there.
    pub fn forget_agents(&self, workspace: &str) {
        self.shared.state().agents.retain(|_, agent| agent.workspace != workspace);
    }

    /// Switches a fault on.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.shared.state().faults.add(fault)
    }

    /// Switches a fault off.
    pub fn clear(&self, fault: FaultId) {
        self.shared.state().faults.remove(fault);
    }

    /// Switches every fault off.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Chooses what is kept from now on.
    pub fn keep(&self, retention: Retention) {
        self.shared.state().settings.retention = retention;
    }

    /// Sets the clock of the services this far ahead (or behind, if negative), in minutes.
    pub fn shift_clock(&self, minutes: i64) {
        let off = Duration::from_secs(minutes.unsigned_abs() * 60);
        let mut state = self.shared.state();
        let (ahead, behind) = if minutes < 0 { (Duration::ZERO, off) } else { (off, Duration::ZERO) };
        (state.settings.clock_ahead, state.settings.clock_behind) = (ahead, behind);
    }

    /// Sets the intervals that onboarding answers, as ISO 8601 durations.
    pub fn intervals(&self, query: &str, telemetry: &str) {
        let mut state = self.shared.state();
        (state.settings.query_interval, state.settings.telemetry_interval) =
            (query.to_owned(), telemetry.to_owned());
    }

    /// Lets topology answers of a workspace ask for a new certificate, until one was sent.
    pub fn ask_for_renewal(&self, workspace: &str) {
        self.shared.state().settings.update_certificate.insert(workspace.to_owned());
    }

    /// Sets how long tokens live that are given from now on.
    pub fn token_life(&self, life: Duration) {
        self.shared.state().tokens.life = life;
    }

    /// Gives the application of a workspace a token without being asked for it.
    pub fn token(&self, workspace: &Workspace) -> String {
        let mut state = self.shared.state();
        let now = state.now();
        state.tokens.give(&workspace.tenant, &workspace.client, now)
    }

    /// Makes every token invalid that was given so far.
    pub fn revoke_tokens(&self) {
        self.shared.state().tokens.revoke();
    }

    /// Changes the certificate under a name, for new connections; no TLS session is resumed.
    pub fn show(&self, pki: &Pki, name: &str, shown: Shown) {
        let key: CertifiedKey = match shown {
            Shown::Proper => pki.certified_key(name),
            Shown::Expired => pki.expired_key(name),
            Shown::WrongName => pki.certified_key("wrong.example"),
            Shown::UnknownIssuer => Pki::new().certified_key(name),
        };
        let mut certificates = self.certificates.lock().expect("no panic under the lock");
        certificates.0.insert(name.to_owned(), Arc::new(key));
        *self.shared.tls.lock().expect("no panic under the lock") = tls::server_config(certificates.clone());
    }

    /// Closes every connection, idle or not.
    pub fn close_connections(&self) {
        self.shared.closing.send_modify(|count| *count += 1);
    }

    fn report(&self) -> String {
        let requests = self.requests();
        let last = requests.iter().skip(requests.len().saturating_sub(SHOWN));
        let shown: Vec<String> = last
            .map(|seen| format!("{:?} {} rows: {} {}", seen.status, seen.rows, seen.host, seen.line))
            .collect();
        let problems = self.problems();
        let last = problems.iter().rev().take(SHOWN).collect::<Vec<_>>();
        format!("{} requests, the last:\n{}\nproblems: {last:#?}", requests.len(), shown.join("\n"))
    }
}

impl Drop for FakeWorkspaces {
    fn drop(&mut self) {
        self.task.abort();
    }
}
