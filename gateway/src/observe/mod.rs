//! What is seen: one access record for each CONNECT, events, and metrics.

pub mod access;
pub mod fleet;
pub mod log;
pub mod metrics;
pub mod readiness;
pub mod reference;
pub mod repeats;
