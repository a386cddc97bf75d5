//! The sources. Each is a task that writes records into its [`inlet::Inlet`]; nothing here knows a transport.

mod apart;
pub mod evtx;
pub mod files;
pub mod heartbeat;
pub mod inlet;
pub mod machine;
pub mod parts;
pub mod performance;
pub mod syslog;
#[cfg(any(windows, test))]
pub mod windows_events;
