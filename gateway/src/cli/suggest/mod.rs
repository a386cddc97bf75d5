//! `la-gateway suggest`: rules for what access records say was refused, or would be, and what they open beside.

mod print;
mod records;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::bail;
use common::host_port::HostName;
use la_gateway::config::Config;
use la_gateway::config::RoleSummary;
use la_gateway::policy::suggestions::Pinned;
use la_gateway::policy::suggestions::Present;
use la_gateway::policy::suggestions::Suggestion;
use la_gateway::policy::suggestions::Wanted;
use la_gateway::policy::suggestions::suggest as tightest;

use self::records::Records;
use self::records::Span;
use super::document::Document;
use super::document::RELOAD;
use super::hosts::role_named;
use super::show;

/// What is said of no records at all.
const NOTHING: &str = "# There is no access record in it: nothing can be said.";

/// Arguments of `suggest`.
#[derive(clap::Args, Default)]
pub(super) struct Arguments {
    /// Access records as JSON, one a line, as `[log] format = "json"` or `journalctl -o cat` gives them
    /// [default: standard input]
    file: Option<PathBuf>,
    /// Only for this role
    #[arg(long)]
    role: Option<String>,
    /// Only records from this time on, as in 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only records up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Look at so many destinations of a role at most, the most frequent first
    #[arg(long, default_value_t = 100)]
    top: usize,
    /// Do not begin lists of workspaces and storage accounts where there is none
    #[arg(long)]
    no_pins: bool,
    /// Write it into the configuration file
    #[arg(long, conflicts_with = "json")]
    apply: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What one role needs.
struct OfRole<'a> {
    place: usize,
    summary: &'a RoleSummary,
    suggestion: Suggestion,
    /// Destinations that were wanted less often than those that were looked at.
    beyond: usize,
}

/// Reads the records and prints the rules, or writes them.
pub(super) fn suggest(config: &Config, what: &Arguments) -> anyhow::Result<ExitCode> {
    let only = what.role.as_deref().map(|role| role_named(config, Some(role))).transpose()?;
    let mut records = read(config, what)?;
    let mut roles = Vec::new();
    for (place, summary) in config.roles.all.iter().enumerate() {
        if only.is_none_or(|only| *summary.role.name == *only) {
            roles.push(for_role(&records, place, summary, what));
        }
    }
    roles.retain(|role| role.suggestion != Suggestion::default());
    records.numbers.other_roles = of_others(config, &records, only);
    if records.numbers.records == 0 && !what.json {
        show(NOTHING)?;
        print::notes(&records, &roles);
        return Ok(ExitCode::FAILURE);
    }
    match (what.json, what.apply) {
        (true, _) => show(&print::json(&records, &roles)?)?,
        (false, false) => show(&print::toml(&records, &roles))?,
        (false, true) => apply(config, &roles)?,
    }
    print::notes(&records, &roles);
    Ok(if records.numbers.records == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Counts the records of roles that were not asked for.
fn of_others(config: &Config, records: &Records, only: Option<&str>) -> u64 {
    let name = |place: usize| config.roles.all.get(place).map(|summary| &*summary.role.name);
    let others = records
        .destinations
        .iter()
        .filter(|((place, _), _)| only.is_some_and(|only| name(*place) != Some(only)));
    others.map(|(_, one)| one.wanted + one.carried).sum()
}

fn read(config: &Config, what: &Arguments) -> anyhow::Result<Records> {
    let span = Span { since: what.since.clone(), until: what.until.clone() };
    if let Some(wrong) =
        [&span.since, &span.until].into_iter().flatten().find(|text| records::time(text).is_none())
    {
        bail!("`{wrong}` is no time as records have it; write it as in 2026-11-22T00:00:00Z");
    }
    let roles: Vec<&str> = config.roles.all.iter().map(|summary| &*summary.role.name).collect();
    let records = match what.file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            Records::read(BufReader::new(opened), &roles, &span)
                .with_context(|| format!("cannot read {}", file.display()))?
        }
        None => {
            if io::stdin().is_terminal() {
                eprintln!("reading access records from standard input");
            }
            Records::read(io::stdin().lock(), &roles, &span).context("cannot read standard input")?
        }
    };
    if records.numbers.records == 0 && records.numbers.unreadable > 0 {
        bail!(
            "there is no access record in it, and {} lines that are no JSON; records are JSON with \
             `[log] format = \"json\"`",
            records.numbers.unreadable
        );
    }
    Ok(records)
}

fn for_role<'a>(records: &Records, place: usize, summary: &'a RoleSummary, what: &Arguments) -> OfRole<'a> {
    let of_role = || records.destinations.iter().filter(|((role, _), _)| *role == place);
    let mut wanted: Vec<(&HostName, u64)> =
        of_role().filter(|(_, one)| one.wanted > 0).map(|((_, host), one)| (host, one.wanted)).collect();
    wanted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let beyond = wanted.len().saturating_sub(what.top);
    let wanted: BTreeSet<Wanted> =
        wanted.into_iter().take(what.top).map(|(host, _)| Wanted::Host(host.clone())).collect();
    let carried: BTreeSet<HostName> =
        of_role().filter(|(_, one)| one.carried > 0).map(|((_, host), _)| host.clone()).collect();
    let present =
        Present { cloud: summary.cloud, bundles: &summary.bundles, destinations: &summary.role.destinations };
    let mut made = tightest(present, &wanted, &carried);
    for pinned in [&mut made.workspaces, &mut made.storage_accounts] {
        if what.no_pins && matches!(pinned, Pinned::Begin(_)) {
            *pinned = Pinned::AsItIs;
        }
    }
    OfRole { place, summary, suggestion: made, beyond }
}

fn apply(config: &Config, roles: &[OfRole<'_>]) -> anyhow::Result<()> {
    if roles.is_empty() {
        eprintln!("there is nothing to add");
        return Ok(());
    }
    let mut document = Document::open(config)?;
    let mut said = Vec::new();
    for OfRole { summary, suggestion, .. } in roles {
        let role = &*summary.role.name;
        let bundles: Vec<String> = suggestion.bundles.iter().map(|(name, _)| (*name).to_owned()).collect();
        let hosts: Vec<String> = suggestion.hosts.iter().map(|(pattern, _)| pattern.to_string()).collect();
        let workspaces: Vec<String> = suggestion.workspaces.values().cloned().collect();
        let accounts: Vec<String> = suggestion.storage_accounts.values().cloned().collect();
        let lists = [
            ("bundles", summary.bundles.as_slice(), bundles),
            ("workspaces", &[], workspaces),
            ("storage_accounts", &[], accounts),
            ("hosts", &[], hosts),
        ];
        for (key, before, values) in lists.into_iter().filter(|(_, _, values)| !values.is_empty()) {
            document.add(role, key, before, &values)?;
            said.push(format!("role {role}: {key}: added {}", values.join(", ")));
        }
    }
    if said.is_empty() {
        eprintln!("there is nothing to add");
        return Ok(());
    }
    document.write()?;
    said.iter().for_each(|line| eprintln!("{line}"));
    eprintln!("{RELOAD}");
    Ok(())
}

#[cfg(test)]
mod tests;
