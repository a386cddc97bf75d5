use std::ptr;

use windows_sys::Win32::Foundation::ERROR_INVALID_OPERATION;
use windows_sys::Win32::Foundation::ERROR_NO_MORE_ITEMS;
use windows_sys::Win32::Foundation::ERROR_TIMEOUT;
use windows_sys::Win32::Foundation::GetLastError;
use windows_sys::Win32::System::EventLog::EvtNext;
use windows_sys::Win32::System::EventLog::EvtRender;
use windows_sys::Win32::System::EventLog::EvtRenderEventXml;
use windows_sys::Win32::System::EventLog::EvtSubscribe;
use windows_sys::Win32::System::EventLog::EvtSubscribeStartAfterBookmark;
use windows_sys::Win32::System::EventLog::EvtSubscribeStartAtOldestRecord;
use windows_sys::Win32::System::EventLog::EvtSubscribeStrict;
use windows_sys::Win32::System::EventLog::EvtSubscribeToFutureEvents;

use super::Bookmark;
use super::EventLogError;
use super::Signal;
use super::buffer::Buffer;
use super::buffer::Written;
use super::handle::Handle;
use crate::wide::wide;

/// How long the service may take for the next events, in milliseconds. They are there or not.
const NEXT_WITHIN: u32 = 1000;
/// Most events that are asked for at once; the service holds its answer to a size of its own besides.
const MOST_AT_ONCE: usize = 1024;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// With what happens from now on.
    Now,
    /// With the oldest event there is.
    Oldest,
    /// Behind a bookmark. [`EventLogError::Gone`] if its event is not there any more.
    Behind(&'a Bookmark),
    /// Behind a bookmark, or with what comes next if its event is not there any more.
    BehindOrNext(&'a Bookmark),
}

/// The events of one channel that match a query, in their order.
#[derive(Debug)]
pub struct Subscription(Handle);

impl Subscription {
    /// Begins one. The signal is given when there are events.
    pub fn open(
        channel: &str,
        query: &str,
        start: Start<'_>,
        signal: &Signal,
    ) -> Result<Self, EventLogError> {
        let channel = wide(channel).map_err(|_| EventLogError::Text)?;
        let query = wide(query).map_err(|_| EventLogError::Text)?;
        let (flags, bookmark) = match start {
            Start::Now => (EvtSubscribeToFutureEvents, 0),
            Start::Oldest => (EvtSubscribeStartAtOldestRecord, 0),
            Start::Behind(bookmark) => (EvtSubscribeStartAfterBookmark | EvtSubscribeStrict, bookmark.raw()),
            Start::BehindOrNext(bookmark) => (EvtSubscribeStartAfterBookmark, bookmark.raw()),
        };
        // SAFETY: both texts end in 0 and live until the call returns; the handles of signal and bookmark are open.
        // The service keeps a duplicate of the signal. Without a callback there is no context.
        let handle = unsafe {
            EvtSubscribe(
                0,
                signal.raw(),
                channel.as_ptr(),
                query.as_ptr(),
                bookmark,
                ptr::null(),
                None,
                flags,
            )
        };
        Handle::made(handle).map(Self)
    }

    /// Returns the next events, at most so many; none if there are none now.
    pub fn next(&mut self, most: usize) -> Result<Vec<Event>, EventLogError> {
        let mut handles = vec![0isize; most.clamp(1, MOST_AT_ONCE)];
        let mut count = 0;
        // SAFETY: the array has so many places, and the subscription is open.
        let success = unsafe {
            EvtNext(self.0.raw(), handles.len() as u32, handles.as_mut_ptr(), NEXT_WITHIN, 0, &raw mut count)
        };
        if success == 0 {
            // SAFETY: it reads a number of this thread.
            return match unsafe { GetLastError() } {
                // The third one is what a subscription answers that has had nothing since its last answer.
                ERROR_NO_MORE_ITEMS | ERROR_TIMEOUT | ERROR_INVALID_OPERATION => Ok(Vec::new()),
                code => Err(EventLogError::of(code)),
            };
        }
        handles.truncate(count as usize);
        handles
            .into_iter()
            .filter(|handle| *handle != 0)
            .map(|handle| Handle::made(handle).map(Event))
            .collect()
    }
}

/// One event.
#[derive(Debug)]
pub struct Event(Handle);

impl Event {
    pub(super) fn raw(&self) -> isize {
        self.0.raw()
    }
}

/// Writes events as XML.
#[derive(Debug, Default)]
pub struct Renderer(Buffer);

impl Renderer {
    /// Returns an event's XML.
    pub fn xml(&mut self, event: &Event) -> Result<String, EventLogError> {
        let rendered = self.0.fill(
            |_| false,
            |buffer, units| {
                let (mut used, mut count) = (0, 0);
                // SAFETY: the buffer has so many units, twice as many bytes, and the handle is an open event.
                let success = unsafe {
                    EvtRender(
                        0,
                        event.raw(),
                        EvtRenderEventXml,
                        units * 2,
                        buffer.cast(),
                        &raw mut used,
                        &raw mut count,
                    )
                };
                Written::new(success, used.div_ceil(2))
            },
        );
        self.0.shrink();
        rendered
    }
}
