use super::super::Agent;
use super::super::UNKNOWN_IP;
use super::super::times::Fraction;
use super::super::write::write_escaped;
use super::super::write::write_text;
use super::Kind;
use super::Row;
use super::field::Fields;
use super::syslog::Syslog;
use crate::record::Column;
use crate::record::Record;
use crate::record::Value;
use crate::system;

/// Which names a transport allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The table's own.
    LogsIngestion,
    /// The same but `TimeGenerated` and `RawData`, which are reserved (HTTP Data Collector API).
    DataCollector,
    /// As there; the legacy agent's way into a custom table.
    CustomJson,
}

impl Names {
    fn time(self) -> &'static str {
        match self {
            Self::LogsIngestion => "TimeGenerated",
            Self::DataCollector | Self::CustomJson => crate::transport::data_collector::TIME_FIELD,
        }
    }

    fn fraction(self) -> Fraction {
        match self {
            Self::LogsIngestion => Fraction::Exact,
            Self::DataCollector | Self::CustomJson => Fraction::Milliseconds,
        }
    }

    /// Returns the name of a column, if the table has it.
    fn of(self, column: Column) -> Option<&'static str> {
        match (self, column) {
            (_, Column::InstalledDate) => None,
            (Self::DataCollector | Self::CustomJson, Column::RawData) => Some("Message"),
            (Self::LogsIngestion | Self::DataCollector | Self::CustomJson, column) => Some(column.name()),
        }
    }
}

/// Writes what is the same in every row of an agent.
pub(super) fn write_head(kind: Kind, agent: &Agent, out: &mut Vec<u8>) {
    if kind == Kind::Event {
        // What the table has from every agent on Windows. The computer is the event's own.
        return out.extend_from_slice(b"{\"SourceSystem\":\"OpsManager\"");
    }
    out.extend_from_slice(b"{\"Computer\":");
    write_text(&agent.computer, usize::MAX, out);
    let mut fields = Fields::new(usize::MAX, out);
    let id = agent.agent_id.hyphenated().to_string();
    match kind {
        Kind::Syslog => fields.text("CollectorHostName", &agent.computer),
        Kind::Perf | Kind::Event => {}
        Kind::Heartbeat if agent.host_ip != UNKNOWN_IP => {
            fields.text("SourceComputerId", &id);
            fields.text("ComputerIP", &agent.host_ip);
        }
        Kind::Heartbeat | Kind::Operation => fields.text("SourceComputerId", &id),
        Kind::Custom => return fields.text("AgentId", &id),
        Kind::W3cIisLog => fields.text("AgentId", &id),
    }
    fields.text("SourceSystem", system::SOURCE_SYSTEM);
}

/// Writes the rest of a row.
pub(super) fn write(
    names: Names,
    kind: Kind,
    agent: &Agent,
    record: &Record<'_>,
    sequence: i64,
    most: usize,
    out: &mut Vec<u8>,
) -> Row {
    let mut fields = Fields::new(most, out);
    if kind != Kind::Syslog {
        fields.time(names.time(), record.time(), names.fraction());
    }
    // Azure Monitor puts the time of arrival for a `TimeGenerated` older than two days; this column keeps the real one.
    let replaced = names == Names::LogsIngestion && kind != Kind::Syslog;
    if replaced && !record.values().any(|(column, _)| column == Column::EventTime) {
        // A column of one's own in a table that is not has this ending.
        let name = if kind == Kind::Event { "EventTime_CF" } else { "EventTime" };
        fields.time(name, record.time(), names.fraction());
    }
    match kind {
        Kind::Syslog => write_syslog(names, agent, record, &mut fields),
        Kind::Perf => {
            write_columns(names, record, &mut fields);
            write_counter_path(agent, record, &mut fields);
        }
        Kind::Event => {
            if record.text(Column::Computer).is_none() {
                fields.text("Computer", &agent.computer);
            }
            write_columns(names, record, &mut fields);
        }
        Kind::Heartbeat | Kind::Operation => write_columns(names, record, &mut fields),
        Kind::Custom | Kind::W3cIisLog => {
            fields.integer("Seq", sequence);
            write_columns(names, record, &mut fields);
        }
    }
    fields.out.push(b'}');
    fields.cut.into()
}

fn write_columns(names: Names, record: &Record<'_>, fields: &mut Fields<'_>) {
    for (column, value) in record.values() {
        match (names.of(column), names, value) {
            (None, ..) => {}
            // Objects are flat there (oms-protocol, section 3.3).
            (Some(name), Names::DataCollector | Names::CustomJson, Value::Json(json)) => {
                fields.text(name, json)
            }
            (Some(name), _, value) => fields.value(name, value, names.fraction()),
        }
    }
}

/// What seldom changes stands first: that is one match for the compressor.
fn write_syslog(names: Names, agent: &Agent, record: &Record<'_>, fields: &mut Fields<'_>) {
    let syslog = Syslog::of(record);
    fields.text("HostName", syslog.host(agent));
    fields.text("HostIP", syslog.host_ip(agent));
    fields.time(names.time(), record.time(), names.fraction());
    fields.time("EventTime", syslog.event_time.unwrap_or(record.time()), names.fraction());
    let texts = [
        ("Facility", syslog.facility),
        ("SeverityLevel", syslog.severity),
        ("ProcessName", syslog.process),
        ("SyslogMessage", syslog.message),
    ];
    if let Some(process_id) = syslog.process_id {
        fields.integer("ProcessID", process_id);
    }
    for (name, text) in texts {
        if let Some(text) = text {
            fields.text(name, text);
        }
    }
}

/// Writes `\\computer\object(instance)\counter`, as the table has it.
fn write_counter_path(agent: &Agent, record: &Record<'_>, fields: &mut Fields<'_>) {
    let text = |column| record.text(column).unwrap_or_default();
    let (object, instance) = (text(Column::ObjectName), text(Column::InstanceName));
    let counter = text(Column::CounterName);
    let length = agent.computer.len() + object.len() + instance.len() + counter.len() + 6;
    if length > fields.most {
        return;
    }
    fields.name("CounterPath");
    let (before, after) = if instance.is_empty() { ("", "") } else { ("(", ")") };
    fields.out.push(b'"');
    for part in ["\\\\", &agent.computer, "\\", object, before, instance, after, "\\", counter] {
        write_escaped(part, fields.out);
    }
    fields.out.push(b'"');
}
