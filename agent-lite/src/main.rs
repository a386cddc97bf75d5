//! `agent-lite`.

fn main() {}
