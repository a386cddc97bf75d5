//! `la-gateway status`, `reload` and `drain`: what is said to a running gateway through its control socket.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(unix)]
use anyhow::Context;
use anyhow::anyhow;
use la_gateway::config::ControlSocket;
use la_gateway::control::client::ClientError;
use la_gateway::control::client::ask;
use la_gateway::control::wire::Word;
#[cfg(unix)]
use la_gateway::gateway::launcher::Successor;
use la_gateway::system;
use serde_json::Value;

use super::EX_CONFIG;
use super::run::control_socket;
use super::status::printable;
use super::status::text;

/// Where the running gateway is.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Its control socket [default: that of the configuration]
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
    /// As JSON, whole
    #[arg(long)]
    json: bool,
}

/// Arguments of `reload`.
#[derive(clap::Args)]
pub(super) struct Reload {
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `launcher`.
#[cfg(unix)]
#[derive(clap::Args)]
pub(super) struct Launcher {
    program: PathBuf,
    control: PathBuf,
    config_file: Option<PathBuf>,
}

impl Place {
    fn ask(&self, config: Option<&Path>, word: Word) -> anyhow::Result<Value> {
        if let Some(socket) = &self.socket {
            return Ok(ask(socket, word)?);
        }
        let found = ControlSocket::find(config).map_err(|problem| anyhow!("{problem}"))?;
        ask(&control_socket(&found)?, word).map_err(|error| match (&error, found) {
            (ClientError::Nobody { .. }, ControlSocket::Usual) => {
                let usual = system::usual_place();
                let file = config.unwrap_or(&usual).display();
                anyhow!(
                    "{error}; {file} names no [control] socket: say where with --socket, or {}",
                    system::RELOAD_BY_HAND
                )
            }
            _ => error.into(),
        })
    }
}

/// Prints how the running gateway is.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn status(config: Option<&Path>, what: &Status) -> anyhow::Result<ExitCode> {
    let status = what.place.ask(config, Word::Status)?;
    match what.json {
        true => println!("{status}"),
        false => print!("{}", text(&status)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets the running gateway read its configuration anew. A refused one has the exit code of a wrong configuration.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn reload(config: Option<&Path>, what: &Reload) -> anyhow::Result<ExitCode> {
    let outcome = what.place.ask(config, Word::Reload)?;
    let word = outcome.get("outcome").and_then(Value::as_str).unwrap_or_default();
    if what.json {
        println!("{outcome}");
    } else {
        let list = |name: &str| {
            let all = outcome.get(name).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).map(printable).collect::<Vec<_>>()
        };
        list("problems").iter().for_each(|problem| eprintln!("{problem}"));
        println!("{}", printable(word));
        list("waits").iter().for_each(|wait| println!("waits for a hand-over or a restart: {wait}"));
    }
    Ok(if word == "refused" { ExitCode::from(EX_CONFIG) } else { ExitCode::SUCCESS })
}

/// Lets the running gateway drain.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn drain(config: Option<&Path>, place: &Place) -> anyhow::Result<ExitCode> {
    print!("{}", text(&place.ask(config, Word::Drain)?));
    Ok(ExitCode::SUCCESS)
}

/// Is the launcher of a gateway.
#[cfg(unix)]
pub(super) fn launcher(what: Launcher) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let successor = Successor { program: what.program, control: what.control, config: what.config_file };
    // The gateway reads what is said here; when it is gone nobody does.
    let _ = runtime.block_on(successor.wait());
    Ok(ExitCode::SUCCESS)
}
