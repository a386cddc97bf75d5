//! Foreign bytes become records here: pure, on every platform.

pub mod framing;
pub mod syslog;
