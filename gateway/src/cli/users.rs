//! `la-gateway users`: the users file, edited whole and written in one step.

use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use common::secret::Secret;
use la_gateway::config::Source;
use la_gateway::config::read_file;
use la_gateway::config::users::check_name;
use la_gateway::config::users::read;
use la_gateway::policy::passwords::StoredHash;
use la_gateway::system;
use toml_edit::DocumentMut;
use toml_edit::Item;

use super::document::RELOAD;
use super::exit_code;
use super::replace::Original;

/// A users file without users. A blank one counts as lost, and a running gateway would keep who was in it.
const NOBODY: &str = "# nobody\n";
/// Longest password that is hashed, in bytes: what fits in a Basic field beside a user name.
const LONGEST_PASSWORD: usize = 1024;

/// What to do with a users file.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a user, or give one a new password: the first line of standard input
    Add {
        /// The user's name
        name: String,
        #[command(flatten)]
        which: Which,
    },
    /// List the users
    List {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a user
    Remove {
        /// The user's name
        name: String,
        #[command(flatten)]
        which: Which,
    },
}

/// Which users file is meant.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The users file; `add` makes it if it is not there
    #[arg(long, value_name = "FILE", conflicts_with = "role")]
    file: Option<PathBuf>,
    /// The role whose `users_file` it is [default: the only one that has one]
    #[arg(long)]
    role: Option<String>,
}

/// Runs the command. `config` is the configuration file that was named.
pub(super) fn users(command: &Command, config: Option<&Path>) -> ExitCode {
    exit_code(match command {
        Command::Add { name, which } => which.file(config).and_then(|file| add(name, &file)),
        Command::List { which, json } => which.file(config).and_then(|file| list(&file, *json)),
        Command::Remove { name, which } => which.file(config).and_then(|file| remove(name, &file)),
    })
}

impl Which {
    /// Returns the file that was named, or the `users_file` of a role: the configuration need not be right, for
    /// it is not while that file is missing.
    fn file(&self, config: Option<&Path>) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let usual = system::usual_place();
        let config = config.unwrap_or(&usual);
        let text = read_text(config).context("name the users file with --file")?;
        let document: DocumentMut = text.parse().map_err(|error| anyhow!("{}: {error}", config.display()))?;
        let roles = document.get("role").and_then(Item::as_table_like);
        let with_file: Vec<&str> = roles
            .into_iter()
            .flat_map(|roles| roles.iter())
            .filter(|(name, _)| self.role.as_deref().is_none_or(|role| role == *name))
            .filter_map(|(_, role)| role.as_table_like()?.get("users_file")?.as_str())
            .collect();
        match (with_file.as_slice(), &self.role) {
            ([one], _) => Ok(config.parent().unwrap_or(Path::new("")).join(one)),
            ([], Some(role)) => bail!("{} has no role `{role}` with a `users_file`", config.display()),
            ([], None) => bail!("no role in {} has a `users_file`; name one with --file", config.display()),
            _ => bail!("several roles have a `users_file`; choose one with --role"),
        }
    }
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
    let original = Original::open_or_new(file)?;
    let text = if original.text == NOBODY { "" } else { original.text.as_str() };
    let before = text.lines().count();
    let mut lines = without(text, name);
    lines.push(format!("{name}:{}", hash.text()));
    original.replace(&whole(&lines))?;
    let done = if lines.len() > before { "added" } else { "has a new password now" };
    eprintln!("{name}: {done} ({}); {RELOAD}", file.display());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn list(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let text = read_text(file)?;
    let (users, problems) = read(Source { file, text: &text });
    let names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&names)?);
    } else {
        names.iter().for_each(|name| println!("{name}"));
    }
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn remove(name: &str, file: &Path) -> anyhow::Result<ExitCode> {
    let original = Original::open(file)?;
    let lines = without(&original.text, name);
    if lines.len() == original.text.lines().count() {
        bail!("there is no user `{name}` in {}", file.display());
    }
    let is_blank = lines.iter().all(|line| line.trim().is_empty());
    original.replace(&if is_blank { NOBODY.to_owned() } else { whole(&lines) })?;
    eprintln!("{name}: removed ({}); {RELOAD}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn read_text(file: &Path) -> anyhow::Result<String> {
    let why = |text: &str| text.trim_start_matches("cannot be read: ").to_owned();
    read_file(file).map_err(|problem| anyhow!("cannot read {}: {}", file.display(), why(&problem.text)))
}

/// Returns the lines of a users file but the user's own; comments and order stay.
fn without(text: &str, name: &str) -> Vec<String> {
    let is_users = |line: &&str| line.trim().split_once(':').is_some_and(|(user, _)| user == name);
    text.lines().filter(|line| !is_users(line)).map(str::to_owned).collect()
}

fn whole(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
