//! The cast of the journeys: small real servers and clients on loopback, every port chosen by the system.
//!
//! Fakes of the outside: [`azure`] (its services: [`family`]), which takes everything, for the gateway;
//! [`workspace`], which is as strict as the real services, for the agent; [`origin`], [`dns`]. Callers:
//! [`client`], [`curl`], [`prometheus`]. Between: [`haproxy`], and as relays [`tinyproxy`] and [`scripted`]. The programs
//! under test: [`gateway`], with its [`config`] and its [`metrics`], and [`agent`]; their [`record`]s and
//! [`text_line`]s, and the [`journal`] that takes them. Hosts with networks of their own: [`network`]. Props: [`pki`], [`authority`],
//! [`hello`], [`users`], [`proxy_header`], [`content`], [`wire`], [`patience`], [`installed`], [`process`].

// A fake that cannot go on must say so loudly: panics and prints are this crate's reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

pub mod agent;
pub mod authority;
pub mod azure;
pub mod client;
pub mod config;
pub mod content;
pub mod curl;
pub mod dns;
pub mod family;
pub mod gateway;
pub mod haproxy;
pub mod hello;
pub mod installed;
pub mod journal;
pub mod metrics;
pub mod network;
pub mod origin;
pub mod patience;
pub mod pki;
pub mod process;
mod program;
pub mod prometheus;
pub mod proxy_header;
pub mod record;
pub mod scripted;
pub mod text_line;
pub mod tinyproxy;
pub mod users;
pub mod wire;
pub mod workspace;
