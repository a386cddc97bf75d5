//! Names and types of columns: of the tables, and of the items that the legacy agent posts.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

/// A column's type in a data collection rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    Long,
    /// A number.
    Real,
    /// `true` or `false`.
    Boolean,
    /// Any JSON.
    Dynamic,
    /// ISO 8601, UTC.
    DateTime,
}

/// The columns of a table or stream.
pub type Columns = BTreeMap<String, ColumnType>;

impl ColumnType {
    /// Returns whether the service takes this value without changing it.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Self::Long => value.is_i64(),
            Self::Real => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Dynamic => true,
            Self::DateTime => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        }
    }
}

/// Returns the columns of Syslog.
pub fn syslog() -> Columns {
    columns(&[
        (ColumnType::DateTime, "TimeGenerated EventTime"),
        (
            ColumnType::String,
            "Computer HostName HostIP CollectorHostName Facility SeverityLevel ProcessName SyslogMessage \
             SourceSystem",
        ),
        (ColumnType::Int, "ProcessID"),
    ])
}

/// Returns the columns of a custom table like Perf.
pub fn perf() -> Columns {
    with_ours(columns(&[
        (ColumnType::DateTime, "TimeGenerated"),
        (ColumnType::String, "Computer ObjectName CounterName InstanceName CounterPath SourceSystem"),
        (ColumnType::Real, "CounterValue"),
    ]))
}

/// Returns the columns of a custom table like Heartbeat.
pub fn heartbeat() -> Columns {
    with_ours(columns(&[
        (ColumnType::DateTime, "TimeGenerated InstalledDate"),
        (
            ColumnType::String,
            "SourceComputerId Computer ComputerIP ComputerEnvironment Category OSType OSName OSMajorVersion \
             OSMinorVersion Version SCAgentChannel SourceSystem VMUUID",
        ),
        (ColumnType::Dynamic, "ComputerPrivateIPs"),
    ]))
}

/// Returns the columns of Event, and the one that `rule.json` adds.
pub fn event() -> Columns {
    columns(&[
        (ColumnType::DateTime, "TimeGenerated EventTime_CF"),
        (
            ColumnType::String,
            "Computer Source EventLog EventLevelName UserName Message ParameterXml EventData RenderedDescription \
             ManagementGroupName SourceSystem",
        ),
        (ColumnType::Int, "EventLevel EventID EventCategory"),
    ])
}

/// Returns the columns of a custom table like Operation.
pub fn operation() -> Columns {
    with_ours(columns(&[
        (ColumnType::DateTime, "TimeGenerated"),
        (
            ColumnType::String,
            "Computer SourceComputerId Solution OperationCategory OperationStatus OperationKey Detail ErrorId \
             HelpLink CorrelationId SourceSystem",
        ),
    ]))
}

/// Returns the columns of a custom table like W3CIISLog, and what a line of IIS has besides.
pub fn w3c_iis_log() -> Columns {
    with_ours(columns(&[
        (ColumnType::DateTime, "TimeGenerated"),
        (
            ColumnType::String,
            "Computer SourceSystem sSiteName sComputerName sIP csMethod csUriStem csUriQuery csUserName cIP \
             csVersion csUserAgent csCookie csReferer csHost scStatus scSubStatus scWin32Status RawData FilePath",
        ),
        (ColumnType::Int, "sPort"),
        (ColumnType::Long, "scBytes csBytes TimeTaken"),
        (ColumnType::Dynamic, "CustomFields"),
    ]))
}

/// Returns the columns of a custom table of text.
pub fn text() -> Columns {
    with_ours(columns(&[
        (ColumnType::DateTime, "TimeGenerated"),
        (ColumnType::String, "RawData FilePath Computer"),
    ]))
}

fn columns(groups: &[(ColumnType, &str)]) -> Columns {
    let named = |(kind, names): &(ColumnType, &str)| {
        let kind = *kind;
        names.split_whitespace().map(move |name| (name.to_owned(), kind)).collect::<Vec<_>>()
    };
    groups.iter().flat_map(named).collect()
}

fn with_ours(mut columns: Columns) -> Columns {
    columns.insert("EventTime".to_owned(), ColumnType::DateTime);
    columns.insert("AgentId".to_owned(), ColumnType::String);
    columns.insert("Seq".to_owned(), ColumnType::Long);
    columns
}

/// One kind of item that the legacy agent posts (`oms-protocol.md` 3.3).
pub(super) struct ItemKind {
    pub(super) data_type: &'static str,
    pub(super) solution: &'static str,
    pub(super) table: &'static str,
    required: &'static [(&'static str, Shape)],
    optional: &'static [(&'static str, Shape)],
}

#[derive(Clone, Copy)]
enum Shape {
    Text,
    Filled,
    Time,
    Digits,
    OneOf(&'static [&'static str]),
    JsonList,
    Counters,
}

const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "at", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const SEVERITIES: &[&str] = &["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

pub(super) const ITEMS: &[ItemKind] = &[
    ItemKind {
        data_type: "LINUX_SYSLOGS_BLOB",
        solution: "LogManagement",
        table: "Syslog",
        required: &[
            ("ident", Shape::Text),
            ("Timestamp", Shape::Time),
            ("EventTime", Shape::Time),
            ("Host", Shape::Filled),
            ("HostIP", Shape::Filled),
            ("Message", Shape::Text),
            ("Facility", Shape::OneOf(FACILITIES)),
            ("Severity", Shape::OneOf(SEVERITIES)),
        ],
        optional: &[("ProcessId", Shape::Digits)],
    },
    ItemKind {
        data_type: "LINUX_PERF_BLOB",
        solution: "LogManagement",
        table: "Perf",
        required: &[
            ("Timestamp", Shape::Time),
            ("Host", Shape::Filled),
            ("ObjectName", Shape::Filled),
            ("InstanceName", Shape::Filled),
            ("Collections", Shape::Counters),
        ],
        optional: &[],
    },
    ItemKind {
        data_type: "HEALTH_ASSESSMENT_BLOB",
        solution: "LogManagement",
        table: "Heartbeat",
        required: &[
            ("Timestamp", Shape::Time),
            ("Computer", Shape::Filled),
            ("OSType", Shape::OneOf(&["Linux", "Windows"])),
            ("Category", Shape::Filled),
            ("SCAgentChannel", Shape::Filled),
        ],
        optional: &[
            ("OSName", Shape::Text),
            ("OSMajorVersion", Shape::Text),
            ("OSMinorVersion", Shape::Text),
            ("ComputerPrivateIps", Shape::JsonList),
            ("InstalledDate", Shape::Text),
            ("Version", Shape::Text),
        ],
    },
    ItemKind {
        data_type: "OPERATION_BLOB",
        solution: "LogManagement",
        table: "Operation",
        required: &[
            ("Timestamp", Shape::Time),
            ("OperationStatus", Shape::Filled),
            ("Computer", Shape::Filled),
            ("Detail", Shape::Filled),
            ("Category", Shape::Filled),
            ("Solution", Shape::Filled),
        ],
        optional: &[("HelpLink", Shape::Text)],
    },
];

/// Types that the service knows and this cast keeps as they come.
pub(super) const OPAQUE: &[&str] = &[
    "SECURITY_CEF_BLOB",
    "SECURITY_CISCO_ASA_BLOB",
    "CONFIG_CHANGE_BLOB",
    "LINUX_UPDATES_SNAPSHOT_BLOB",
    "LINUX_AUDITD_BLOB",
    "SECURITY_BASELINE_BLOB",
    "INSIGHTS_METRICS_BLOB",
    "PROTECTION_STATUS_BLOB",
];

impl ItemKind {
    /// Returns what is wrong with an item, in words.
    pub(super) fn wrong(&self, item: &Map<String, Value>) -> Vec<String> {
        let missing = self.required.iter().filter(|(name, _)| !item.contains_key(*name));
        let mut wrong: Vec<String> =
            missing.map(|(name, _)| format!("{} lacks {name}", self.data_type)).collect();
        for (name, value) in item {
            let known = self.required.iter().chain(self.optional).find(|(known, _)| known == name);
            match known {
                None => wrong.push(format!("{} has no field {name}", self.data_type)),
                Some((_, shape)) if !shape.fits(value) => {
                    wrong.push(format!("{}: {name} is {value}", self.data_type));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        if matches!(self, Self::Counters) {
            return counters(value);
        }
        let Some(text) = value.as_str() else { return false };
        match self {
            Self::Text | Self::Counters => true,
            Self::Filled => !text.is_empty(),
            Self::Time => text.ends_with('Z') && text.len() == 24 && text.parse::<jiff::Timestamp>().is_ok(),
            Self::Digits => text.parse::<u32>().is_ok(),
            Self::OneOf(values) => values.contains(&text),
            Self::JsonList => serde_json::from_str::<Vec<String>>(text).is_ok(),
        }
    }
}

/// A list of `{"CounterName": text, "Value": a number as text}`.
fn counters(value: &Value) -> bool {
    let counter = |entry: &Value| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let number = text("Value").is_some_and(|number| number.parse::<f64>().is_ok_and(f64::is_finite));
        entry.as_object().is_some_and(|entry| entry.len() == 2) && number && text("CounterName").is_some()
    };
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(counter))
}
