//! `la-gateway hosts`: the further hosts of a role, edited where they stand.

use std::process::ExitCode;

use anyhow::anyhow;
use anyhow::bail;
use common::host_port::HostPort;
use la_gateway::config::Config;
use la_gateway::policy::destinations::Destinations;
use la_gateway::policy::destinations::Origin;
use la_gateway::policy::pattern::Pattern;
use serde::Serialize;

use super::document::Document;
use super::document::RELOAD;

/// What to do with the hosts of a role.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List the hosts that the configuration writes, role by role
    List {
        /// Only of this role
        #[arg(long)]
        role: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add hosts to a role; `*` is exactly one label
    Add {
        /// The hosts, without port
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        /// The role [default: the only one]
        #[arg(long)]
        role: Option<String>,
    },
    /// Remove hosts from a role
    Remove {
        /// The hosts, as `hosts list` shows them
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        /// The role [default: the only one]
        #[arg(long)]
        role: Option<String>,
    },
}

/// Runs the command.
pub(super) fn hosts(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { role, json } => list(config, role.as_deref(), *json),
        Command::Add { hosts, role } => add(config, hosts, role_named(config, role.as_deref())?),
        Command::Remove { hosts, role } => remove(config, hosts, role_named(config, role.as_deref())?),
    }
}

/// Returns the role of this name, or the only one.
pub(super) fn role_named<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a str> {
    let names: Vec<&str> = config.roles.all.iter().map(|summary| &*summary.role.name).collect();
    match (name, names.as_slice()) {
        (Some(name), _) => names
            .iter()
            .find(|known| **known == name)
            .copied()
            .ok_or_else(|| anyhow!("there is no role `{name}`; there is {}", names.join(", "))),
        (None, [one]) => Ok(one),
        (None, _) => bail!("there are several roles ({}); choose one with --role", names.join(", ")),
    }
}

/// One line of the list.
#[derive(Serialize)]
struct Listed<'a> {
    role: &'a str,
    host: String,
    place: &'a str,
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn list(config: &Config, role: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let role = role.map(|role| role_named(config, Some(role))).transpose()?;
    let mut listed = Vec::new();
    for summary in
        config.roles.all.iter().filter(|summary| role.is_none_or(|role| *summary.role.name == *role))
    {
        for rule in summary.role.destinations.each() {
            if let Origin::Configuration(place) = &rule.origin {
                listed.push(Listed { role: &summary.role.name, host: rule.pattern.to_string(), place });
            }
        }
    }
    listed.sort_by(|a, b| (a.role, &a.host).cmp(&(b.role, &b.host)));
    if json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else {
        listed.iter().for_each(|one| println!("{}  {}", one.role, one.host));
    }
    Ok(ExitCode::SUCCESS)
}

fn add(config: &Config, hosts: &[String], role: &str) -> anyhow::Result<ExitCode> {
    let patterns = patterns(hosts)?;
    let mut document = Document::open(config)?;
    let there = document.list(role, "hosts")?.unwrap_or_default();
    let there: Vec<Pattern> = there.iter().filter_map(|host| host.parse().ok()).collect();
    let mut fresh: Vec<String> = Vec::new();
    for pattern in &patterns {
        let text = pattern.to_string();
        match there.contains(pattern) || fresh.contains(&text) {
            true => eprintln!("{text} is there already"),
            false => fresh.push(text),
        }
    }
    if fresh.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    document.add(role, "hosts", &[], &fresh)?;
    document.write()?;
    for host in &fresh {
        let known = destinations(config, role).and_then(|all| bundle_with(all, host));
        let known = known.map(|name| format!(" (bundle {name} allows it, too)")).unwrap_or_default();
        eprintln!("role {role}: added {host}{known}");
    }
    eprintln!("{RELOAD}");
    Ok(ExitCode::SUCCESS)
}

fn remove(config: &Config, hosts: &[String], role: &str) -> anyhow::Result<ExitCode> {
    let patterns = patterns(hosts)?;
    let mut document = Document::open(config)?;
    let there = document.list(role, "hosts")?.unwrap_or_default();
    let is = |host: &str, pattern: &Pattern| host.parse::<Pattern>().is_ok_and(|known| known == *pattern);
    if let Some(missing) = patterns.iter().find(|pattern| !there.iter().any(|host| is(host, pattern))) {
        let text = missing.to_string();
        let bundle = destinations(config, role).and_then(|all| bundle_with(all, &text));
        match bundle {
            Some(bundle) => bail!("{text} is no host of role `{role}`; it is allowed by its bundle {bundle}"),
            None => bail!("{text} is no host of role `{role}`; see `la-gateway hosts list`"),
        }
    }
    document.remove(role, "hosts", |host| patterns.iter().any(|pattern| is(host, pattern)))?;
    document.write()?;
    patterns.iter().for_each(|pattern| eprintln!("role {role}: removed {pattern}"));
    eprintln!("{RELOAD}");
    Ok(ExitCode::SUCCESS)
}

fn patterns(hosts: &[String]) -> anyhow::Result<Vec<Pattern>> {
    if let Some(host) = hosts.iter().find(|host| host.contains([':', '/'])) {
        bail!("`{host}`: write the host alone, without https:// and port");
    }
    let parsed = hosts.iter().map(|host| host.parse().map_err(|error| anyhow!("`{host}`: {error}")));
    parsed.collect()
}

fn destinations<'a>(config: &'a Config, role: &str) -> Option<&'a Destinations> {
    let summary = config.roles.all.iter().find(|summary| *summary.role.name == *role)?;
    Some(&summary.role.destinations)
}

/// Returns the bundle of a role that allows a host, if one does.
fn bundle_with(all: &Destinations, host: &str) -> Option<&'static str> {
    let target: HostPort = format!("{host}:443").parse().ok()?;
    match all.authorize(&target).ok()?.rule()?.origin {
        Origin::Bundle { name, .. } => Some(name),
        Origin::Configuration(_) => None,
    }
}
