use std::ptr;

use windows_sys::Win32::System::EventLog::EvtCreateBookmark;
use windows_sys::Win32::System::EventLog::EvtRender;
use windows_sys::Win32::System::EventLog::EvtRenderBookmark;
use windows_sys::Win32::System::EventLog::EvtUpdateBookmark;

use super::Event;
use super::EventLogError;
use super::buffer::Buffer;
use super::buffer::Written;
use super::handle::Handle;
use crate::wide::wide;

/// A place in a channel: behind one event.
#[derive(Debug)]
pub struct Bookmark {
    handle: Handle,
    buffer: Buffer,
}

impl Bookmark {
    /// Makes one that is nowhere yet.
    pub fn new() -> Result<Self, EventLogError> {
        // SAFETY: null stands for no XML.
        let handle = Handle::made(unsafe { EvtCreateBookmark(ptr::null()) })?;
        Ok(Self { handle, buffer: Buffer::default() })
    }

    /// Reads what [`Bookmark::xml`] gave.
    pub fn of_xml(xml: &str) -> Result<Self, EventLogError> {
        let xml = wide(xml).map_err(|_| EventLogError::Text)?;
        // SAFETY: the text ends in 0 and lives until the call returns.
        let handle = Handle::made(unsafe { EvtCreateBookmark(xml.as_ptr()) })?;
        Ok(Self { handle, buffer: Buffer::default() })
    }

    /// Moves it behind an event.
    pub fn move_behind(&mut self, event: &Event) -> Result<(), EventLogError> {
        // SAFETY: both handles are open.
        match unsafe { EvtUpdateBookmark(self.handle.raw(), event.raw()) } {
            0 => Err(EventLogError::last()),
            _ => Ok(()),
        }
    }

    /// Returns it as text, for the time after a restart.
    pub fn xml(&mut self) -> Result<String, EventLogError> {
        let handle = self.handle.raw();
        self.buffer.fill(
            |_| false,
            |buffer, units| {
                let (mut used, mut count) = (0, 0);
                // SAFETY: the buffer has so many units, twice as many bytes, and the handle is an open bookmark.
                let success = unsafe {
                    EvtRender(
                        0,
                        handle,
                        EvtRenderBookmark,
                        units * 2,
                        buffer.cast(),
                        &raw mut used,
                        &raw mut count,
                    )
                };
                Written::new(success, used.div_ceil(2))
            },
        )
    }

    pub(super) fn raw(&self) -> isize {
        self.handle.raw()
    }
}
