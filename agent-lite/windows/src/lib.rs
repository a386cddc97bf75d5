//! What agent-lite and la-gateway ask of Windows by its C interfaces, as safe functions. Empty on every other system.

#![cfg(windows)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod counters;
pub mod event_log;
pub mod files;
pub mod folders;
pub mod machine;
pub mod pipe;
pub mod secrets;
pub mod security;
pub mod service;
pub mod threads;
mod wide;
