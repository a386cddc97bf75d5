//! Inside a tunnel: the two hellos are read and judged, then bytes are carried untouched.

pub mod copy;
pub mod hello;
pub mod offer;
