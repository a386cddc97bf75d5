//! Foreign bytes become records here: pure, on every platform.

pub mod counter_paths;
pub mod fingerprint;
pub mod framing;
pub mod lines;
pub mod omsagent;
pub mod proc;
pub mod syslog;
pub mod timestamps;
pub mod w3c;
pub mod windows_event;
