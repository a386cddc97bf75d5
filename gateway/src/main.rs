//! The program `la-gateway`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
