//! `la-gateway completions` and `la-gateway man`: made from the arguments themselves.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum For {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Returns the command without what is hidden.
fn shown() -> clap::Command {
    let whole = Arguments::command();
    let below: Vec<clap::Command> =
        whole.get_subcommands().filter(|below| !below.is_hide_set()).cloned().collect();
    clap::Command::new("la-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments().cloned())
        .subcommands(below)
}

/// Prints the completions of a shell.
pub(super) fn completions(shell: For) -> anyhow::Result<ExitCode> {
    let shell = match shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(), "la-gateway", &mut script);
    io::stdout().write_all(&script).context("cannot write")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page, or writes it and one for each command to a folder.
pub(super) fn man(folder: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut command = shown().disable_help_subcommand(true);
    command.build();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("cannot write")?;
        io::stdout().write_all(&page).context("cannot write")?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in pages(&command, "la-gateway", folder)? {
        eprintln!("{}: written", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and of those below it.
fn pages(command: &clap::Command, name: &str, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let file = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page).context("cannot write")?;
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    let mut written = vec![file];
    for below in command.get_subcommands() {
        written.extend(pages(below, &format!("{name}-{}", below.get_name()), folder)?);
    }
    Ok(written)
}
