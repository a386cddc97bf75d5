//! What was written, checked and with its defaults: the values the floors above work with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use common::host_port::HostPort;
use common::proxy_url::ProxyUrl;
use common::secret::Secret;
use serde::Deserialize;

use crate::record::Table;
use crate::spool::WhenFull;

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

/// One source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name: `syslog.local`, `files.app`, `performance`, `heartbeat`.
    pub name: String,
    /// The names of the workspaces it goes to; none means all.
    pub workspaces: Vec<String>,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// Syslog by UDP, TCP or unix socket.
    Syslog(SyslogSettings),
    /// Performance counters.
    Performance(PerformanceSettings),
    /// Custom text logs.
    Files(FilesSettings),
    /// Files of Windows' event logs.
    Evtx(EvtxSettings),
    /// Channels of this Windows' event log.
    WindowsEvents(WindowsEventsSettings),
    /// Logs of IIS: files, too.
    Iis(FilesSettings),
    /// A row a minute.
    Heartbeat(HeartbeatSettings),
}

/// A syslog listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSettings {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses; octet counting and lines are told apart by themselves (RFC 6587).
    pub tcp: Vec<SocketAddr>,
    /// Unix sockets, datagrams.
    pub unix: Vec<PathBuf>,
    /// Facilities that are taken, by their names; none means all.
    pub facilities: Vec<String>,
    /// The least severity that is taken, 0 (emerg) to 7 (debug).
    pub severity: u8,
    /// Most TCP connections at once.
    pub connections: usize,
    /// How long a TCP connection may be silent.
    pub idle: Duration,
}

/// Performance counters.
#[derive(Clone, Debug, PartialEq)]
pub struct PerformanceSettings {
    /// What is sampled.
    pub counters: Vec<CounterSettings>,
}

/// Some counters of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterSettings {
    /// `Processor`, `Memory`, `Logical Disk` …
    pub object: String,
    /// The counters' names; `*` means all.
    pub counters: Vec<String>,
    /// The instances: names, or patterns with `*`.
    pub instances: Vec<String>,
    /// How often.
    pub every: Duration,
}

/// Custom text logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSettings {
    /// Paths with `*`, `?`, `**` and `[…]`.
    pub paths: Vec<String>,
    /// The custom table.
    pub table: Table,
    /// Where a record begins.
    pub record: RecordStart,
    /// How bytes become text.
    pub encoding: Encoding,
    /// Where a file that is new to a new configuration is read from.
    pub from: ReadFrom,
    /// How often folders are looked at for new files.
    pub look: Duration,
    /// How long an unfinished record waits for its end.
    pub flush_after: Duration,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStart {
    /// Every line is one.
    NewLine,
    /// A line that begins with a time of this form; other lines belong to the record before.
    Time(TimeForm),
    /// Every line of a W3C log, with a column for each field.
    W3cLine,
}

/// The eight forms of time of Azure Monitor's custom text logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// `YYYY-MM-DD HH:MM:SS`
    YearFirst,
    /// `M/D/YYYY HH:MM:SS AM/PM`
    MonthFirst,
    /// `Mon DD, YYYY HH:MM:SS`
    MonthName,
    /// `yyMMdd HH:mm:ss`
    Short,
    /// `ddMMyy HH:mm:ss`
    ShortDayFirst,
    /// `MMM d hh:mm:ss`
    Syslog,
    /// `dd/MMM/yyyy:HH:mm:ss zzz`
    WebServer,
    /// `yyyy-MM-ddTHH:mm:ssK`
    Iso8601,
}

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    /// UTF-8, or UTF-16 when the file begins with its mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, little end first.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// UTF-16, big end first.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// An ANSI code page; of IIS logs only.
    #[serde(skip)]
    CodePage(&'static encoding_rs::Encoding),
}

/// Where a file is read from when it is first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// From its beginning.
    Beginning,
    /// From its end: only files that are there when the source is new; later ones are read whole.
    End,
}

/// Files of Windows' event logs, carried over from machines without an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvtxSettings {
    /// Paths with `*`, `?`, `**` and `[…]`.
    pub paths: Vec<String>,
    /// How often folders are looked at for new files.
    pub look: Duration,
    /// Most bytes of a file that is read.
    pub largest: u64,
}

/// Channels of this Windows' event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsEventsSettings {
    /// The channels, each with the events that are taken.
    pub queries: Vec<ChannelQuery>,
    /// Where a channel that was never read begins.
    pub from: ReadFrom,
}

/// A channel and which of its events are taken, written `System!*[System[Level<=3]]` as in data collection rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelQuery {
    /// The channel's name.
    pub channel: String,
    /// XPath as the event log has it; `*` takes all.
    pub query: String,
}

/// The agent's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// How often.
    pub every: Duration,
}
