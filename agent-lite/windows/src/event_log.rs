//! The event log of Windows (wevtapi.dll), in pull mode: the agent asks for the next events when it has room for them.
//!
//! A [`Subscription`] gives the events of one channel in their order and stands behind its [`Bookmark`] again after a
//! restart. The callback mode of the same interface drops what its consumer is too slow for; polling by `EvtQuery`
//! would search from the bookmark each time. The [`Signal`] only wakes who waits: events are asked for without it, too.

mod bookmark;
mod buffer;
mod handle;
mod messages;
mod signal;
mod subscription;
#[cfg(test)]
mod tests;

use windows_sys::Win32::Foundation;

pub use self::bookmark::Bookmark;
pub use self::messages::Messages;
pub use self::signal::Signal;
pub use self::subscription::Event;
pub use self::subscription::Renderer;
pub use self::subscription::Start;
pub use self::subscription::Subscription;
pub use self::subscription::newest;

/// Why the event log does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// The event of the bookmark is gone: the log was cleared, or has overwritten it.
    #[error("the log does not have the event any more at which it was left")]
    Gone,
    /// More events were asked for than one answer of the service may hold.
    #[error("the next events are too large to be taken together")]
    Batch,
    /// One event or message is larger than anybody writes.
    #[error("an event of {0} bytes is more than is read")]
    Large(u32),
    /// There is no such channel.
    #[error("there is no such channel on this machine")]
    NoChannel,
    /// An analytic or debug channel while it is enabled, or another one that nobody can subscribe to.
    #[error("nobody can subscribe to this channel: it is a direct one (analytic or debug)")]
    Direct,
    /// The query is wrong.
    #[error("the query is none of the event log's: `*`, or XPath like `*[System[Level<=3]]`")]
    Query,
    /// The agent may not read the channel.
    #[error("the agent's account may not read this channel: add it to the group Event Log Readers")]
    Denied,
    /// The text has a character that ends a text of Windows.
    #[error("there is a 0 in the text")]
    Text,
    /// Anything else, by Windows' number.
    #[error("Windows says error {0}: {text}", text = std::io::Error::from_raw_os_error(*.0 as i32))]
    Other(u32),
}

impl EventLogError {
    /// Returns what the call that just failed left behind.
    fn last() -> Self {
        // SAFETY: it reads a number of this thread.
        Self::of(unsafe { Foundation::GetLastError() })
    }

    fn of(code: u32) -> Self {
        match code {
            Foundation::ERROR_NOT_FOUND
            | Foundation::ERROR_EVT_QUERY_RESULT_STALE
            | Foundation::ERROR_EVT_QUERY_RESULT_INVALID_POSITION => Self::Gone,
            RPC_S_INVALID_BOUND => Self::Batch,
            Foundation::ERROR_EVT_CHANNEL_NOT_FOUND | Foundation::ERROR_EVT_INVALID_CHANNEL_PATH => {
                Self::NoChannel
            }
            Foundation::ERROR_EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL => Self::Direct,
            Foundation::ERROR_EVT_INVALID_QUERY
            | Foundation::ERROR_EVT_FILTER_ALREADYSCOPED..=Foundation::ERROR_EVT_FILTER_UNEXPECTEDTOKEN
            | Foundation::ERROR_EVT_FILTER_TOO_COMPLEX
            | Foundation::ERROR_EVT_FILTER_OUT_OF_RANGE => Self::Query,
            Foundation::ERROR_ACCESS_DENIED => Self::Denied,
            code => Self::Other(code),
        }
    }
}

/// What `EvtNext` says when the events that were asked for do not fit its answer (winerror.h).
const RPC_S_INVALID_BOUND: u32 = 1734;
