//! Completions and manual pages, made from a program's arguments themselves.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use clap::Command;

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Returns the completions of a shell.
#[must_use]
pub fn completions(shown: &Command, shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown.clone(), shown.get_name(), &mut script);
    script
}

/// Returns the manual page of the program.
///
/// # Errors
/// Never seen: it is written to memory.
pub fn page(shown: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(built(shown)).render(&mut page)?;
    Ok(page)
}

/// Writes the manual page, and one for each command, to a folder that is made if it is not there. Returns the files.
///
/// # Errors
/// With the folder or the file that cannot be written.
pub fn write_pages(shown: &Command, folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
    let command = built(shown);
    below(&command, command.get_name(), folder)
}

/// Returns a program's command without what is hidden; the functions here are about such a one.
#[must_use]
pub fn shown(name: &'static str, version: &'static str, whole: &Command) -> Command {
    let below: Vec<Command> = whole.get_subcommands().filter(|below| !below.is_hide_set()).cloned().collect();
    Command::new(name)
        .version(version)
        .about(whole.get_about().cloned().unwrap_or_default())
        .args(whole.get_arguments().cloned())
        .subcommands(below)
}

fn built(shown: &Command) -> Command {
    let mut command = shown.clone().disable_help_subcommand(true);
    command.build();
    command
}

/// Writes the page of a command and of those below it.
fn below(command: &Command, name: &str, folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let file = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    let made = clap_mangen::Man::new(command.clone()).title(name).render(&mut page);
    made.and_then(|()| fs::write(&file, page)).map_err(|error| (file.clone(), error))?;
    let mut written = vec![file];
    for next in command.get_subcommands() {
        written.extend(below(next, &format!("{name}-{}", next.get_name()), folder)?);
    }
    Ok(written)
}
