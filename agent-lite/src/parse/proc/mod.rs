//! The kernel's tables in `/proc` become readings of performance counters.
//!
//! One module a table or family of tables: what it says, and what the counters make of it. The names are in
//! [`catalogue`], their meanings in `docs/counters.md`. A readings array stands in the catalogue's order.

pub mod catalogue;
pub mod disk;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod process;
pub mod processor;
pub mod reading;
pub mod release;
pub mod system;
mod words;

#[cfg(test)]
mod tests;
