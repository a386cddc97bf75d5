//! The sources. Each is a task that writes records into its [`Inlet`]; nothing here knows a transport.

pub mod heartbeat;
pub mod files;
pub mod inlet;
pub mod syslog;
pub mod machine;
pub mod performance;
