//! `la-gateway bundles`: the lists of hosts that come with the program, and how they differ.

mod diff;

use std::process::ExitCode;

use anyhow::anyhow;
use common::cloud::Cloud;
use la_gateway::policy::bundles;
use la_gateway::policy::bundles::Bundle;
use serde::Deserialize;
use serde::Serialize;

/// What to do with the bundles.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the bundles
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the hosts of a bundle, and why each is in it
    Show {
        /// The bundle [default: all]
        name: Option<String>,
        /// Only of this cloud: public, us-government or china
        #[arg(long)]
        cloud: Option<Cloud>,
        /// Print JSON; saved, it is what a later version is compared with
        #[arg(long)]
        json: bool,
    },
    /// Show what one list opens and the other does not
    Diff(diff::Arguments),
}

/// Every bundle of one version of the program, as it is saved.
#[derive(Debug, Deserialize, Serialize)]
struct Saved {
    version: String,
    bundles: Vec<SavedBundle>,
}

/// One bundle of it.
#[derive(Debug, Deserialize, Serialize)]
struct SavedBundle {
    name: String,
    version: String,
    purpose: String,
    hosts: Vec<SavedHost>,
}

/// One host of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct SavedHost {
    cloud: String,
    pattern: String,
    purpose: String,
    source: String,
}

/// Runs the command.
pub(super) fn bundles(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { json } => list(*json),
        Command::Show { name, cloud, json } => show(name.as_deref(), *cloud, *json),
        Command::Diff(what) => diff::diff(what),
    }
}

/// One line of the list.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    version: &'static str,
    purpose: &'static str,
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let all = bundles::ALL.iter();
    if json {
        let all = all.map(|one| Listed { name: one.name, version: one.version, purpose: one.purpose });
        super::show(&serde_json::to_string_pretty(&all.collect::<Vec<_>>())?)?;
    } else {
        let lines = all.map(|one| format!("{:<22} {}  {}", one.name, one.version, one.purpose));
        super::show(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(name: Option<&str>, cloud: Option<Cloud>, json: bool) -> anyhow::Result<ExitCode> {
    let saved = saved(name, cloud)?;
    if json {
        super::show(&serde_json::to_string_pretty(&saved)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = Vec::new();
    for bundle in &saved.bundles {
        lines.push(format!("{} {}: {}", bundle.name, bundle.version, bundle.purpose));
        for host in &bundle.hosts {
            lines.push(format!(
                "  {:<14} {}\n{:17}{} ({})",
                host.cloud, host.pattern, "", host.purpose, host.source
            ));
        }
    }
    super::show(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the installed program's bundles: one, or all.
fn saved(name: Option<&str>, cloud: Option<Cloud>) -> anyhow::Result<Saved> {
    let chosen: Vec<&Bundle> = match name {
        Some(name) => vec![found(name)?],
        None => bundles::ALL.iter().collect(),
    };
    let of = |bundle: &&Bundle| SavedBundle {
        name: bundle.name.to_owned(),
        version: bundle.version.to_owned(),
        purpose: bundle.purpose.to_owned(),
        hosts: bundle
            .hosts
            .iter()
            .filter(|host| cloud.is_none_or(|cloud| host.cloud == cloud))
            .map(|host| SavedHost {
                cloud: host.cloud.name().to_owned(),
                pattern: host.pattern.to_owned(),
                purpose: host.purpose.to_owned(),
                source: host.source.to_owned(),
            })
            .collect(),
    };
    Ok(Saved { version: env!("CARGO_PKG_VERSION").to_owned(), bundles: chosen.iter().map(of).collect() })
}

fn found(name: &str) -> anyhow::Result<&'static Bundle> {
    bundles::find(name).ok_or_else(|| {
        let names: Vec<&str> = bundles::ALL.iter().map(|bundle| bundle.name).collect();
        anyhow!("there is no bundle `{name}`; there is {}", names.join(", "))
    })
}
