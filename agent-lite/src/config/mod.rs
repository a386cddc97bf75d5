//! The configuration file: read, checked, all problems reported at once.

pub mod settings;
