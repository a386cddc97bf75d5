//! The edge agent, as a library for its program, its tests and its benches.
//!
//! Start reading at [`agent`]: one task a source, one courier a workspace. Floors, top down: `cli`,
//! then [`agent`], [`collect`] and [`upload`] (they meet only in the spool), [`config`], [`spool`],
//! [`parse`], [`transport`], [`durable`], and [`record`], [`counters`], [`events`] and [`system`] at the bottom. Imports run
//! down only; `tests/floor_plan.rs` keeps it so.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout))]

pub mod agent;
pub mod collect;
pub mod config;
pub mod counters;
pub mod durable;
pub mod events;
pub mod parse;
pub mod record;
pub mod spool;
#[cfg_attr(unix, path = "system/unix/mod.rs")]
#[cfg_attr(windows, path = "system/windows/mod.rs")]
pub mod system;
pub mod transport;
pub mod upload;
