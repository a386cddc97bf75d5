//! Foreign bytes become records here: pure, on every platform.

pub mod fingerprint;
pub mod framing;
pub mod lines;
pub mod omsagent;
pub mod proc;
pub mod syslog;
pub mod timestamps;
