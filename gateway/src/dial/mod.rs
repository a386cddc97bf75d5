//! From a permit to an open connection: names to addresses, addresses vetted, one of them dialled.

pub mod direct;
mod race;
pub mod relay;
pub mod resolve;
