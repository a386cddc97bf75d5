use std::io;
use std::os::windows::io::AsRawHandle;
use std::os::windows::io::FromRawHandle;
use std::os::windows::io::OwnedHandle;
use std::time::Duration;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::CreateEventW;
use windows_sys::Win32::System::Threading::ResetEvent;
use windows_sys::Win32::System::Threading::SetEvent;
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use crate::wide::checked;

/// What wakes a reader of channels: the event log when there are events, or another thread.
#[derive(Debug)]
pub struct Signal(OwnedHandle);

impl Signal {
    /// Makes one that is not given.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no attributes and no name; a manual one, not given.
        let handle = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    /// Gives the signal.
    pub fn give(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        checked(unsafe { SetEvent(self.raw()) })
    }

    /// Takes the signal back. What happens from now on gives it anew.
    pub fn take_back(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        checked(unsafe { ResetEvent(self.raw()) })
    }

    /// Waits until the signal is given, at most so long.
    pub fn wait(&self, most: Duration) {
        let milliseconds = u32::try_from(most.as_millis()).unwrap_or(u32::MAX - 1);
        // SAFETY: the handle is open. Why it returns makes no difference: whoever waits looks for events then.
        unsafe { WaitForSingleObject(self.raw(), milliseconds) };
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}
