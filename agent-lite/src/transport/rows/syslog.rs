use super::super::Agent;
use super::super::UNKNOWN_IP;
use crate::record::Column;
use crate::record::Record;
use crate::record::Timestamp;
use crate::record::Value;

/// The values of a syslog record, found in one pass.
#[derive(Default)]
pub(super) struct Syslog<'a> {
    pub(super) event_time: Option<Timestamp>,
    pub(super) host: Option<&'a str>,
    pub(super) host_ip: Option<&'a str>,
    pub(super) facility: Option<&'a str>,
    pub(super) severity: Option<&'a str>,
    pub(super) process: Option<&'a str>,
    pub(super) process_id: Option<i64>,
    pub(super) message: Option<&'a str>,
}

impl<'a> Syslog<'a> {
    pub(super) fn of(record: &Record<'a>) -> Self {
        let mut found = Self::default();
        for (column, value) in record.values() {
            match (column, value) {
                (Column::EventTime, Value::Time(time)) => found.event_time = Some(time),
                (Column::HostName, Value::Text(text)) => found.host = Some(text),
                (Column::HostIp, Value::Text(text)) => found.host_ip = Some(text),
                (Column::Facility, Value::Text(text)) => found.facility = Some(text),
                (Column::SeverityLevel, Value::Text(text)) => found.severity = Some(text),
                (Column::ProcessName, Value::Text(text)) => found.process = Some(text),
                (Column::ProcessId, Value::Integer(value)) => found.process_id = Some(value),
                (Column::SyslogMessage, Value::Text(text)) => found.message = Some(text),
                _ => {}
            }
        }
        found
    }

    /// Returns the name of the machine that wrote the message.
    pub(super) fn host<'b>(&self, agent: &'b Agent) -> &'b str
    where
        'a: 'b,
    {
        self.host.unwrap_or(&agent.computer)
    }

    /// Returns that machine's address: the agent's own only if it is the agent's machine.
    pub(super) fn host_ip<'b>(&self, agent: &'b Agent) -> &'b str
    where
        'a: 'b,
    {
        match (self.host_ip, self.host(agent) == agent.computer) {
            (Some(address), _) => address,
            (None, true) => &agent.host_ip,
            (None, false) => UNKNOWN_IP,
        }
    }
}
