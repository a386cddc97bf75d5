use std::ptr;
use std::time::Duration;
use std::time::Instant;

use windows_sys::Win32::Foundation::ERROR_EVT_MAX_INSERTS_REACHED;
use windows_sys::Win32::Foundation::ERROR_EVT_UNRESOLVED_PARAMETER_INSERT;
use windows_sys::Win32::Foundation::ERROR_EVT_UNRESOLVED_VALUE_INSERT;
use windows_sys::Win32::System::EventLog::EvtFormatMessage;
use windows_sys::Win32::System::EventLog::EvtFormatMessageEvent;
use windows_sys::Win32::System::EventLog::EvtOpenPublisherMetadata;

use super::Event;
use super::EventLogError;
use super::buffer::Buffer;
use super::buffer::Written;
use super::handle::Handle;
use crate::wide::wide;

/// Most publishers whose messages are kept at hand; the one that was not asked for longest goes first.
const MOST_PUBLISHERS: usize = 64;
/// How long a publisher without messages is taken for one: it may be installed meanwhile.
const AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// The texts of events, from the publishers' own libraries. Opening one is slow, so they are kept.
#[derive(Debug, Default)]
pub struct Messages {
    /// The one that was asked for last stands at the end.
    publishers: Vec<Publisher>,
    buffer: Buffer,
    opened: u64,
}

#[derive(Debug)]
struct Publisher {
    name: String,
    /// None: it could not be opened.
    handle: Option<Handle>,
    since: Instant,
}

impl Messages {
    /// Returns the text of an event with its values in it; nothing if its publisher has none for it.
    pub fn of(&mut self, publisher: &str, event: &Event) -> Option<String> {
        self.bring_up(publisher);
        let handle = self.publishers.last()?.handle.as_ref()?.raw();
        let text = self.buffer.fill(unresolved, |buffer, units| {
            let mut used = 0;
            // SAFETY: the buffer has so many units; both handles are open; there are no values of ours.
            let success = unsafe {
                EvtFormatMessage(
                    handle,
                    event.raw(),
                    0,
                    0,
                    ptr::null(),
                    EvtFormatMessageEvent,
                    units,
                    buffer,
                    &raw mut used,
                )
            };
            Written::new(success, used)
        });
        self.buffer.shrink();
        text.ok().map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty())
    }

    /// Returns how often a publisher was opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Puts a publisher at the end of the list, opened if it can be.
    fn bring_up(&mut self, name: &str) {
        let known = self.publishers.iter().position(|publisher| publisher.name == name);
        let known = known.map(|at| self.publishers.remove(at));
        let known =
            known.filter(|publisher| publisher.handle.is_some() || publisher.since.elapsed() < AGAIN_AFTER);
        if known.is_none() && self.publishers.len() >= MOST_PUBLISHERS {
            self.publishers.remove(0);
        }
        let publisher = known.unwrap_or_else(|| {
            self.opened += 1;
            Publisher { name: name.to_owned(), handle: open(name).ok(), since: Instant::now() }
        });
        self.publishers.push(publisher);
    }
}

fn open(name: &str) -> Result<Handle, EventLogError> {
    let name = wide(name).map_err(|_| EventLogError::Text)?;
    // SAFETY: the text ends in 0 and lives until the call returns; null stands for this machine's own registration,
    // 0 for the language of this thread.
    Handle::made(unsafe { EvtOpenPublisherMetadata(0, name.as_ptr(), ptr::null(), 0, 0) })
}

/// Returns whether the text is there although a value is missing in it.
fn unresolved(code: u32) -> bool {
    matches!(
        code,
        ERROR_EVT_UNRESOLVED_VALUE_INSERT
            | ERROR_EVT_UNRESOLVED_PARAMETER_INSERT
            | ERROR_EVT_MAX_INSERTS_REACHED
    )
}
