//! Inside a tunnel: the two hellos are read and judged, then bytes are carried untouched.

pub mod carry;
pub mod copy;
pub mod hello;
pub mod idle;
pub mod offer;
#[cfg_attr(windows, path = "no_pipes.rs")]
pub mod pipes;
#[cfg_attr(windows, path = "no_splice.rs")]
pub mod splice;
