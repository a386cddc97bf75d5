//! What journeys of the agent begin with: fake workspaces, a gateway with roles before them, and an agent's folder.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use end_to_end::agent::AgentHome;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::workspace::FakeWorkspaces;
use end_to_end::workspace::Row;
use end_to_end::workspace::Workspace;
use rcgen::CertificateParams;
use rcgen::KeyPair;
use rcgen::PKCS_RSA_SHA256;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::OsRng;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::stage::lonely_address;

/// The name of the machine in every configuration here.
pub(crate) const COMPUTER: &str = "edge7";
/// What the agent may reach, for a role of the gateway.
pub(crate) const BUNDLES: &str = "bundles = [\"log-analytics\", \"logs-ingestion\"]\n";
/// A syslog source on ports of the system's choice.
pub(crate) const SYSLOG: &str =
    "[source.syslog.local]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\nunix = [\"log.sock\"]\n";
/// How often a condition is looked at that the agent does not announce.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a workspace is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `log-analytics-agent`.
    Certificate,
    /// `data-collector`.
    Key,
    /// `logs-ingestion`, by the application's secret.
    Secret,
    /// `logs-ingestion`, by the application's certificate.
    Application,
}

impl By {
    /// Every way.
    pub(crate) const ALL: [Self; 4] = [Self::Certificate, Self::Key, Self::Secret, Self::Application];

    /// Returns the name that a built-in table has there.
    pub(crate) fn table(self, table: &str) -> String {
        match self {
            Self::Certificate if table == "W3CIISLog" => format!("AgentLite{table}_CL"),
            Self::Certificate => table.to_owned(),
            Self::Key => format!("AgentLite{table}_CL"),
            Self::Secret | Self::Application if table == "Syslog" => table.to_owned(),
            Self::Secret | Self::Application => format!("AgentLite{table}_CL"),
        }
    }
}

/// Everything but the agent's process.
pub(crate) struct AgentStage {
    pub(crate) pki: Pki,
    pub(crate) fake: FakeWorkspaces,
    pub(crate) gateway: Gateway,
    pub(crate) home: AgentHome,
}

impl AgentStage {
    /// Starts so many workspaces, and a gateway that serves everybody on loopback.
    pub(crate) async fn new(workspaces: usize) -> Self {
        let role = format!("[role.agents]\nanonymous_from = [\"127.0.0.0/8\", \"::1/128\"]\n{BUNDLES}");
        Self::with(workspaces, Config::new(&role)).await
    }

    /// Starts so many workspaces, and a gateway with this configuration.
    pub(crate) async fn with(workspaces: usize, config: Config) -> Self {
        let pki = Pki::new();
        let workspaces: Vec<Workspace> = (0..workspaces).map(workspace).collect();
        let fake = FakeWorkspaces::start(&pki, &workspaces).await;
        let gateway = gateway(&fake, config).await;
        let home = AgentHome::new("");
        Self { pki, fake, gateway, home }
    }

    /// Returns a workspace.
    pub(crate) fn workspace(&self, number: usize) -> &Workspace {
        &self.fake.workspaces()[number]
    }

    /// Returns a workspace's ID.
    pub(crate) fn id(&self, number: usize) -> &str {
        &self.workspace(number).id
    }

    /// Writes the agent's configuration: the gateway, workspace `w0` and so on by these ways, and this text.
    pub(crate) fn configure(&self, ways: &[By], text: &str) {
        self.configure_through(&[self.gateway.proxy_url()], "", ways, text);
    }

    /// The same with these gateways, and more lines for them.
    pub(crate) fn configure_through(&self, proxies: &[String], more: &str, ways: &[By], text: &str) {
        let mut all = format!("[gateway]\nproxies = {proxies:?}\n{more}\n{}", self.frame());
        for (number, by) in ways.iter().enumerate() {
            all.push_str(&format!("[workspace.w{number}]\n{}\n", self.way(number, *by)));
        }
        self.home.reconfigure(&format!("{all}{text}"));
    }

    /// Returns what stands in every configuration.
    pub(crate) fn frame(&self) -> String {
        format!(
            "[azure]\nca = {:?}\n[agent]\ncomputer = \"{COMPUTER}\"\nstate = \"state\"\n[log]\nformat = \"json\"\n\
             [spool]\nseal_after = \"100ms\"\nsync = \"50ms\"\n",
            self.pki.authority_file()
        )
    }

    /// Returns the keys of `[workspace.NAME]`, and writes the files they name.
    pub(crate) fn way(&self, number: usize, by: By) -> String {
        let Workspace { id, endpoint, rule, tenant, client, secret, .. } = self.workspace(number);
        let ingestion = format!(
            "transport = \"logs-ingestion\"\nendpoint = \"https://{endpoint}\"\nrule = \"{rule}\"\n\
             tenant = \"{tenant}\"\nclient = \"{client}\"\n"
        );
        match by {
            By::Certificate => format!("transport = \"log-analytics-agent\"\nid = \"{id}\""),
            By::Key => {
                self.secret(&format!("w{number}.key"), &self.workspace(number).key_text());
                format!("transport = \"data-collector\"\nid = \"{id}\"\nkey_file = \"w{number}.key\"")
            }
            By::Secret => {
                self.secret(&format!("w{number}.secret"), secret);
                format!("{ingestion}secret_file = \"w{number}.secret\"")
            }
            By::Application => {
                let (certificate, key) = application();
                self.home.write("application.crt", certificate);
                self.secret("application.key", key);
                format!("{ingestion}certificate = \"application.crt\"\nkey = \"application.key\"")
            }
        }
    }

    /// Writes a file for its owner alone.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let file = self.home.write(name, text);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
            .expect("a mode of our own file");
        file
    }

    /// Makes the agent known to a workspace under the name `w` and its number.
    pub(crate) async fn onboard(&self, number: usize) {
        let key = self.secret("onboarding.key", &self.workspace(number).key_text());
        let name = format!("w{number}");
        let key_file = key.to_string_lossy();
        let outcome =
            self.home.command(&["onboard", "-w", self.id(number), "-k", &key_file, "--name", &name]).await;
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
        std::fs::remove_file(key).expect("our own file");
    }

    /// Returns what the running agent says of itself.
    pub(crate) async fn status(&self) -> Value {
        let outcome = self.home.command(&["status", "--json"]).await;
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no status: {}", outcome.stderr))
    }

    /// Waits until the running agent says of itself what `find` looks for.
    pub(crate) async fn wait_for_status<T>(&self, what: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        patiently(what, async {
            loop {
                if let Some(found) = find(&self.status().await) {
                    return found;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }

    /// Waits until the running agent's queues are empty, then asserts that nothing was lost, doubled, refused or
    /// done as a faithful client does not.
    pub(crate) async fn assert_all_is_well(&self) {
        let outcome = self.home.command(&["drain", "--within", "50s"]).await;
        assert_eq!(outcome.exit, 0, "{}{}", outcome.stdout, outcome.stderr);
        let status = self.status().await;
        for place in list(&status, "workspaces").iter().chain(list(&status, "sources")) {
            assert_eq!(place["losses"], serde_json::json!({}), "{place}");
        }
        assert!(
            list(&status, "workspaces").iter().all(|workspace| workspace["trouble"].is_null()),
            "{status}"
        );
        self.assert_nothing_doubled();
        self.fake.assert_no_problems();
    }

    /// Asserts that no table has the same message twice; Operation has one for each start.
    pub(crate) fn assert_nothing_doubled(&self) {
        for workspace in self.fake.workspaces() {
            let tables = self.fake.tables(&workspace.id).into_iter();
            for table in tables.filter(|table| !table.contains("Operation")) {
                assert_eq!(self.fake.doubled(&workspace.id, &table), 0, "{table} of {}", workspace.id);
            }
        }
        assert!(self.fake.cut_fields().is_empty());
    }

    /// Waits until the messages of a table are these, in any order, and returns the rows.
    pub(crate) async fn wait_for_messages(&self, number: usize, table: &str, expected: &[&str]) -> Vec<Row> {
        let rows = self.fake.wait_for_rows(self.id(number), table, expected.len() as u64).await;
        let mut messages: Vec<&str> = rows.iter().map(Row::message).collect();
        let mut expected = expected.to_vec();
        messages.sort_unstable();
        expected.sort_unstable();
        assert_eq!(messages, expected, "{table} of w{number}");
        rows
    }
}

/// Returns an address at which nobody listens, and which nobody else takes.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::new(lonely_address().into(), 8080)
}

/// Returns the workspaces or sources of a status.
pub(crate) fn list<'a>(status: &'a Value, kind: &str) -> &'a [Value] {
    status[kind].as_array().expect("a list")
}

/// Starts a gateway that finds the workspaces.
pub(crate) async fn gateway(fake: &FakeWorkspaces, config: Config) -> Gateway {
    let names = fake.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Gateway::start(&config.hosts(&names, fake.address())).await
}

fn workspace(number: usize) -> Workspace {
    let certificate =
        CertificateDer::from_pem_slice(application().0.as_bytes()).expect("our own certificate");
    Workspace::new(&format!("{number:08x}-bb2b-234b-abb2-b2b345bb6789")).with_certificate(&certificate)
}

/// The certificate and key of one Entra application, in PEM.
pub(crate) fn application() -> &'static (String, String) {
    static APPLICATION: OnceLock<(String, String)> = OnceLock::new();
    APPLICATION.get_or_init(|| {
        let params = CertificateParams::new(vec!["application.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&rsa_pair()).expect("a certificate");
        (certificate.pem(), rsa_pair().serialize_pem())
    })
}

/// Returns the one RSA key of these journeys: they take long to find.
pub(crate) fn rsa_pair() -> KeyPair {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).expect("a key").to_pkcs8_der();
        key.expect("a key in DER").as_bytes().to_vec()
    };
    let key = PrivatePkcs8KeyDer::from(KEY.get_or_init(make).clone());
    KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_RSA_SHA256).expect("a key")
}

/// Returns every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).flat_map(below).collect();
    files.sort();
    files
}
