//! How a suggestion is shown: TOML to paste, or JSON. What comes from records is a host name, a number, a time
//! or an address by now, so nothing in it can end a comment or a string.

use std::collections::BTreeSet;

use la_gateway::policy::destinations::Origin;
use la_gateway::policy::pattern::Pattern;
use la_gateway::policy::suggestions::Pinned;
use la_gateway::policy::suggestions::Wanted;
use serde_json::Value;
use serde_json::json;
use toml_edit::Array;
use toml_edit::Key;

use super::OfRole;
use super::records::Destination;
use super::records::Records;
use crate::cli::beside::Beside;

/// Most values on one line of a list.
const ON_ONE_LINE: usize = 3;

/// Prints tables of roles; each list is whole, so that it replaces the present one.
pub(super) fn toml(records: &Records, roles: &[OfRole<'_>]) -> String {
    let mut lines = Vec::new();
    let out = &mut lines;
    out.push(format!("# {}", span(records)));
    if roles.is_empty() {
        out.push(if records.is_all_judged() {
            "# There is nothing to add: every destination that was seen is allowed.".to_owned()
        } else {
            "# There is nothing to add for what could be judged; what could not is on standard error."
                .to_owned()
        });
    }
    for role in roles {
        out.push(format!("\n[role.{}]", Key::new(&*role.summary.role.name).display_repr()));
        let (suggestion, pins) = (&role.suggestion, role.summary.role.destinations.pins());
        let bundles = role.summary.bundles.to_vec();
        for (name, covered) in &suggestion.bundles {
            out.push(format!("# Bundle {name} covers:"));
            destinations(out, records, role.place, covered);
            out.push(beside(role, name, covered).comment());
        }
        if !suggestion.bundles.is_empty() {
            list(out, "bundles", bundles.into_iter().chain(suggestion.bundles.iter().map(|(name, _)| *name)));
        }
        pinned(out, "workspaces", &suggestion.workspaces, pins.workspaces.as_ref());
        pinned(out, "storage_accounts", &suggestion.storage_accounts, pins.storage_accounts.as_ref());
        for (pattern, covered) in &suggestion.hosts {
            if !is_itself(pattern, covered) {
                out.push(format!("# {pattern}:"));
            }
            destinations(out, records, role.place, covered);
        }
        if !suggestion.hosts.is_empty() {
            let present = present_hosts(role);
            let fresh = suggestion.hosts.iter().map(|(pattern, _)| pattern.to_string());
            let all: Vec<String> = present.into_iter().chain(fresh).collect();
            list(out, "hosts", all.iter().map(String::as_str));
        }
        for one in &suggestion.left {
            out.push(format!("# No rule can allow {}: a host has two labels at least.", name(one)));
        }
    }
    lines.join("\n")
}

fn beside(role: &OfRole<'_>, bundle: &'static str, covered: &[Wanted]) -> Beside {
    let (made, pins) = (&role.suggestion, role.summary.role.destinations.pins());
    let pinned = (
        pins.workspaces.is_some() || made.workspaces != Pinned::AsItIs,
        pins.storage_accounts.is_some() || made.storage_accounts != Pinned::AsItIs,
    );
    Beside::of(bundle, role.summary.cloud, covered, pinned)
}

/// Says whether a rule is for the one host that it names.
fn is_itself(pattern: &Pattern, covered: &[Wanted]) -> bool {
    matches!(covered, [Wanted::Host(host)] if host.as_str() == pattern.to_string())
}

fn present_hosts(role: &OfRole<'_>) -> Vec<String> {
    let rules = role.summary.role.destinations.each();
    let own = rules.filter(|rule| matches!(rule.origin, Origin::Configuration(_)));
    let mut hosts: Vec<String> = own.map(|rule| rule.pattern.to_string()).collect();
    hosts.sort_unstable();
    hosts
}

fn destinations(out: &mut Vec<String>, records: &Records, place: usize, covered: &[Wanted]) {
    let mut seen: Vec<(&Wanted, &Destination)> = covered
        .iter()
        .filter_map(|one| {
            let Wanted::Host(host) = one else { return None };
            Some((one, records.destinations.get(&(place, host.clone()))?))
        })
        .collect();
    seen.sort_by(|a, b| b.1.wanted.cmp(&a.1.wanted).then(a.0.cmp(b.0)));
    for (one, what) in seen {
        out.push(format!("#   {} ({})", name(one), counted(what)));
    }
}

fn counted(what: &Destination) -> String {
    let times = if what.wanted == 1 { "once".to_owned() } else { format!("{} times", what.wanted) };
    let from = match (what.client, what.other_clients) {
        (Some(client), false) => format!(", from {client}"),
        (Some(client), true) => format!(", from {client} and others"),
        (None, _) => String::new(),
    };
    let last = if what.last.is_empty() { String::new() } else { format!(", last {}", what.last) };
    format!("{times}{from}{last}")
}

fn pinned(out: &mut Vec<String>, key: &str, pinned: &Pinned, present: Option<&BTreeSet<String>>) {
    let what = match pinned {
        Pinned::AsItIs => return,
        Pinned::Begin(_) => "any is allowed now; these were seen, and others would be refused",
        Pinned::Extend(_) => "those of before, and those that were seen",
    };
    out.push(format!("# {key}: {what}."));
    let all: BTreeSet<&str> =
        present.into_iter().flatten().chain(pinned.values()).map(String::as_str).collect();
    list(out, key, all.into_iter());
}

/// Prints a list, quoted as TOML wants it.
fn list<'a>(out: &mut Vec<String>, key: &str, values: impl Iterator<Item = &'a str>) {
    let mut array: Array = values.collect();
    if array.len() > ON_ONE_LINE {
        array.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n    "));
        array.set_trailing_comma(true);
        array.set_trailing("\n");
    }
    out.push(format!("{key} = {array}"));
}

fn name(one: &Wanted) -> String {
    match one {
        Wanted::Host(host) => host.to_string(),
        Wanted::Domain(domain) => format!(".{domain}"),
    }
}

fn span(records: &Records) -> String {
    let number = records.numbers.records;
    match (&records.from, &records.to) {
        (Some(from), Some(to)) => format!("{number} access records from {from} to {to}."),
        _ => format!("{number} access records."),
    }
}

/// Says on standard error what the records hold beside that.
pub(super) fn notes(records: &Records, roles: &[OfRole<'_>]) {
    for role in roles.iter().filter(|role| role.beyond > 0) {
        eprintln!(
            "role {}: {} destinations that were asked for less often are left out; --top takes more",
            role.summary.role.name, role.beyond
        );
    }
    let numbers = &records.numbers;
    let said = [
        (numbers.suppressed, "records were not written by the gateway (suppressed): the counts are too low"),
        (numbers.unreadable, "lines are no JSON records, or longer than 64 KiB"),
        (numbers.strange, "records are of no role, host or port that is known here"),
        (numbers.other_roles, "records are of roles that were not asked for"),
        (numbers.forgotten, "records are of destinations that came too seldom to be kept"),
    ];
    for (number, what) in said.into_iter().filter(|(number, _)| *number > 0) {
        eprintln!("{number} {what}");
    }
    for (reason, number) in &records.others {
        eprintln!("{number} refused for another reason, which no rule mends: {reason}");
    }
}

/// Prints everything for a script.
pub(super) fn json(records: &Records, roles: &[OfRole<'_>]) -> anyhow::Result<String> {
    let covered = |place: usize, all: &[Wanted]| -> Vec<Value> {
        let found = all.iter().map(|one| {
            let Wanted::Host(host) = one else { return json!({ "host": name(one) }) };
            json!({ "host": name(one), "seen": records.destinations.get(&(place, host.clone())) })
        });
        found.collect()
    };
    let pins = |pinned: &Pinned| match pinned {
        Pinned::AsItIs => json!(null),
        Pinned::Begin(values) => json!({ "begin": values }),
        Pinned::Extend(values) => json!({ "add": values }),
    };
    let roles: Vec<Value> = roles
        .iter()
        .map(|role| {
            let made = &role.suggestion;
            let bundles: Vec<Value> = made
                .bundles
                .iter()
                .map(|(name, all)| json!({ "name": name, "covers": covered(role.place, all), "opens_beside": beside(role, name, all) }))
                .collect();
            let hosts: Vec<Value> = made
                .hosts
                .iter()
                .map(|(host, all)| json!({ "host": host.to_string(), "covers": covered(role.place, all) }))
                .collect();
            json!({
                "role": &*role.summary.role.name,
                "bundles": bundles,
                "workspaces": pins(&made.workspaces),
                "storage_accounts": pins(&made.storage_accounts),
                "hosts": hosts,
                "beyond_top": role.beyond,
                "left": made.left.iter().map(name).collect::<Vec<_>>(),
            })
        })
        .collect();
    let all = json!({
        "from": records.from,
        "to": records.to,
        "numbers": records.numbers,
        "other_refusals": records.others,
        "roles": roles,
    });
    Ok(serde_json::to_string_pretty(&all)?)
}
