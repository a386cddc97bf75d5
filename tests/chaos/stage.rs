//! Who is in a run: agents, gateways between them and the internet, the service and the name server there.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex as Lock;
use std::time::Instant;
use std::time::SystemTime;

use end_to_end::agent::AgentHome;
use end_to_end::config::Config;
use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::network::Network;
use end_to_end::pki::Pki;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Workspace;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::edge::Edge;
use crate::edge::WhenFull;
use crate::gate::Gate;
use crate::memory;
use crate::processes::Holding;
use crate::schedule::Cast;
use crate::tally::Tally;

const WORKSPACE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const AZURE: &str = "20.42.65.90";
const NAMES: &str = "9.9.9.9";
/// Hosts that gateways run at.
pub(crate) const HOSTS: [&str; 4] = ["one", "two", "three", "four"];
/// Where Debian has libfaketime.
const CLOCKS: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// Everything of a run.
pub(crate) struct Stage {
    pub(crate) network: Arc<Network>,
    pub(crate) pki: Pki,
    pub(crate) azure: Arc<FakeWorkspaces>,
    pub(crate) dns: FakeDns,
    pub(crate) gates: Vec<Mutex<Gate>>,
    /// What each gateway held when it had just started.
    pub(crate) idle: Vec<Holding>,
    pub(crate) edges: Vec<Mutex<Edge>>,
    /// One fault at once of each link, of the inner and the outer one of each gateway.
    pub(crate) links: Vec<[Mutex<()>; 2]>,
    pub(crate) tally: Tally,
    pub(crate) journal: Journal,
    pub(crate) memory: memory::Groups,
    _programs: TempDir,
}

/// What happened, in its order: a line of JSON each on the standard output, and what went wrong.
pub(crate) struct Journal {
    begun: Instant,
    troubles: Lock<Vec<Trouble>>,
    broken: Lock<Vec<String>>,
    notes: Lock<BTreeMap<String, u64>>,
}

/// A fault that was on.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) cause: String,
    /// Whose it was, when it was an agent's.
    pub(crate) agent: Option<usize>,
    pub(crate) from: SystemTime,
    pub(crate) to: Option<SystemTime>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let (troubles, broken, notes) = Default::default();
        Self { begun: Instant::now(), troubles, broken, notes }
    }

    /// Writes a line.
    pub(crate) fn say(&self, event: &str, more: serde_json::Value) {
        let at = (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let mut line = json!({ "at": at, "event": event });
        for (name, value) in more.as_object().into_iter().flatten() {
            line[name] = value.clone();
        }
        println!("{line}");
    }

    /// Writes down that something does not hold.
    pub(crate) fn broken(&self, what: impl Into<String>) {
        let what = what.into();
        self.say("broken", json!({ "what": what }));
        self.broken.lock().expect("no panic under the lock").push(what);
    }

    /// Returns what does not hold.
    pub(crate) fn all_broken(&self) -> Vec<String> {
        self.broken.lock().expect("no panic under the lock").clone()
    }

    /// Counts something worth a line of the summary.
    pub(crate) fn count(&self, what: &str) {
        *self.notes.lock().expect("no panic under the lock").entry(what.to_owned()).or_default() += 1;
    }

    /// Returns what was counted.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.notes.lock().expect("no panic under the lock").clone()
    }

    /// Notes that a fault begins; returns its number.
    pub(crate) fn begins(&self, cause: String, agent: Option<usize>) -> usize {
        let mut troubles = self.troubles.lock().expect("no panic under the lock");
        troubles.push(Trouble { cause, agent, from: SystemTime::now(), to: None });
        troubles.len() - 1
    }

    /// Notes that it is over.
    pub(crate) fn ends(&self, number: usize) {
        self.troubles.lock().expect("no panic under the lock")[number].to = Some(SystemTime::now());
    }

    /// Returns all of them.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.troubles.lock().expect("no panic under the lock").clone()
    }
}

impl Stage {
    /// Starts everything, or says `skipped: …`.
    pub(crate) async fn start(cast: Cast) -> Option<Self> {
        let network = Arc::new(network(cast.gateways)?);
        let programs = tempfile::tempdir().expect("a temporary folder");
        let program = programs.path().join("la-gateway");
        std::fs::copy(end_to_end::gateway::program(), &program).expect("a copy of the program");
        for path in [programs.path(), &program] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
        }
        let pki = Pki::new();
        let listener = network.listen("i", &format!("{AZURE}:443"));
        let azure = FakeWorkspaces::start_on(listener, &pki, &[Workspace::new(WORKSPACE)]);
        let place = format!("{NAMES}:53");
        let dns = FakeDns::start_on(network.datagrams("i", &place), network.listen("i", &place));
        dns.keep_for(1);
        let (journal, memory) = (Journal::new(), memory::Groups::new());
        let (mut gates, mut idle) = (Vec::new(), Vec::new());
        for (number, host) in HOSTS.iter().take(cast.gateways).enumerate() {
            let mut gate = Gate::new(&network, host, &program, config(number));
            gate.start().await.unwrap_or_else(|error| panic!("{error}"));
            gates.push(Mutex::new(gate));
        }
        let mut stage = Self {
            network,
            pki,
            azure: Arc::new(azure),
            dns,
            gates,
            idle: Vec::new(),
            edges: Vec::new(),
            links: (0..cast.gateways).map(|_| Default::default()).collect(),
            tally: Tally::default(),
            journal,
            memory,
            _programs: programs,
        };
        stage.names_are(&Reply::address(AZURE));
        for gate in &stage.gates {
            let gate = gate.lock().await;
            gate.metrics().unwrap_or_else(|error| panic!("{error}"));
            idle.push(Holding::of(gate.pid()).expect("a gateway that runs"));
        }
        stage.idle = idle;
        for number in 0..cast.agents {
            let edge = stage.edge(number, cast).await;
            stage.edges.push(Mutex::new(edge));
        }
        Some(stage)
    }

    /// Sets the name server's answer.
    pub(crate) fn names_are(&self, reply: &Reply) {
        self.azure.names().iter().for_each(|name| self.dns.script(name, [reply.clone()]));
    }

    /// Sets it right again.
    pub(crate) fn names_are_right(&self) {
        self.names_are(&Reply::address(AZURE));
    }

    async fn edge(&self, number: usize, cast: Cast) -> Edge {
        let mut home = AgentHome::new("");
        let starter = self.network.starter("a");
        home.start_by(&starter.iter().map(String::as_str).collect::<Vec<_>>());
        let clock = clock().filter(|_| number.is_multiple_of(2));
        if let Some(library) = &clock {
            home.write("clock", "+0\n");
            home.set_variable("LD_PRELOAD", &library.display().to_string());
            home.set_variable("FAKETIME_TIMESTAMP_FILE", &home.path().join("clock").display().to_string());
            home.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            home.set_variable("FAKETIME_NO_CACHE", "1");
        }
        let when_full = if number % 4 == 3 { WhenFull::DropOldest } else { WhenFull::Block };
        let proxies: Vec<String> = (0..cast.gateways)
            .map(|turn| format!("http://{}", proxy((number + turn) % cast.gateways)))
            .collect();
        let (way, folder) = (self.way(number, &home), home.path().to_owned());
        let config = format!(
            "[gateway]\nproxies = {proxies:?}\nconnect = \"3s\"\nreturn_after = \"15s\"\n[azure]\nca = {:?}\n\
             [agent]\ncomputer = \"edge{number}\"\nstate = \"state\"\nclones = \"ignore\"\n[log]\nformat = \"json\"\n\
             [workspace.w0]\n{way}\n{}{}",
            self.pki.authority_file(),
            Edge::queue(when_full),
            Edge::sources(number, &folder, "1h"),
        );
        let mut edge = Edge::new(number, home, config, when_full, clock.is_some());
        if number % 3 == 2 {
            self.onboard(&edge).await;
        }
        edge.start().await;
        edge
    }

    /// Returns how this agent's workspace is reached, one of the three ways.
    fn way(&self, number: usize, home: &AgentHome) -> String {
        let Workspace { id, endpoint, rule, tenant, client, secret, .. } = &self.azure.workspaces()[0];
        match number % 3 {
            0 => {
                private(home, "w0.secret", secret);
                format!(
                    "transport = \"logs-ingestion\"\nendpoint = \"https://{endpoint}\"\nrule = \"{rule}\"\n\
                     tenant = \"{tenant}\"\nclient = \"{client}\"\nsecret_file = \"w0.secret\""
                )
            }
            1 => {
                private(home, "w0.key", &self.azure.workspaces()[0].key_text());
                format!("transport = \"data-collector\"\nid = \"{id}\"\nkey_file = \"w0.key\"")
            }
            _ => format!("transport = \"log-analytics-agent\"\nid = \"{id}\""),
        }
    }

    async fn onboard(&self, edge: &Edge) {
        private(&edge.home, "onboarding.key", &self.azure.workspaces()[0].key_text());
        let key = edge.home.path().join("onboarding.key");
        let arguments = ["onboard", "-w", WORKSPACE, "-k", &key.to_string_lossy(), "--name", "w0"];
        let outcome = edge.home.command(&arguments).await;
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
    }
}

fn private(home: &AgentHome, name: &str, text: &str) {
    let file = home.write(name, text);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

fn proxy(gateway: usize) -> String {
    format!("10.21.{gateway}.1:8080")
}

fn network(gateways: usize) -> Option<Network> {
    let hosts: Vec<&'static str> = ["a", "i"].into_iter().chain(HOSTS.into_iter().take(gateways)).collect();
    let network = Network::new(&hosts)?;
    network.addresses("i", &[AZURE, NAMES]);
    for (number, host) in HOSTS.into_iter().take(gateways).enumerate() {
        let (agents, inner) = (format!("10.21.{number}.2/24"), format!("10.21.{number}.1/24"));
        network.link((host, "inner", &[&inner]), ("a", host, &[&agents]));
        let (outer, far) = (format!("20.1.{number}.2/24"), format!("20.1.{number}.1/24"));
        network.link((host, "outer", &[&outer]), ("i", host, &[&far]));
        network.ip(host, &[&format!("route add default via 20.1.{number}.1")]);
    }
    Some(network)
}

fn config(gateway: usize) -> Config {
    // One that keeps no name longer than it may, so that a name server in trouble is felt.
    let stale = if gateway == 1 { "stale_for = \"0s\"\n" } else { "" };
    Config::new(&format!(
        "[[listener]]\naddress = \"{}\"\n[admin]\naddress = \"127.0.0.1:9180\"\n\
         [dns]\nservers = [\"{NAMES}\"]\n{stale}[addresses]\nallow = []\n\
         [tunnel]\nhello = \"5s\"\nconnect = \"5s\"\nidle = \"60s\"\ndrain = \"3s\"\n\
         [role.agents]\nanonymous_from = [\"10.21.{gateway}.0/24\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n",
        proxy(gateway)
    ))
}

/// Returns the library that sets the agent's clock, if there is one and the program loads libraries.
fn clock() -> Option<PathBuf> {
    let library = CLOCKS.iter().map(PathBuf::from).find(|path| path.exists())?;
    let bytes = std::fs::read(end_to_end::agent::program()).ok()?;
    loads_libraries(&bytes).filter(|loads| *loads).map(|_| library)
}

/// Returns whether a 64-bit ELF file of this machine's order names an interpreter.
fn loads_libraries(bytes: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let table = u64::from_le_bytes(bytes.get(0x20..0x28)?.try_into().ok()?) as usize;
    let (size, count) = (usize::from(half(0x36)?), usize::from(half(0x38)?));
    let kind = |entry: usize| {
        let at = table + entry * size;
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    Some((0..count).any(|entry| kind(entry) == Some(INTERPRETER)))
}
