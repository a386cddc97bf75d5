//! Foreign bytes become records here: pure, on every platform.

pub mod lines;
pub mod timestamps;
