//! Counters from `/proc`: how the tables are read, and what is kept between two samplings.

mod before;
mod disks;
mod processes;
mod rows;
pub(super) mod sampler;
mod system;
mod tables;
#[cfg(test)]
mod tests;
