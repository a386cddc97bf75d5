//! `agent-lite inherited`.

use std::process::ExitCode;

use agent_lite::agent::inherited;
use agent_lite::agent::inherited::TakeBack;
use agent_lite::agent::seal::names;
use agent_lite::config::settings::Config;
use agent_lite::events::OneLine;

/// What is to be done with it.
#[derive(clap::Subcommand)]
pub(super) enum What {
    /// Send the records of the newest one as this machine's; the agent must be stopped
    TakeBack {
        /// The identity, too: this is the machine that was sealed, although most of its parts are others
        #[arg(long)]
        identity: bool,
    },
    /// Remove all of it, for good; the agent must be stopped
    Discard,
}

/// Shows what another machine left here, takes it back or removes it.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn inherited(config: &Config, what: Option<&What>) -> anyhow::Result<ExitCode> {
    match what {
        None => show(config),
        Some(What::TakeBack { identity }) => {
            let what = if *identity { TakeBack::QueuesAndIdentity } else { TakeBack::Queues };
            let moved = inherited::take_back(config, what)?;
            println!("{} records are in this machine's queues now", moved.records);
            if *identity {
                println!("the identity is the earlier one");
            }
            if !moved.all {
                println!("queues of workspaces that are not configured here stay: `agent-lite inherited`");
            }
        }
        Some(What::Discard) => {
            let removed = inherited::discard(config)?;
            let records: u64 = removed.iter().map(|one| one.records).sum();
            println!("removed: {} of another machine, {records} records", removed.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn show(config: &Config) {
    let all = inherited::list(&config.state);
    for one in &all {
        println!(
            "found {}: {} records, {} bytes, of agent {}\n  other parts: {}; the same: {}\n  {}",
            OneLine(&one.found),
            one.records,
            one.bytes,
            OneLine(one.agent_id.as_deref().unwrap_or("?")),
            names(&one.different),
            names(&one.same),
            OneLine(inherited::place(one).display()),
        );
    }
    match all.is_empty() {
        true => println!("nothing is inherited here"),
        false => println!(
            "\nNone of it is sent. Stop the agent, then `agent-lite inherited take-back` sends it as this machine's, and \
             `agent-lite inherited discard` removes it."
        ),
    }
}
