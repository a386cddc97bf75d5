//! The program `agent-lite`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
