//! One event of Windows, as its XML, becomes a row of the table `Event`.
//!
//! ```text
//! <Event xmlns="…"><System> Provider EventID Level Task Keywords TimeCreated EventRecordID Channel Computer Security
//!        </System><EventData><Data Name="…">…</Data>…</EventData> | <UserData>…</UserData>
//!        <RenderingInfo><Message>…</Message></RenderingInfo></Event>
//! ```
//!
//! What stands in `EventData` is kept as it is written, in the `DataItem` that queries of the table expect
//! (`parse_xml(EventData).DataItem.EventData.Data`); its values alone are the `Param`s of `ParameterXml`.

use jiff::Timestamp as Instant;

use crate::record::Column;
use crate::record::Frames;
use crate::record::Timestamp;

mod level;
mod reader;
mod sid;
#[cfg(test)]
mod tests;

/// Most bytes of an event's XML: 4 MiB. Windows writes at most 64 KiB of values into one event.
pub const LARGEST_XML: usize = 4 * 1024 * 1024;
/// Most bytes of a name: provider, channel, computer, user. 4 KiB.
const LONGEST_NAME: usize = 4 * 1024;
/// What the events' schema calls itself, for whom the values are read apart from their event.
const NAMESPACE: &str = "http://schemas.microsoft.com/win/2004/08/events/event";
/// What stands for the user of an event that has none.
const NO_USER: &str = "N/A";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowsEvent {
    /// When it was made.
    pub time: Option<Timestamp>,
    /// Its provider's name.
    pub source: String,
    /// Its channel: `System`, `Microsoft-Windows-Sysmon/Operational`.
    pub event_log: String,
    /// The machine that made it, which need not be this one.
    pub computer: String,
    /// 0 to 255; 1 to 5 have names.
    pub level: Option<u8>,
    /// `Error`, `Warning`, `Information`, `Verbose`, `Audit Success`, `Audit Failure`, or a provider's own.
    pub level_name: Option<String>,
    /// The identifier without its qualifiers.
    pub id: Option<u16>,
    /// The task.
    pub category: Option<i32>,
    /// A well-known account's name, else a SID, else nothing.
    pub user: Option<String>,
    /// Its number in its channel.
    pub record_id: Option<u64>,
    /// The values, each in a `Param`.
    pub parameter_xml: String,
    /// All values as they were written, in a `DataItem`; empty if there are none.
    pub event_data: String,
    /// The message with the values in it, if somebody rendered it.
    pub description: Option<String>,
}

/// Text that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// More than anybody writes.
    #[error("an event of {0} bytes is more than is read")]
    Large(usize),
    /// Not XML, or XML with what no event has.
    #[error("an event is no XML: {0}")]
    Xml(&'static str),
    /// Another document.
    #[error("the XML is no `Event`")]
    Root,
}

impl WindowsEvent {
    /// Reads the XML that `EvtRender` gives, or a reader of `.evtx` files.
    pub fn parse(xml: &str) -> Result<Self, EventError> {
        if xml.len() > LARGEST_XML {
            return Err(EventError::Large(xml.len()));
        }
        reader::read(xml.strip_prefix('\u{feff}').unwrap_or(xml))
    }

    /// Makes the row of an event that could not be read: its text as it is, for somebody to look at.
    pub fn unreadable(xml: &str, event_log: &str, record_id: Option<u64>) -> Self {
        Self {
            event_log: name(event_log),
            record_id,
            event_data: xml.to_owned(),
            description: Some("agent-lite could not read this event; EventData has it as it came".to_owned()),
            ..Self::default()
        }
    }

    /// Writes the row. An event without a time has that of `otherwise`.
    pub fn write(&self, frames: &mut Frames, otherwise: Timestamp) {
        let text = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        let mut row = frames.begin(self.time.unwrap_or(otherwise));
        for (column, value) in [
            (Column::Computer, text(&self.computer)),
            (Column::Source, text(&self.source)),
            (Column::EventLog, text(&self.event_log)),
            (Column::EventLevelName, self.level_name.clone()),
            (Column::UserName, Some(self.user.clone().unwrap_or_else(|| NO_USER.to_owned()))),
            (Column::RenderedDescription, self.description.clone()),
            (Column::ParameterXml, text(&self.parameter_xml)),
            (Column::EventData, text(&self.event_data)),
        ] {
            row = row.text_if(column, value.as_deref());
        }
        let numbers = [
            (Column::EventId, self.id.map(i64::from)),
            (Column::EventLevel, self.level.map(i64::from)),
            (Column::EventCategory, self.category.map(i64::from)),
        ];
        for (column, value) in numbers {
            if let Some(value) = value {
                row = row.integer(column, value);
            }
        }
        row.finish();
    }
}

/// Cuts a name that no provider, channel, machine or user has.
fn name(text: &str) -> String {
    let text = text.trim();
    text.get(..text.floor_char_boundary(LONGEST_NAME)).unwrap_or_default().to_owned()
}

fn time(text: &str) -> Option<Timestamp> {
    Some(Timestamp(text.trim().parse::<Instant>().ok()?.as_microsecond()))
}
