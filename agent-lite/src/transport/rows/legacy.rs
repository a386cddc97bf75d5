use super::super::Agent;
use super::super::times::Fraction;
use super::super::write::write_integer;
use super::super::write::write_real_text;
use super::super::write::write_text;
use super::Legacy;
use super::Row;
use super::field::Fields;
use super::syslog::Syslog;
use crate::record::Column;
use crate::record::Record;
use crate::record::Value;

/// Returns what stands before the items: type of data and solution (oms-protocol, section 3.3).
pub(super) fn envelope(legacy: Legacy) -> &'static [u8] {
    match legacy {
        Legacy::Syslog => br#"{"DataType":"LINUX_SYSLOGS_BLOB","IPName":"LOGMANAGEMENT","DataItems":["#,
        Legacy::Perf => br#"{"DataType":"LINUX_PERF_BLOB","IPName":"LogManagement","DataItems":["#,
        Legacy::Heartbeat => {
            br#"{"DataType":"HEALTH_ASSESSMENT_BLOB","IPName":"LogManagement","DataItems":["#
        }
        Legacy::Operation => br#"{"DataType":"OPERATION_BLOB","IPName":"LogManagement","DataItems":["#,
    }
}

/// Writes the beginning of every item.
pub(super) fn write_head(legacy: Legacy, agent: &Agent, out: &mut Vec<u8>) {
    match legacy {
        Legacy::Syslog => return out.push(b'{'),
        Legacy::Perf => out.extend_from_slice(b"{\"Host\":"),
        Legacy::Heartbeat | Legacy::Operation => out.extend_from_slice(b"{\"Computer\":"),
    }
    write_text(&agent.computer, usize::MAX, out);
}

/// Writes the rest of an item.
pub(super) fn write(
    legacy: Legacy,
    agent: &Agent,
    record: &Record<'_>,
    most: usize,
    out: &mut Vec<u8>,
) -> Row {
    match legacy {
        Legacy::Syslog => write_syslog(agent, record, most, out),
        Legacy::Perf => write_perf(record, most, out),
        Legacy::Heartbeat | Legacy::Operation => write_columns(legacy, agent, record, most, out),
    }
}

fn write_syslog(agent: &Agent, record: &Record<'_>, most: usize, out: &mut Vec<u8>) -> Row {
    let syslog = Syslog::of(record);
    out.extend_from_slice(b"\"Host\":");
    let cut = write_text(syslog.host(agent), most, out);
    let mut fields = Fields::new(most, out);
    fields.text("HostIP", syslog.host_ip(agent));
    fields.time("Timestamp", record.time(), Fraction::Milliseconds);
    fields.time("EventTime", syslog.event_time.unwrap_or(record.time()), Fraction::Milliseconds);
    if let Some(process_id) = syslog.process_id {
        fields.name("ProcessId");
        fields.out.push(b'"');
        write_integer(process_id, fields.out);
        fields.out.push(b'"');
    }
    fields.text("Facility", syslog.facility.unwrap_or_default());
    fields.text("Severity", severity(syslog.severity.unwrap_or_default()));
    fields.text("ident", syslog.process.unwrap_or_default());
    fields.text("Message", syslog.message.unwrap_or_default());
    fields.out.push(b'}');
    (cut | fields.cut).into()
}

/// Returns the name on this wire: `warn`, where the table says `warning` (oms-protocol, section 8.3).
fn severity(level: &str) -> &str {
    if level == "warning" { "warn" } else { level }
}

fn write_perf(record: &Record<'_>, most: usize, out: &mut Vec<u8>) -> Row {
    let number = record.values().find_map(|(column, value)| match value {
        Value::Real(value) if column == Column::CounterValue && value.is_finite() => Some(value),
        _ => None,
    });
    let Some(number) = number else { return Row::Nothing };
    let mut fields = Fields::new(most, out);
    fields.time("Timestamp", record.time(), Fraction::Milliseconds);
    for column in [Column::ObjectName, Column::InstanceName] {
        fields.text(column.name(), record.text(column).unwrap_or_default());
    }
    fields.name("Collections");
    fields.out.extend_from_slice(b"[{\"CounterName\":");
    fields.cut |= write_text(record.text(Column::CounterName).unwrap_or_default(), most, fields.out);
    fields.name("Value");
    write_real_text(number, fields.out);
    fields.out.extend_from_slice(b"}]}");
    fields.cut.into()
}

fn write_columns(legacy: Legacy, agent: &Agent, record: &Record<'_>, most: usize, out: &mut Vec<u8>) -> Row {
    let mut fields = Fields::new(most, out);
    fields.time("Timestamp", record.time(), Fraction::Milliseconds);
    let mut versioned = legacy != Legacy::Heartbeat;
    for (column, value) in record.values() {
        let Some(name) = name(legacy, column) else { continue };
        versioned |= column == Column::Version;
        match value {
            Value::Json(json) => fields.text(name, json),
            other => fields.value(name, other, Fraction::Milliseconds),
        }
    }
    if !versioned {
        fields.text("Version", agent.version);
    }
    fields.out.push(b'}');
    fields.cut.into()
}

/// Returns the item's name of a column, if the item has it.
fn name(legacy: Legacy, column: Column) -> Option<&'static str> {
    let name = match (legacy, column) {
        (Legacy::Heartbeat, Column::ComputerPrivateIps) => "ComputerPrivateIps",
        (
            Legacy::Heartbeat,
            Column::OsType
            | Column::OsName
            | Column::OsMajorVersion
            | Column::OsMinorVersion
            | Column::Category
            | Column::ScAgentChannel
            | Column::InstalledDate
            | Column::Version,
        ) => column.name(),
        (Legacy::Operation, Column::OperationCategory) => "Category",
        (
            Legacy::Operation,
            Column::OperationStatus | Column::Detail | Column::Solution | Column::HelpLink,
        ) => column.name(),
        _ => return None,
    };
    Some(name)
}
