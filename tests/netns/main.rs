//! The air gap, proven: hosts with networks of their own, the default address policy, the generated rules.
//!
//! Needs root, nftables, HAProxy and tayga; says `skipped: …` without. Nothing leaves the machine: the internet
//! here is a namespace with public addresses.

// A proof that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod air_gap;
mod balancer;
mod pair;
mod probe;
mod rules;
mod senders;
mod six;
mod stage;
mod virtual_address;
