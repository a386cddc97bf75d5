use windows_sys::Win32::System::EventLog::EVT_HANDLE;
use windows_sys::Win32::System::EventLog::EvtClose;

use super::EventLogError;

/// A handle of the event log, closed when it is dropped.
#[derive(Debug)]
pub(super) struct Handle(EVT_HANDLE);

impl Handle {
    /// Takes a handle that a call has just made, or what the call left behind instead.
    pub(super) fn made(handle: EVT_HANDLE) -> Result<Self, EventLogError> {
        if handle == 0 { Err(EventLogError::last()) } else { Ok(Self(handle)) }
    }

    /// Takes a handle that a call has put into a list; a place that was left empty is none.
    pub(super) fn given(handle: EVT_HANDLE) -> Option<Self> {
        (handle != 0).then_some(Self(handle))
    }

    pub(super) fn raw(&self) -> EVT_HANDLE {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, belongs to this value alone and is not used again.
        unsafe { EvtClose(self.0) };
    }
}
