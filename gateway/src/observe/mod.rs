//! What is seen: one access record for each CONNECT, events, and metrics.

pub mod access;
pub mod examples;
pub mod fleet;
pub mod history;
pub mod log;
pub mod metrics;
pub mod readiness;
pub mod reference;
pub mod repeats;
pub mod situation;
