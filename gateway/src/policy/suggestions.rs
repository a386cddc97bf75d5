//! Rules for what was seen, as tight as bundles and documented families are.
//!
//! A host that no rule allows is covered by, in this order: a bundle, if two of its patterns were seen or one
//! with a `{workspace}`; the documented pattern of its family, if [`FAMILY`] hosts of it were seen; itself.
//! Workspaces and storage accounts are named one by one. A bundle opens hosts that were not
//! seen, too; who shows it says so.

use std::collections::BTreeSet;

use common::cloud::Cloud;
use common::host_port::HostName;

use super::bundles;
use super::bundles::Bundle;
use super::destinations::Destinations;
use super::destinations::Reported;
use super::pattern::Pattern;

/// So many hosts of one documented family make a wildcard of it.
pub const FAMILY: usize = 3;

/// Something that clients want to reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// One host.
    Host(HostName),
    /// A domain and everything below, as other proxies allow it.
    Domain(HostName),
}

/// What a role allows now.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// The cloud of its bundles.
    pub cloud: Cloud,
    /// Names of its bundles.
    pub bundles: &'a [&'static str],
    /// Its rules and pins.
    pub destinations: &'a Destinations,
}

/// What to add to a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// Bundles, each with what it covers.
    pub bundles: Vec<(&'static str, Vec<Wanted>)>,
    /// Values of `workspaces`.
    pub workspaces: Pinned,
    /// Values of `storage_accounts`.
    pub storage_accounts: Pinned,
    /// Values of `hosts`, each with what it covers.
    pub hosts: Vec<(Pattern, Vec<Wanted>)>,
    /// What no rule can allow, because it is too wide or one label only.
    pub left: Vec<Wanted>,
}

/// What to do with a list that narrows a placeholder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pinned {
    /// Nothing.
    #[default]
    AsItIs,
    /// There is none: anything is allowed now, and these are all that was seen.
    Begin(BTreeSet<String>),
    /// These are missing in it.
    Extend(BTreeSet<String>),
}

impl Pinned {
    /// Returns the values.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        let values = match self {
            Self::AsItIs => None,
            Self::Begin(values) | Self::Extend(values) => Some(values),
        };
        values.into_iter().flatten()
    }
}

/// Returns what a role needs for what was refused or reported; `carried` is what a rule let through.
pub fn suggest(present: Present<'_>, wanted: &BTreeSet<Wanted>, carried: &BTreeSet<HostName>) -> Suggestion {
    let mut made = Suggestion::default();
    let mut open: BTreeSet<Wanted> = BTreeSet::new();
    for one in wanted {
        let is_open = match one {
            // What only a pin stands against gets a pin, below.
            Wanted::Host(host) => present.destinations.judge(host) == Err(Reported::Host),
            Wanted::Domain(_) => true,
        };
        if is_open {
            open.insert(one.clone());
        }
    }
    while let Some((bundle, covered)) = best_bundle(present, &made, &open) {
        open.retain(|one| covered.binary_search(one).is_err());
        made.bundles.push((bundle.name, covered));
    }
    families(present.cloud, &mut open, &mut made.hosts);
    for one in open {
        match of_its_own(present.cloud, &one) {
            patterns if patterns.is_empty() => made.left.push(one),
            patterns => made.hosts.extend(patterns.into_iter().map(|p| (p, vec![one.clone()]))),
        }
    }
    let hosts = wanted.iter().filter_map(|one| match one {
        Wanted::Host(host) => Some(host),
        Wanted::Domain(_) => None,
    });
    let seen: BTreeSet<&HostName> = hosts.chain(carried).collect();
    pins(present, &mut made, &seen);
    made
}

/// Returns the bundle that covers most patterns of what is open, with what it covers.
fn best_bundle(
    present: Present<'_>,
    made: &Suggestion,
    open: &BTreeSet<Wanted>,
) -> Option<(&'static Bundle, Vec<Wanted>)> {
    let mut best: Option<(usize, usize, &'static Bundle, Vec<Wanted>)> = None;
    for bundle in bundles::ALL {
        let has =
            present.bundles.contains(&bundle.name) || made.bundles.iter().any(|one| one.0 == bundle.name);
        if has {
            continue;
        }
        let patterns = patterns_of(bundle, present.cloud);
        let hit: Vec<&Pattern> =
            patterns.iter().filter(|pattern| open.iter().any(|one| covers(pattern, one))).collect();
        if hit.len() < 2 && !hit.iter().any(|pattern| pattern.placeholders().0) {
            continue;
        }
        let covered: Vec<Wanted> =
            open.iter().filter(|one| patterns.iter().any(|pattern| covers(pattern, one))).cloned().collect();
        let better = best.as_ref().is_none_or(|(hits, rules, _, _)| {
            hit.len() > *hits || (hit.len() == *hits && patterns.len() < *rules)
        });
        if better {
            best = Some((hit.len(), patterns.len(), bundle, covered));
        }
    }
    best.map(|(_, _, bundle, covered)| (bundle, covered))
}

fn patterns_of(bundle: &Bundle, cloud: Cloud) -> Vec<Pattern> {
    bundle.hosts_in(cloud).filter_map(|host| host.pattern.parse().ok()).collect()
}

/// Says whether a pattern is for this host, or for hosts of this domain.
pub fn covers(pattern: &Pattern, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Host(host) => pattern.find(host).is_some(),
        Wanted::Domain(domain) => {
            let (end, domain) = (pattern.literal_end(), domain.as_str());
            end == domain || (domain.matches('.').count() >= 2 && end.ends_with(&format!(".{domain}")))
        }
    }
}

/// Takes out the hosts of families of which enough were seen.
fn families(cloud: Cloud, open: &mut BTreeSet<Wanted>, hosts: &mut Vec<(Pattern, Vec<Wanted>)>) {
    let mut documented: Vec<Pattern> =
        bundles::ALL.iter().flat_map(|bundle| patterns_of(bundle, cloud)).collect();
    documented.retain(|pattern| pattern.placeholders() == (false, false));
    // The longest literal end is the tightest.
    documented.sort_by_key(|pattern| std::cmp::Reverse(pattern.literal_end().len()));
    documented.dedup();
    for pattern in documented {
        let of_it: Vec<Wanted> = open
            .iter()
            .filter(|one| matches!(one, Wanted::Host(_)) && covers(&pattern, one))
            .cloned()
            .collect();
        if of_it.len() >= FAMILY {
            open.retain(|one| of_it.binary_search(one).is_err());
            hosts.push((pattern, of_it));
        }
    }
}

/// Returns the patterns for one that nothing documented covers.
fn of_its_own(cloud: Cloud, wanted: &Wanted) -> Vec<Pattern> {
    match wanted {
        Wanted::Host(host) => host.as_str().parse().ok().into_iter().collect(),
        Wanted::Domain(domain) => {
            let patterns = bundles::ALL.iter().flat_map(|bundle| patterns_of(bundle, cloud));
            let below = format!(".{domain}");
            let mut known = patterns.filter(|pattern| {
                let end = pattern.literal_end();
                end == domain.as_str() || end.ends_with(&below)
            });
            match (known.next(), domain.as_str().contains('.')) {
                // A domain as wide as `azure.com` is no wish, but the lack of one.
                (Some(pattern), _) if pattern.literal_end() != domain.as_str() => Vec::new(),
                (Some(pattern), _) => vec![pattern],
                (None, false) => Vec::new(),
                (None, true) => [domain.to_string(), format!("*.{domain}")]
                    .iter()
                    .filter_map(|text| text.parse().ok())
                    .collect(),
            }
        }
    }
}

/// Finds the workspaces and accounts to name.
fn pins(present: Present<'_>, made: &mut Suggestion, seen: &BTreeSet<&HostName>) {
    let added = made.bundles.iter().filter_map(|(name, _)| bundles::find(name));
    let mut patterns: Vec<Pattern> = added.flat_map(|bundle| patterns_of(bundle, present.cloud)).collect();
    patterns.extend(present.destinations.each().map(|rule| rule.pattern.clone()));
    let (mut workspaces, mut accounts) = (BTreeSet::new(), BTreeSet::new());
    for host in seen {
        // What a rule without placeholder allows needs no pin.
        if present.destinations.judge(host).is_ok_and(|rule| rule.pattern.placeholders() == (false, false)) {
            continue;
        }
        for found in patterns.iter().filter_map(|pattern| pattern.find(host)) {
            workspaces.extend(found.workspace.map(str::to_owned));
            accounts.extend(found.account.map(str::to_owned));
        }
    }
    let pinned = present.destinations.pins();
    made.workspaces = pin(workspaces, pinned.workspaces.as_ref());
    made.storage_accounts = pin(accounts, pinned.storage_accounts.as_ref());
}

fn pin(seen: BTreeSet<String>, present: Option<&BTreeSet<String>>) -> Pinned {
    match present {
        None if seen.is_empty() => Pinned::AsItIs,
        None => Pinned::Begin(seen),
        Some(present) => {
            let missing: BTreeSet<String> = seen.difference(present).cloned().collect();
            if missing.is_empty() { Pinned::AsItIs } else { Pinned::Extend(missing) }
        }
    }
}

#[cfg(test)]
mod tests;
