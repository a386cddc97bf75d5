//! The settings of sources.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::record::Table;

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
    /// The severities that are taken of each facility; where it is not empty, it says all, and the two above nothing.
    pub levels: BTreeMap<String, Vec<u8>>,
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
    /// Folders outside of which nothing is read, links included; none: what the paths find is read.
    pub within: Vec<PathBuf>,
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
