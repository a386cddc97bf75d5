//! The configuration as it is written: one struct a table, each default beside its field.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytesize::ByteSize;
use common::document::List;
use common::document::Parsed;
use common::document::values::Span;
use serde::Deserialize;
use toml::Spanned;

use super::settings::Clones;
use super::settings::Encoding;
use super::settings::LogFormat;
use super::settings::LogLevel;
use super::settings::ReadFrom;
use super::values::CodePage;
use super::values::Facility;
use super::values::Proxy;
use super::values::Query;
use super::values::RecordForm;
use super::values::Severity;
use super::values::Size;
use crate::record::Table;
use crate::spool::WhenFull;

type Duration = Parsed<Span>;

fn milliseconds(milliseconds: u64) -> Duration {
    Parsed(Span(std::time::Duration::from_millis(milliseconds)))
}

fn seconds(seconds: u64) -> Duration {
    milliseconds(seconds * 1000)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) gateway: Option<Spanned<Gateway>>,
    pub(super) azure: Azure,
    pub(super) agent: Agent,
    pub(super) spool: Spool,
    pub(super) metrics: Option<Spanned<Metrics>>,
    pub(super) log: Log,
    pub(super) workspace: BTreeMap<String, Spanned<Workspace>>,
    pub(super) source: Option<Sources>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    pub(super) proxies: List<Proxy>,
    pub(super) proxy_conf: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) connect: Duration,
    pub(super) return_after: Duration,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            proxies: List::default(),
            proxy_conf: None,
            ca: None,
            connect: seconds(10),
            return_after: seconds(5 * 60),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Azure {
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Agent {
    pub(super) computer: Option<Spanned<String>>,
    pub(super) state: Option<PathBuf>,
    pub(super) clones: Option<Clones>,
    pub(super) host_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spool {
    pub(super) folder: Option<PathBuf>,
    pub(super) sync: Duration,
    pub(super) seal_after: Duration,
    pub(super) segment: Spanned<Parsed<Size>>,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            folder: None,
            sync: milliseconds(200),
            seal_after: seconds(5),
            segment: Spanned::new(0..0, Parsed(Size(ByteSize::kib(512).as_u64()))),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) address: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// Every key of every transport; which ones belong together is checked when the transport is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Workspace {
    pub(super) transport: Option<TransportName>,
    pub(super) id: Option<Spanned<String>>,
    pub(super) domain: Option<Spanned<String>>,
    pub(super) cloud: Option<Spanned<Parsed<common::cloud::Cloud>>>,
    pub(super) key_file: Option<Spanned<PathBuf>>,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) rule: Option<Spanned<String>>,
    pub(super) streams: BTreeMap<String, Spanned<String>>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) client: Option<Spanned<String>>,
    pub(super) secret_file: Option<Spanned<PathBuf>>,
    pub(super) certificate: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) cap: Spanned<Parsed<Size>>,
    pub(super) when_full: WhenFull,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            transport: None,
            id: None,
            domain: None,
            cloud: None,
            key_file: None,
            endpoint: None,
            rule: None,
            streams: BTreeMap::new(),
            tenant: None,
            client: None,
            secret_file: None,
            certificate: None,
            key: None,
            cap: Spanned::new(0..0, Parsed(Size(ByteSize::gib(1).as_u64()))),
            when_full: WhenFull::DropOldest,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TransportName {
    LogAnalyticsAgent,
    DataCollector,
    LogsIngestion,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sources {
    pub(super) syslog: BTreeMap<String, Spanned<Syslog>>,
    pub(super) files: BTreeMap<String, Spanned<Files>>,
    pub(super) iis: BTreeMap<String, Spanned<Iis>>,
    pub(super) performance: BTreeMap<String, Spanned<Performance>>,
    pub(super) evtx: BTreeMap<String, Spanned<Evtx>>,
    pub(super) windows_events: BTreeMap<String, Spanned<WindowsEvents>>,
    pub(super) heartbeat: BTreeMap<String, Spanned<Heartbeat>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Syslog {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
    pub(super) unix: Vec<PathBuf>,
    pub(super) facilities: List<Facility>,
    pub(super) severity: Parsed<Severity>,
    pub(super) connections: u16,
    pub(super) idle: Duration,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            workspaces: Vec::new(),
            udp: Vec::new(),
            tcp: Vec::new(),
            unix: Vec::new(),
            facilities: List::default(),
            severity: Parsed(Severity(7)),
            connections: 256,
            idle: seconds(60 * 60),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Files {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) paths: Vec<Spanned<String>>,
    pub(super) table: Option<Spanned<Parsed<Table>>>,
    pub(super) record: Parsed<RecordForm>,
    pub(super) encoding: Encoding,
    pub(super) from: ReadFrom,
    pub(super) look: Duration,
    pub(super) flush_after: Duration,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            workspaces: Vec::new(),
            paths: Vec::new(),
            table: None,
            record: Parsed(RecordForm::default()),
            encoding: Encoding::Utf8,
            from: ReadFrom::End,
            look: seconds(10),
            flush_after: seconds(5),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Iis {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) directories: Vec<Spanned<String>>,
    pub(super) paths: Vec<Spanned<String>>,
    pub(super) encoding: Parsed<CodePage>,
    pub(super) from: ReadFrom,
    pub(super) look: Duration,
}

impl Default for Iis {
    fn default() -> Self {
        Self {
            workspaces: Vec::new(),
            directories: Vec::new(),
            paths: Vec::new(),
            encoding: Parsed(CodePage(encoding_rs::UTF_8)),
            from: ReadFrom::End,
            look: seconds(10),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Evtx {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) paths: Vec<Spanned<String>>,
    pub(super) look: Duration,
    pub(super) largest: Parsed<Size>,
}

impl Default for Evtx {
    fn default() -> Self {
        Self {
            workspaces: Vec::new(),
            paths: Vec::new(),
            look: seconds(10),
            // What Windows lets an event log grow to (wevtutil, maxsize).
            largest: Parsed(Size(ByteSize::gib(4).as_u64())),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WindowsEvents {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) queries: Vec<Spanned<Parsed<Query>>>,
    pub(super) from: ReadFrom,
}

impl Default for WindowsEvents {
    fn default() -> Self {
        Self { workspaces: Vec::new(), queries: Vec::new(), from: ReadFrom::End }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Performance {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) counters: Vec<Spanned<Counter>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counter {
    pub(super) object: String,
    #[serde(default = "all")]
    pub(super) counters: Vec<String>,
    #[serde(default)]
    pub(super) instances: Vec<String>,
    pub(super) every: Duration,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Heartbeat {
    pub(super) workspaces: Vec<Spanned<String>>,
    pub(super) every: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { workspaces: Vec::new(), every: seconds(60) }
    }
}
