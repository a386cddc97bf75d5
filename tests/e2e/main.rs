//! The journeys: real clients through the real program to small real servers.

// A journey that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod balancers;
mod families;
mod framing;
mod handshake;
mod identity;
mod lifecycle;
mod names;
mod passwords;
mod stage;
mod table;
mod targets;
mod tls_listener;
mod volume;
