//! Inside a tunnel: the two hellos are read and judged, then bytes are carried untouched.

pub mod carry;
pub mod copy;
pub mod hello;
pub mod idle;
pub mod offer;
pub mod pipes;
pub mod splice;
