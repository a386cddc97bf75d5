//! What was written, checked and with its defaults: the values the floors above work with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use common::host_port::HostPort;
use common::proxy_url::ProxyUrl;
use common::secret::Secret;
use serde::Deserialize;

pub use self::sources::ChannelQuery;
pub use self::sources::CounterSettings;
pub use self::sources::Encoding;
pub use self::sources::EvtxSettings;
pub use self::sources::FilesSettings;
pub use self::sources::HeartbeatSettings;
pub use self::sources::PerformanceSettings;
pub use self::sources::ReadFrom;
pub use self::sources::RecordStart;
pub use self::sources::Source;
pub use self::sources::SourceKind;
pub use self::sources::SyslogSettings;
pub use self::sources::TimeForm;
pub use self::sources::WindowsEventsSettings;
use crate::record::Table;
use crate::spool::WhenFull;
use crate::transport::RuleBlobAddress;

mod sources;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How out of here.
    pub gateway: GatewaySettings,
    /// A file with the roots that vouch for Azure, in PEM; none: the system's.
    pub azure_ca: Option<PathBuf>,
    /// This machine's name in every record.
    pub computer: String,
    /// The folder of identities, positions and the control socket.
    pub state: PathBuf,
    /// Whether a clone is noticed; where nothing is said, it is, but not in a container.
    pub clones: Option<Clones>,
    /// Where this machine's root is seen, for its parts.
    pub host_root: PathBuf,
    /// The queues.
    pub spool: SpoolSettings,
    /// Where records go, at least one.
    pub workspaces: Vec<Workspace>,
    /// Where records come from.
    pub sources: Vec<Source>,
    /// Where the metrics are, if anywhere; loopback only.
    pub metrics: Option<SocketAddr>,
    /// How the agent's own log is written.
    pub log: LogSettings,
    /// Where a data collection rule comes from, if one does.
    pub rule: Option<RuleSettings>,
}

/// A data collection rule from elsewhere, and what it may do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// Where it lies.
    pub place: RulePlace,
    /// How often it is looked at.
    pub poll: Duration,
    /// How long sending is watched after a new one was taken.
    pub probation: Duration,
    /// The workspaces, by their names here, of the destinations' names in the rule.
    pub destinations: BTreeMap<String, String>,
    /// Folders below which a rule may name files.
    pub log_directories: Vec<PathBuf>,
    /// Where syslog is received; a rule only says what is taken.
    pub syslog: SyslogSettings,
}

/// Where a data collection rule lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePlace {
    /// A file of this machine.
    File(PathBuf),
    /// A blob, asked for through the gateways.
    Blob(RuleBlobAddress),
}

impl RulePlace {
    /// Returns the place as it may be shown.
    pub fn shown(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Blob(address) => address.shown(),
        }
    }
}

/// What an agent does on a machine that is not the one it was sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clones {
    /// It takes a new identity and sets aside what it inherited.
    Notice,
    /// It goes on: the state folder belongs to whoever was given it.
    Ignore,
}

/// The gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// In the order in which they are tried; at least one.
    pub proxies: Vec<ProxyUrl>,
    /// A file with the roots that vouch for gateways with `https://`, in PEM; none: the system's.
    pub ca: Option<PathBuf>,
    /// How long TCP, TLS and CONNECT at one gateway may take together.
    pub connect: Duration,
    /// How long a later gateway is used before the first is tried again.
    pub return_after: Duration,
}

/// The agent's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Its form.
    pub format: LogFormat,
    /// The least that is written.
    pub level: LogLevel,
}

/// The log's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A line a person reads.
    Text,
    /// A line of JSON.
    Json,
}

/// The least that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings, too.
    Warn,
    /// Everything.
    Info,
}

/// The queues on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The folder; each workspace has its own below.
    pub folder: PathBuf,
    /// How old unsynced data may become.
    pub sync: Duration,
    /// How old an open segment may become before it is sent; one of counters' samples six times as old.
    pub seal_after: Duration,
    /// How large a segment may become, in bytes.
    pub segment: u64,
}

/// One workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace {
    /// Its name here: letters, digits, `-` and `_`.
    pub name: String,
    /// How records are sent.
    pub transport: TransportSettings,
    /// Most bytes of its queue on the disk.
    pub cap: u64,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
}

/// A way into a workspace.
#[derive(Clone, Debug, PartialEq)]
pub enum TransportSettings {
    /// The legacy agent's: onboarded by ID and key, then by client certificate.
    LogAnalyticsAgent {
        /// The workspace's GUID, lower case.
        workspace: String,
        /// `opinsights.azure.com` and its like.
        domain: String,
        /// A file with the workspace's key, for an agent that onboards itself. It is read only then.
        key_file: Option<PathBuf>,
    },
    /// The HTTP Data Collector API.
    DataCollector {
        /// The workspace's GUID, lower case.
        workspace: String,
        /// `opinsights.azure.com` and its like.
        domain: String,
        /// The workspace's primary or secondary key, in base64.
        key: Secret,
    },
    /// The Logs Ingestion API.
    LogsIngestion(LogsIngestionSettings),
}

/// A data collection rule and who may send to it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogsIngestionSettings {
    /// The host of the DCE, or of the DCR's own endpoint; port 443.
    pub endpoint: HostPort,
    /// `dcr-` and 32 hex digits.
    pub rule: String,
    /// The stream of each table; a table without one is not sent.
    pub streams: BTreeMap<Table, String>,
    /// The Entra tenant, a GUID or a domain.
    pub tenant: String,
    /// The application (client) ID.
    pub client: String,
    /// How the application proves itself.
    pub credential: CredentialSettings,
    /// `login.microsoftonline.com` and its like.
    pub token_host: HostPort,
    /// `https://monitor.azure.com/.default` and its like.
    pub scope: String,
}

impl LogsIngestionSettings {
    /// The word that stands for no stream.
    pub const OFF: &str = "off";

    /// Returns the stream of a table: what was written, else `Custom-` and a custom table's own name.
    pub fn stream(&self, table: &Table) -> Option<String> {
        match (self.streams.get(table), table) {
            (Some(stream), _) if stream == Self::OFF => None,
            (Some(stream), _) => Some(stream.clone()),
            (None, Table::Custom(name)) => Some(format!("Custom-{name}")),
            (None, _) => None,
        }
    }
}

/// How an Entra application proves itself.
#[derive(Clone, Debug, PartialEq)]
pub enum CredentialSettings {
    /// By a client secret.
    Secret(Secret),
    /// By a certificate with an RSA key.
    Certificate {
        /// The certificate, in PEM.
        certificate: PathBuf,
        /// Its key, in PEM (PKCS#8 or PKCS#1).
        key: PathBuf,
    },
}
