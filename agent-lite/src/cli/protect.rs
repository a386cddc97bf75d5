//! `agent-lite protect`: seals a file with a secret, so that a copy of it is of no use on another machine.

use std::path::Path;
use std::process::ExitCode;

use agent_lite::system;
use anyhow::Context;
use common::secret::Secret;

use super::onboard::files::read;
use super::onboard::files::write;

/// Replaces the file by its sealed form; one that is sealed stays so.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn protect(file: &Path) -> anyhow::Result<ExitCode> {
    let text = system::unsealed(read(file)?).with_context(|| file.display().to_string())?;
    let sealed = system::sealed(&Secret::new(text)).context("Windows seals nothing")?;
    write(file, sealed.expose(), 0o600)?;
    println!("{}: sealed for this machine", file.display());
    Ok(ExitCode::SUCCESS)
}
