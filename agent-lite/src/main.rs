//! The program `agent-lite`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
