//! `la-gateway users`: the users file, edited whole and written in one step.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::bail;
use common::secret::Secret;
use la_gateway::config::Source;
use la_gateway::config::users::check_name;
use la_gateway::config::users::read;
use la_gateway::policy::passwords::StoredHash;

use super::exit_code;

/// Longest password that is hashed, in bytes: what fits in a Basic field beside a user name.
const LONGEST_PASSWORD: usize = 1024;

/// What to do with a users file.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a user, or give one a new password: the first line of standard input
    Add {
        /// The user's name
        name: String,
        /// The users file; made if it is not there
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List the users
    List {
        /// The users file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove a user
    Remove {
        /// The user's name
        name: String,
        /// The users file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

/// Runs the command.
pub(super) fn users(command: &Command) -> ExitCode {
    exit_code(match command {
        Command::Add { name, file } => add(name, file),
        Command::List { file } => list(file),
        Command::Remove { name, file } => remove(name, file),
    })
}

fn add(name: &str, file: &Path) -> anyhow::Result<ExitCode> {
    if let Err(problem) = check_name(name) {
        bail!("{problem}");
    }
    if io::stdin().is_terminal() {
        eprint!("password for {name} (it will be shown): ");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("the password is empty; give it as the first line of standard input");
    }
    if password.len() > LONGEST_PASSWORD || password.contains(char::is_control) {
        bail!("the password is longer than {LONGEST_PASSWORD} bytes or holds a control character");
    }
    set_password(name, file, &Secret::new(password.to_owned()))?;
    Ok(ExitCode::SUCCESS)
}

/// Gives a user of a users file this password, adds the user where it is not there, and says which it was.
pub(super) fn set_password(name: &str, file: &Path, password: &Secret) -> anyhow::Result<()> {
    let hash = StoredHash::of(password)?;
    let before = if file.exists() { read_text(file)? } else { String::new() };
    let mut lines = without(&before, name);
    lines.push(format!("{name}:{}", hash.to_text()));
    write(file, &lines)?;
    let done = if lines.len() > before.lines().count() { "added" } else { "has a new password now" };
    eprintln!("{name}: {done} ({}); a running gateway takes it within seconds", file.display());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn list(file: &Path) -> anyhow::Result<ExitCode> {
    let text = read_text(file)?;
    let (users, problems) = read(Source { file, text: &text });
    users.iter().for_each(|user| println!("{}", user.name));
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn remove(name: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let before = read_text(file)?;
    let lines = without(&before, name);
    if lines.len() == before.lines().count() {
        bail!("there is no user `{name}` in {}", file.display());
    }
    write(file, &lines)?;
    Ok(ExitCode::SUCCESS)
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Returns the lines of a users file but the user's own; comments and order stay.
fn without(text: &str, name: &str) -> Vec<String> {
    let is_users = |line: &&str| line.trim().split_once(':').is_some_and(|(user, _)| user == name);
    text.lines().filter(|line| !is_users(line)).map(str::to_owned).collect()
}

/// Replaces the file in one step, keeping its mode and owner; a new one is readable by its owner only.
/// Where the file is a link, the file it leads to is replaced.
fn write(file: &Path, lines: &[String]) -> anyhow::Result<()> {
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let before = fs::metadata(&real).ok();
    let mode = before.as_ref().map_or(0o600, |metadata| metadata.permissions().mode());
    let name = real.file_name().context("the users file has no name")?.to_string_lossy();
    let new = real.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        if let Some(before) = before {
            fchown(&out, Some(before.uid()), Some(before.gid()))?;
        }
        out.set_permissions(fs::Permissions::from_mode(mode))?;
        out.sync_all()?;
        fs::rename(&new, &real)
    })();
    if written.is_err() {
        // The half-written copy is of no use to anybody.
        let _ = fs::remove_file(&new);
    }
    written.with_context(|| format!("cannot write {}", file.display()))
}
