//! `la-gateway completions` and `la-gateway man`: made from the arguments themselves.

use std::io;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::anyhow;
use clap::CommandFactory;
use common::manual;
use common::manual::Shell;

use super::Arguments;

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let script = manual::completions(&command(), shell);
    io::stdout().write_all(&script).context("cannot write")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page, or writes it and one for each command to a folder.
pub(super) fn man(folder: Option<&Path>) -> anyhow::Result<ExitCode> {
    let Some(folder) = folder else {
        let page = manual::page(&command()).context("cannot write")?;
        io::stdout().write_all(&page).context("cannot write")?;
        return Ok(ExitCode::SUCCESS);
    };
    let written = manual::write_pages(&command(), folder)
        .map_err(|(place, error)| anyhow!("cannot write {}: {error}", place.display()))?;
    for file in written {
        eprintln!("{}: written", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn command() -> clap::Command {
    manual::shown(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &Arguments::command())
}
