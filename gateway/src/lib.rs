//! The forwarding gateway, as a library for its program and its benches.
//!
//! Start reading at [`connect`]: one CONNECT, station by station. Floors, top down: `cli`, then
//! [`gateway`], [`connection`], [`admin`] and [`control`], [`connect`], then [`listen`], [`dial`] and [`tunnel`],
//! then [`config`] and [`observe`], then [`policy`] and [`parse`], and [`refusal`] and [`events`] at
//! the bottom. Imports run down only; `tests/floor_plan.rs` keeps it so.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout))]

pub mod admin;
pub mod answer;
pub mod config;
pub mod connect;
pub mod connection;
pub mod control;
pub mod crypto;
pub mod dial;
pub mod ending;
pub mod events;
pub mod gateway;
pub mod listen;
pub mod observe;
pub mod parse;
pub mod policy;
pub mod refusal;
pub mod sandbox;
pub mod stream;
#[cfg_attr(unix, path = "system/unix.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
pub mod system;
pub mod tunnel;
