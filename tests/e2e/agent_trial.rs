//! What the trials of the agent begin with: fake workspaces, a gateway before them, and an agent's folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::time::Duration;

use end_to_end::agent::Agent;
use end_to_end::agent::AgentHome;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::record::Log;
use end_to_end::record::Record;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Row;
use end_to_end::workspace::Workspace;
use serde_json::Value;

/// Event: a queue cannot be written.
pub(crate) const DISK_TROUBLE: u64 = 543;
/// Event: a source met something it cannot read.
pub(crate) const SOURCE_TROUBLE: u64 = 506;
/// Event: a workspace does not take records.
pub(crate) const UPLOAD_FAILED: u64 = 530;
/// Event: a workspace takes records again.
pub(crate) const UPLOAD_RESUMED: u64 = 531;
/// Event: records were refused and set aside.
pub(crate) const RECORDS_REJECTED: u64 = 532;
/// Event: a queue is full.
pub(crate) const SPOOL_FULL: u64 = 540;

/// Segments are sealed quickly, so that journeys are short.
pub(crate) const QUICK: &str = "[spool]\nseal_after = \"100ms\"\nsync = \"50ms\"\nsegment = \"64KiB\"\n";

/// Everything but the agent's process.
pub(crate) struct Trial {
    pub(crate) pki: Pki,
    pub(crate) fake: FakeWorkspaces,
    pub(crate) home: AgentHome,
    gateway: Option<Gateway>,
    gateway_config: Config,
}

/// How a workspace of the agent is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Logs Ingestion API, by a client's secret.
    Token,
    /// Data Collector API, by the workspace's key.
    Key,
    /// The legacy protocol, by the agent's certificate.
    Certificate,
}

impl Trial {
    /// Starts so many fake workspaces and a gateway that finds them.
    pub(crate) async fn new(workspaces: usize) -> Self {
        Self::at("127.0.0.1:0".parse().expect("a literal address"), workspaces, None).await
    }

    /// The same with the services at this address; `dns` takes the place of what the gateway knows by itself.
    pub(crate) async fn at(address: SocketAddr, workspaces: usize, dns: Option<&str>) -> Self {
        let pki = Pki::new();
        let workspaces: Vec<Workspace> = (0..workspaces)
            .map(|number| Workspace::new(&format!("{number:08x}-aa1a-123a-aaa1-a1a345aa6789")))
            .collect();
        let fake = FakeWorkspaces::start_at(address, &pki, &workspaces).await;
        let names = fake.names();
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let text = format!(
            "[[listener]]\naddress = \"{}\"\n[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [{}]\n{}",
            free_address(),
            quoted.join(", "),
            dns.unwrap_or_default()
        );
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let gateway_config = match dns {
            None => Config::new(&text).hosts(&names, fake.address()),
            Some(_) => Config::new(&text),
        };
        let gateway = Some(Gateway::start(&gateway_config).await);
        let home = AgentHome::new("");
        std::fs::create_dir(home.path().join("logs")).expect("a folder for logs");
        Self { pki, fake, home, gateway, gateway_config }
    }

    /// Returns a workspace's ID.
    pub(crate) fn id(&self, number: usize) -> &str {
        &self.fake.workspaces()[number].id
    }

    /// Returns a file's path in the folder of logs.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.home.path().join("logs").join(name)
    }

    /// Returns the gateway while it runs.
    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a gateway that runs")
    }

    /// Kills the gateway.
    pub(crate) fn kill_gateway(&mut self) {
        self.gateway = None;
    }

    /// Starts it again at the same address.
    pub(crate) async fn start_gateway(&mut self) {
        self.gateway = Some(Gateway::start(&self.gateway_config).await);
    }

    /// Writes the agent's configuration: these workspaces, each with more lines, and this text, in which
    /// `{logs}` is the folder of logs.
    pub(crate) fn configure(&self, workspaces: &[(By, &str)], text: &str) {
        let folder = self.home.path().display();
        let mut all = format!(
            "[gateway]\nproxies = [\"{}\"]\n[azure]\nca = {:?}\n[agent]\ncomputer = \"edge7\"\nstate = \"{folder}/state\"\n\
             [log]\nformat = \"json\"\n",
            self.gateway().proxy_url(),
            self.pki.authority_file(),
        );
        for (number, (by, more)) in workspaces.iter().enumerate() {
            all.push_str(&format!("[workspace.w{number}]\n{}\n{more}\n", self.way(number, *by)));
        }
        all.push_str(&text.replace("{logs}", &format!("{folder}/logs")));
        self.home.reconfigure(&all);
    }

    fn way(&self, number: usize, by: By) -> String {
        let workspace = &self.fake.workspaces()[number];
        let Workspace { id, endpoint, rule, tenant, client, secret, .. } = workspace;
        match by {
            By::Token => format!(
                "transport = \"logs-ingestion\"\nendpoint = \"{endpoint}\"\nrule = \"{rule}\"\ntenant = \"{tenant}\"\n\
                 client = \"{client}\"\nsecret_file = {:?}",
                self.secret(&format!("w{number}.secret"), secret)
            ),
            By::Key => format!(
                "transport = \"data-collector\"\nid = \"{id}\"\nkey_file = {:?}",
                self.secret(&format!("w{number}.key"), &workspace.key_text())
            ),
            By::Certificate => format!("transport = \"log-analytics-agent\"\nid = \"{id}\""),
        }
    }

    /// Writes a file for its owner alone.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let file = self.home.write(name, text);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
            .expect("a mode of our own file");
        file
    }

    /// Makes the agent known to a workspace.
    pub(crate) async fn onboard(&self, number: usize) {
        let key = self.secret("onboarding.key", &self.fake.workspaces()[number].key_text());
        let key = key.to_string_lossy();
        let name = format!("w{number}");
        let outcome =
            self.home.command(&["onboard", "-w", self.id(number), "-k", &key, "--name", &name]).await;
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
    }

    /// Starts the agent.
    pub(crate) async fn start(&self) -> Agent {
        Agent::start(&self.home).await
    }

    /// Waits until every queue of the running agent is empty.
    pub(crate) async fn drain(&self) {
        let outcome = self.home.command(&["drain", "--within", "50s"]).await;
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
    }

    /// Returns what the running agent says about itself.
    pub(crate) async fn status(&self) -> Status {
        let outcome = self.home.command(&["status", "--json"]).await;
        Status(serde_json::from_str(&outcome.stdout).expect("a status in JSON"))
    }

    /// Waits until the running agent says this of itself.
    pub(crate) async fn wait_for_status<T>(&self, what: &str, find: impl Fn(&Status) -> Option<T>) -> T {
        patiently(what, async {
            loop {
                if let Some(found) = find(&self.status().await) {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await
    }

    /// Waits until all numbers of a series below `sent` have come to a table.
    pub(crate) async fn wait_for_series(&self, number: usize, table: &str, series: &str, sent: u64) {
        let what = format!("{sent} records of {series} in {table} of workspace {number}");
        let all = |fake: &FakeWorkspaces| {
            (fake.sequence(self.id(number), table, series).distinct() >= sent).then_some(())
        };
        self.fake.wait_for(&what, all).await;
    }

    /// Asserts that each number of a series below `sent` has come exactly once.
    pub(crate) fn assert_once(&self, number: usize, table: &str, series: &str, sent: u64) {
        let sequence = self.fake.sequence(self.id(number), table, series);
        assert_eq!((sequence.missing(sent), sequence.doubled()), (vec![], 0), "workspace {number}, {series}");
    }

    /// Asserts that each number of a series below `sent` has come exactly once, in this order.
    pub(crate) fn assert_whole(&self, number: usize, table: &str, series: &str, sent: u64) {
        self.assert_once(number, table, series, sent);
        let numbers = numbers(&self.fake.rows(self.id(number), table), series);
        let disorder = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
        assert_eq!(disorder, None, "workspace {number}, {series}: out of order");
    }

    /// Waits until the agent has its position at the end of a log of the source `app` on the disk.
    pub(crate) async fn until_saved(&self, log: &str) {
        let length = std::fs::metadata(self.log(log)).expect("our own file").len();
        let (file, text) =
            (self.home.path().join("state/positions/files.app.json"), format!("\"position\":{length},"));
        patiently("the position is saved", async {
            while !std::fs::read_to_string(&file).is_ok_and(|saved| saved.contains(&text)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Waits for an Operation row with this key, and returns it.
    pub(crate) async fn wait_for_operation(&self, number: usize, key: &str) -> Row {
        let what = format!("an Operation row of {key}");
        let find = |fake: &FakeWorkspaces| {
            let rows = fake.tables(self.id(number)).into_iter().filter(|table| table.contains("Operation"));
            let mut rows = rows.flat_map(|table| fake.rows(self.id(number), &table));
            rows.find(|row| row.wire.to_string().contains(&format!("\"{key}\"")))
        };
        self.fake.wait_for(&what, find).await
    }
}

/// What the agent says about itself.
#[derive(Debug)]
pub(crate) struct Status(pub(crate) Value);

impl Status {
    /// Returns the losses of a workspace.
    pub(crate) fn workspace_losses(&self, number: usize) -> BTreeMap<String, u64> {
        losses(&self.workspace(number)["losses"])
    }

    /// Returns what is said of a workspace.
    pub(crate) fn workspace(&self, number: usize) -> &Value {
        self.named("workspaces", &format!("w{number}"))
    }

    /// Returns what is said of a source.
    pub(crate) fn source(&self, name: &str) -> &Value {
        self.named("sources", name)
    }

    /// Returns the losses of a source.
    pub(crate) fn source_losses(&self, name: &str) -> BTreeMap<String, u64> {
        losses(&self.named("sources", name)["losses"])
    }

    fn named(&self, kind: &str, name: &str) -> &Value {
        let all = self.0[kind].as_array().expect("a list");
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }
}

fn losses(value: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(value.clone()).expect("numbers by kind")
}

/// Waits for a record of an event.
pub(crate) async fn wait_for(log: &Log, event: u64, matches: impl Fn(&Record) -> bool) -> Record {
    let find = |log: &Log| {
        let mut records = log.records().into_iter();
        records.find(|record| record.event_id() == Some(event) && matches(record))
    };
    log.wait_for(&format!("event {event}"), find).await
}

/// Returns the numbers of a series, in the order in which its rows came.
pub(crate) fn numbers(rows: &[Row], series: &str) -> Vec<u64> {
    let mark = format!("{series}-seq=");
    let number = |row: &Row| {
        let (_, rest) = row.message().split_once(&mark)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    rows.iter().filter_map(number).collect()
}

/// Returns an address that a program finds free again after a restart: the system chooses no such port by itself.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs at once begin elsewhere.
    let begin = std::process::id() as u16 % 10_000;
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("a bound address");
        }
    }
}
