//! Foreign bytes become records here: pure, on every platform.

pub mod proc;
pub mod framing;
pub mod syslog;
pub mod lines;
pub mod timestamps;
