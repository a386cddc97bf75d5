//! What a bundle opens beside the hosts that it is proposed for: a bundle is wider than what was seen.

use common::cloud::Cloud;
use la_gateway::policy::bundles;
use la_gateway::policy::pattern::Pattern;
use la_gateway::policy::suggestions::Wanted;
use la_gateway::policy::suggestions::covers;
use serde::Serialize;

/// What a bundle opens beside what was seen.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Beside {
    #[serde(skip)]
    bundle: &'static str,
    /// Host rules that nothing seen was for.
    rules: usize,
    /// Rules that are for any number of hosts.
    wide: Vec<String>,
}

impl Beside {
    /// Judges a bundle. `pinned` says whether workspaces and storage accounts are named one by one.
    pub(super) fn of(bundle: &'static str, cloud: Cloud, covered: &[Wanted], pinned: (bool, bool)) -> Self {
        let hosts = bundles::find(bundle).into_iter().flat_map(|bundle| bundle.hosts_in(cloud));
        let patterns: Vec<Pattern> = hosts.filter_map(|host| host.pattern.parse().ok()).collect();
        let is_seen = |pattern: &&Pattern| covered.iter().any(|one| covers(pattern, one));
        let is_wide = |pattern: &&Pattern| {
            let (workspace, account) = pattern.placeholders();
            pattern.to_string().contains('*') || (workspace && !pinned.0) || (account && !pinned.1)
        };
        Self {
            bundle,
            rules: patterns.iter().filter(|pattern| !is_seen(pattern)).count(),
            wide: patterns.iter().filter(is_wide).map(Pattern::to_string).collect(),
        }
    }

    /// Says it in a comment.
    pub(super) fn comment(&self) -> String {
        let wide = match self.wide.as_slice() {
            [] => String::new(),
            wide => format!("\n# Wide ones of {}: {}.", self.bundle, wide.join(", ")),
        };
        let name = self.bundle;
        let rules = super::count(self.rules, "host rule");
        format!("# {name} opens {rules} beside those seen: `la-gateway bundles show {name}`.{wide}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_counted_and_what_is_wide_is_named_unless_it_is_pinned() {
        let seen = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com".parse().expect("a host");
        let seen = [Wanted::Host(seen)];
        let of = |pinned| Beside::of("log-analytics", Cloud::Public, &seen, pinned);
        let (pinned, open) = (of((true, true)), of((false, false)));
        assert_eq!((pinned.rules, pinned.wide), (4, vec!["*.azure-automation.net".to_owned()]));
        assert!(open.wide.contains(&"{account}.blob.core.windows.net".to_owned()), "{open:?}");
        let comment = open.comment();
        let (beside, wide) = comment.split_once('\n').expect("two lines");
        let expected =
            "# log-analytics opens 4 host rules beside those seen: `la-gateway bundles show log-analytics`.";
        assert_eq!(beside, expected);
        assert!(wide.starts_with("# Wide ones of log-analytics: "), "{comment}");
    }
}
