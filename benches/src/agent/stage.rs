//! What every scenario begins with: a fake Azure, a gateway before it, and an agent's folder.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

pub(crate) use benches::free_address;
use end_to_end::agent::Agent;
use end_to_end::agent::AgentHome;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::pki::Pki;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Retention;
use end_to_end::workspace::Sequence;
use end_to_end::workspace::Workspace;
use serde_json::Value;
use serde_json::json;

const ID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
/// What comes so long after nothing else came does not come any more.
const SILENCE: Duration = Duration::from_secs(20);
/// How often the fake is asked what has come.
const LOOK: Duration = Duration::from_millis(20);

/// How the agent sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// DCE and DCR, gzip.
    LogsIngestion,
    /// Client certificate, deflate.
    LogAnalyticsAgent,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LogsIngestion => "logs-ingestion",
            Self::LogAnalyticsAgent => "log-analytics-agent",
        }
    }
}

/// Everything but the agent's process.
pub(crate) struct Stage {
    pub(crate) azure: FakeWorkspaces,
    pub(crate) home: AgentHome,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) metrics: SocketAddr,
    gateway: Option<Gateway>,
    gateway_config: Config,
    workspace: Workspace,
    transport: Transport,
    pki: Pki,
}

/// What arrived of one series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrived {
    /// Sent and never seen.
    pub lost: u64,
    /// Seen again, each time counted.
    pub doubled: u64,
}

impl Stage {
    /// Starts all; the agent's sources are this TOML, in which `{udp}`, `{tcp}`, `{unix}` and `{logs}` are filled in.
    pub(crate) async fn new(transport: Transport, sources: &str) -> Self {
        let pki = Pki::new();
        let workspace = Workspace::new(ID);
        let azure = FakeWorkspaces::start(&pki, std::slice::from_ref(&workspace)).await;
        azure.keep(Retention::Counts);
        let names = azure.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let hosts: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let text = format!(
            "[[listener]]\naddress = \"{}\"\n[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nhosts = [{}]\n",
            free_address(),
            hosts.join(", ")
        );
        let gateway_config = Config::new(&text).hosts(&names, azure.address());
        let gateway = Some(Gateway::start(&gateway_config).await);
        let home = AgentHome::new("");
        std::fs::create_dir(home.path().join("logs")).expect("a folder for logs");
        let (udp, tcp, metrics) = (free_address(), free_address(), free_address());
        let stage =
            Self { azure, home, udp, tcp, metrics, gateway, gateway_config, workspace, transport, pki };
        stage.configure(sources, "1GiB");
        stage.onboard().await;
        stage
    }

    /// Writes the agent's configuration with these sources and this cap of the queue.
    pub(crate) fn configure(&self, sources: &str, cap: &str) {
        let folder = self.home.path().display();
        let sources = sources
            .replace("{udp}", &self.udp.to_string())
            .replace("{tcp}", &self.tcp.to_string())
            .replace("{unix}", &format!("{folder}/syslog.sock"))
            .replace("{logs}", &format!("{folder}/logs"));
        let (proxy, ca) = (self.gateway().proxy_url(), self.pki.authority_file());
        let text = format!(
            "[gateway]\nproxies = [\"{proxy}\"]\n[azure]\nca = {ca:?}\n[agent]\ncomputer = \"edge7\"\n\
             state = \"{folder}/state\"\n[spool]\nfolder = \"{folder}/spool\"\n[metrics]\naddress = \"{}\"\n\
             [log]\nformat = \"json\"\n[workspace.bench]\ncap = \"{cap}\"\n{}\n{sources}",
            self.metrics,
            self.way()
        );
        self.home.reconfigure(&text);
    }

    fn way(&self) -> String {
        let Workspace { id, endpoint, rule, tenant, client, secret, .. } = &self.workspace;
        match self.transport {
            Transport::LogAnalyticsAgent => format!("transport = \"log-analytics-agent\"\nid = \"{id}\""),
            Transport::LogsIngestion => {
                let file = self.home.write("secret", secret);
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(&file, mode).expect("a mode of our own file");
                format!(
                    "transport = \"logs-ingestion\"\nendpoint = \"{endpoint}\"\nrule = \"{rule}\"\n\
                     tenant = \"{tenant}\"\nclient = \"{client}\"\nsecret_file = {file:?}\n\
                     streams = {{ Perf = \"Custom-AgentLitePerf_CL\", Heartbeat = \"Custom-AgentLiteHeartbeat_CL\", \
                     Operation = \"Custom-AgentLiteOperation_CL\" }}"
                )
            }
        }
    }

    async fn onboard(&self) {
        if self.transport == Transport::LogAnalyticsAgent {
            let key = self.workspace.key_text();
            let proxy = self.gateway().proxy_url();
            let outcome = self.home.command(&["onboard", "-w", ID, "-s", &key, "-p", &proxy]).await;
            assert_eq!(outcome.exit, 0, "onboarding failed: {}{}", outcome.stdout, outcome.stderr);
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.workspace.id
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.home.path().join("logs")
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a gateway that runs")
    }

    /// Kills the gateway.
    pub(crate) fn stop_gateway(&mut self) {
        self.gateway = None;
    }

    /// Starts it again at the same address.
    pub(crate) async fn start_gateway(&mut self) {
        self.gateway = Some(Gateway::start(&self.gateway_config).await);
    }

    /// Returns the bytes that tunnels carried up which have ended.
    pub(crate) async fn bytes_up(&self) -> f64 {
        self.gateway().metric("la_gateway_tunnel_bytes_total", &[("direction", "up")]).await
    }

    pub(crate) async fn start_agent(&self) -> Agent {
        Agent::start(&self.home).await
    }

    /// Returns the sequence of a series, in whichever table its records go to.
    pub(crate) fn sequence(&self, series: &str) -> Sequence {
        let table = if series == "file" { "App_CL" } else { "Syslog" };
        self.azure.sequence(self.id(), table, series)
    }

    pub(crate) fn arrived(&self, series: &str, sent: u64) -> Arrived {
        let sequence = self.sequence(series);
        Arrived { lost: sequence.count_missing(sent), doubled: sequence.doubled() }
    }

    fn rows(&self) -> u64 {
        ["Syslog", "App_CL"].iter().map(|table| self.azure.count(self.id(), table)).sum()
    }

    /// Waits until everything that was sent has come, or nothing comes any more; returns when the last came.
    pub(crate) async fn drained(&self, sent: &[(&str, u64)], within: Duration) -> Instant {
        let deadline = Instant::now() + within;
        let (mut last, mut rows) = (Instant::now(), 0);
        let all = |stage: &Self| sent.iter().all(|(series, sent)| stage.sequence(series).distinct() >= *sent);
        let total: u64 = sent.iter().map(|(_, sent)| sent).sum();
        while Instant::now() < deadline && last.elapsed() < SILENCE {
            let now = self.rows();
            if now != rows {
                (last, rows) = (Instant::now(), now);
            }
            if rows >= total && all(self) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        last
    }

    /// Says what a faithful client does not do, if the agent did it; a measurement of a broken agent is none.
    pub(crate) fn complain(&self) {
        let problems = self.azure.problems();
        for problem in problems.iter().take(5) {
            eprintln!("problem: {:?} {}", problem.place, problem.text);
        }
        if problems.len() > 5 {
            eprintln!("… and {} more problems", problems.len() - 5);
        }
    }
}

impl Arrived {
    pub(crate) fn json(self) -> Value {
        json!({ "lost": self.lost, "doubled": self.doubled })
    }
}

/// Waits until a check gives something, looking at this interval; none when the time is over.
pub(crate) async fn until<T>(
    within: Duration,
    look: Duration,
    mut check: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = check() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(look).await;
    }
}
