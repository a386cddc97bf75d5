use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::ERROR_INVALID_OPERATION;
use windows_sys::Win32::Foundation::ERROR_NO_MORE_ITEMS;
use windows_sys::Win32::Foundation::ERROR_TIMEOUT;
use windows_sys::Win32::Foundation::GetLastError;
use windows_sys::Win32::System::EventLog::EvtNext;
use windows_sys::Win32::System::EventLog::EvtQuery;
use windows_sys::Win32::System::EventLog::EvtQueryChannelPath;
use windows_sys::Win32::System::EventLog::EvtQueryReverseDirection;
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
pub struct Subscription {
    /// Before the signal, so that it is closed before.
    handle: Handle,
    /// The event log gives it as long as the subscription is open.
    _signal: Arc<Signal>,
}

impl Subscription {
    /// Begins one. The signal is given when there are events.
    pub fn open(
        channel: &str,
        query: &str,
        start: Start<'_>,
        signal: &Arc<Signal>,
    ) -> Result<Self, EventLogError> {
        let channel = wide(channel).map_err(|_| EventLogError::Text)?;
        let query = wide(query).map_err(|_| EventLogError::Text)?;
        let (flags, bookmark) = match start {
            Start::Now => (EvtSubscribeToFutureEvents, 0),
            Start::Oldest => (EvtSubscribeStartAtOldestRecord, 0),
            Start::Behind(bookmark) => (EvtSubscribeStartAfterBookmark | EvtSubscribeStrict, bookmark.raw()),
            Start::BehindOrNext(bookmark) => (EvtSubscribeStartAfterBookmark, bookmark.raw()),
        };
        // SAFETY: both texts end in 0 and live until the call returns; the handles of signal and bookmark are open, the
        // signal's as long as the subscription lives, which keeps it. Without a callback there is no context.
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
        Ok(Self { handle: Handle::made(handle)?, _signal: Arc::clone(signal) })
    }

    /// Returns the next events, at most so many; none if there are none now.
    pub fn next(&mut self, most: usize) -> Result<Vec<Event>, EventLogError> {
        match next(&self.handle, most) {
            // The third one is what a subscription answers that has had nothing since its last answer.
            Err(ERROR_NO_MORE_ITEMS | ERROR_TIMEOUT | ERROR_INVALID_OPERATION) => Ok(Vec::new()),
            events => events.map_err(EventLogError::of),
        }
    }
}

/// Returns a bookmark behind the newest event of a channel that matches a query; none if there is no such event.
pub fn newest(channel: &str, query: &str) -> Result<Option<Bookmark>, EventLogError> {
    let channel = wide(channel).map_err(|_| EventLogError::Text)?;
    let query = wide(query).map_err(|_| EventLogError::Text)?;
    let flags = EvtQueryChannelPath | EvtQueryReverseDirection;
    // SAFETY: both texts end in 0 and live until the call returns; 0 stands for this machine.
    let found = Handle::made(unsafe { EvtQuery(0, channel.as_ptr(), query.as_ptr(), flags) })?;
    let events = match next(&found, 1) {
        Err(ERROR_NO_MORE_ITEMS) => return Ok(None),
        events => events.map_err(EventLogError::of)?,
    };
    let Some(event) = events.first() else { return Ok(None) };
    let mut bookmark = Bookmark::new()?;
    bookmark.move_behind(event)?;
    Ok(Some(bookmark))
}

/// Returns the next events of a subscription or a query, or what the call left behind.
fn next(from: &Handle, most: usize) -> Result<Vec<Event>, u32> {
    let mut handles = vec![0isize; most.clamp(1, MOST_AT_ONCE)];
    let mut count = 0;
    // SAFETY: the array has so many places, and the handle is open.
    let success = unsafe {
        EvtNext(from.raw(), handles.len() as u32, handles.as_mut_ptr(), NEXT_WITHIN, 0, &raw mut count)
    };
    if success == 0 {
        // SAFETY: it reads a number of this thread.
        return Err(unsafe { GetLastError() });
    }
    handles.truncate(count as usize);
    Ok(handles.into_iter().filter_map(Handle::given).map(Event).collect())
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
