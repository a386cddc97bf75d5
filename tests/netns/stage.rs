//! Who is on every stage here: the fakes of the internet, a gateway with its real address policy, an agent.

use std::os::unix::fs::PermissionsExt;

use end_to_end::agent::Agent;
use end_to_end::agent::AgentHome;
use end_to_end::config::Config;
use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::program;
use end_to_end::pki::Pki;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Workspace;

use end_to_end::network::Network;

/// The user that the gateway runs as: nobody else has this number.
pub(crate) const USER: u32 = 64_321;
/// Azure's, and the only one that is served there.
pub(crate) const WORKSPACE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

/// The internet: Azure at one address, and a name server.
pub(crate) struct Internet {
    pub(crate) pki: Pki,
    pub(crate) azure: FakeWorkspaces,
    pub(crate) dns: FakeDns,
}

impl Internet {
    /// Starts both at a host; every name of Azure leads to `answer`.
    pub(crate) fn start(network: &Network, host: &str, azure: &str, answer: &str, dns: &str) -> Self {
        let pki = Pki::new();
        let workspaces = [Workspace::new(WORKSPACE)];
        let azure = FakeWorkspaces::start_on(network.listen(host, azure), &pki, &workspaces);
        let dns = FakeDns::start_on(network.datagrams(host, dns), network.listen(host, dns));
        for name in azure.names() {
            dns.script(&name, [Reply::address(answer)]);
        }
        Self { pki, azure, dns }
    }

    /// Returns the workspace.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.azure.workspaces()[0]
    }

    /// Makes the folder of an agent with a syslog source and a file, which knows these gateways.
    pub(crate) fn agent(&self, starter: &[String], proxies: &[&str]) -> AgentHome {
        let Workspace { endpoint, rule, tenant, client, secret, .. } = self.workspace();
        let mut home = AgentHome::new("");
        let folder = home.path().display().to_string();
        home.reconfigure(&format!(
            "[gateway]\nproxies = {proxies:?}\n[azure]\nca = {:?}\n[agent]\ncomputer = \"edge7\"\nstate = \"state\"\n\
             [log]\nformat = \"json\"\n[spool]\nseal_after = \"100ms\"\nsync = \"50ms\"\n\
             [workspace.w0]\ntransport = \"logs-ingestion\"\nendpoint = \"https://{endpoint}\"\nrule = \"{rule}\"\n\
             tenant = \"{tenant}\"\nclient = \"{client}\"\nsecret_file = \"w0.secret\"\n\
             [source.syslog.local]\nudp = [\"127.0.0.1:0\"]\n\
             [source.files.app]\npaths = [\"{folder}/app.log\"]\ntable = \"App_CL\"\nlook = \"200ms\"\nfrom = \"beginning\"\n",
            self.pki.authority_file()
        ));
        let secret = home.write("w0.secret", secret);
        std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600)).expect("our own file");
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        home.start_by(&starter);
        home
    }

    /// Sends a message to the agent's syslog source and a line to its file, and waits for both in the workspace.
    pub(crate) async fn deliver(
        &self,
        network: &Network,
        host: &str,
        home: &AgentHome,
        agent: &Agent,
        text: &str,
    ) {
        let address = agent.udp();
        network.enter(host, || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket
                .send_to(format!("<13>app: {text} by syslog").as_bytes(), address)
                .expect("a datagram sent");
        });
        let file = home.path().join("app.log");
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        home.write("app.log", format!("{before}{text} by file\n"));
        for (table, way) in [("Syslog", "syslog"), ("App_CL", "file")] {
            let said = format!("{text} by {way}");
            let came = |azure: &FakeWorkspaces| {
                azure.rows(WORKSPACE, table).iter().any(|row| row.message() == said).then_some(())
            };
            self.azure.wait_for(&said, came).await;
        }
    }
}

/// Starts a gateway at a host, as a user of its own.
pub(crate) async fn gateway(network: &Network, host: &str, config: &Config) -> Gateway {
    Gateway::start_as(&network.starter(host), USER, config).await
}

/// Returns the rules that the program makes of a configuration.
pub(crate) fn firewall(config: &Config, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = config.write(folder.path());
    let mut command = std::process::Command::new(program());
    command.arg("--config").arg(file).args(["firewall", "nft"]).args(arguments);
    // No machine's own rules are part of a test.
    let output = command.arg("--own-rules").arg(folder.path()).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

/// Returns the rules of the gateway's host.
pub(crate) fn dmz(config: &Config) -> String {
    firewall(config, &["--user", &USER.to_string()])
}
