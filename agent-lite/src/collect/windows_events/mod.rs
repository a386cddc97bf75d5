//! Channels of this Windows' event log, read in pull mode: nothing is lost because the agent is slow.
//!
//! One thread goes round the channels of a source; each has a subscription of its own, so one that fails waits and is
//! opened again while the others go on. A bookmark is written down when the queues have its events on their disks.
//! Events that were overwritten before they were read are counted by their numbers.

mod bookmarks;
#[cfg(windows)]
mod channel;
mod gaps;
#[cfg(windows)]
mod reader;

#[cfg(windows)]
pub use self::reader::Context;
#[cfg(windows)]
pub use self::reader::run;
