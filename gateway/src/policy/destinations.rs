//! Where a role may go: host rules, port 443, and the workspaces and storage accounts it is pinned to.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use common::host_port::HostName;
use common::host_port::HostPort;

use super::class::Class;
use super::pattern::Pattern;
use crate::refusal::Refusal;

/// The one port that is carried.
pub const HTTPS: u16 = 443;

/// One rule: a pattern and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What the rule matches.
    pub pattern: Pattern,
    /// Where it stands.
    pub origin: Origin,
    /// Most bytes a client may send in one tunnel under this rule.
    pub upload_cap: Option<u64>,
    /// Which service its hosts are.
    pub class: Class,
}

/// Where a rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a bundle that comes with the program.
    Bundle {
        /// Name of the bundle.
        name: &'static str,
        /// What the host is for.
        purpose: &'static str,
    },
    /// In the operator's configuration, at this place (`gateway.toml:12:9`).
    Configuration(Arc<str>),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Bundle { name, .. } => write!(f, "{} (bundle {name})", self.pattern),
            Origin::Configuration(place) => write!(f, "{} ({place})", self.pattern),
        }
    }
}

/// Leave to carry a tunnel to one target. Only [`Destinations::authorize`] makes one.
#[derive(Clone, Debug)]
pub struct Permit {
    target: HostPort,
    rule: Arc<Rule>,
}

impl Permit {
    /// Returns the permitted target.
    pub fn target(&self) -> &HostPort {
        &self.target
    }

    /// Returns the rule that allows it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

/// The rules of one role, arranged so that a look-up costs the same for five rules and five thousand.
#[derive(Debug, Default)]
pub struct Destinations {
    by_end: HashMap<String, Vec<Arc<Rule>>>,
    rules: usize,
    pins: Pins,
}

/// Which workspaces and storage accounts a role's placeholders stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// GUIDs in lower case; `None` means any workspace.
    pub workspaces: Option<BTreeSet<String>>,
    /// Account names; `None` means any account.
    pub storage_accounts: Option<BTreeSet<String>>,
}

impl Destinations {
    /// Arranges the rules of a role.
    pub fn new(rules: impl IntoIterator<Item = Rule>, pins: Pins) -> Self {
        let mut by_end: HashMap<String, Vec<Arc<Rule>>> = HashMap::new();
        let mut count = 0;
        for rule in rules {
            count += 1;
            by_end.entry(rule.pattern.literal_end()).or_default().push(Arc::new(rule));
        }
        Self { by_end, rules: count, pins }
    }

    /// Says whether some rule has a placeholder for a workspace, and for a storage account.
    pub fn placeholders(&self) -> (bool, bool) {
        let mut patterns = self.by_end.values().flatten().map(|rule| rule.pattern.placeholders());
        patterns.by_ref().fold((false, false), |found, here| (found.0 || here.0, found.1 || here.1))
    }

    /// Returns each rule, in no order.
    pub fn each(&self) -> impl Iterator<Item = &Rule> {
        self.by_end.values().flatten().map(|rule| &**rule)
    }

    /// Returns what the placeholders stand for.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Returns how many rules there are.
    pub fn rules(&self) -> usize {
        self.rules
    }

    /// Permits a target on port 443 that a rule and the pins allow, or says why not. Of several rules the
    /// first counts, or one with a smaller upload cap.
    pub fn authorize(&self, target: &HostPort) -> Result<Permit, Refusal> {
        if target.port() != HTTPS {
            return Err(Refusal::PortDenied);
        }
        let mut nearest = Refusal::HostDenied;
        let mut allowing: Option<&Arc<Rule>> = None;
        for rule in self.candidates(target.name()) {
            let Some(found) = rule.pattern.find(target.name()) else { continue };
            if !listed(found.workspace, self.pins.workspaces.as_ref()) {
                nearest = Refusal::WorkspaceDenied;
            } else if !listed(found.account, self.pins.storage_accounts.as_ref()) {
                nearest = Refusal::StorageAccountDenied;
            } else if allowing.is_none_or(|other| is_tighter(rule.upload_cap, other.upload_cap)) {
                allowing = Some(rule);
            }
        }
        let rule = allowing.ok_or(nearest)?;
        Ok(Permit { target: target.clone(), rule: Arc::clone(rule) })
    }

    /// Returns the rules whose literal end is an end of the name, the longest first.
    fn candidates<'a>(&'a self, name: &'a HostName) -> impl Iterator<Item = &'a Arc<Rule>> {
        let whole = name.as_str();
        let inner = whole.match_indices('.').filter_map(|(at, _)| whole.get(at + 1..));
        std::iter::once(whole).chain(inner).filter_map(|end| self.by_end.get(end)).flatten()
    }
}

fn is_tighter(cap: Option<u64>, than: Option<u64>) -> bool {
    cap.unwrap_or(u64::MAX) < than.unwrap_or(u64::MAX)
}

fn listed(found: Option<&str>, pins: Option<&BTreeSet<String>>) -> bool {
    match (found, pins) {
        (Some(label), Some(pins)) => pins.contains(label),
        (None, _) | (_, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
    const OTHER: &str = "99999999-aa1a-123a-aaa1-a1a345aa6789";

    fn destinations(patterns: &[&str], pins: Pins) -> Destinations {
        let rules = patterns.iter().map(|text| Rule {
            pattern: text.parse().expect("a pattern"),
            origin: Origin::Configuration("test:1:1".into()),
            upload_cap: None,
            class: Class::Hosts,
        });
        Destinations::new(rules, pins)
    }

    fn verdict(of: &Destinations, target: &str) -> Result<String, Refusal> {
        let target = target.parse().expect("a target");
        of.authorize(&target).map(|permit| permit.rule().pattern.to_string())
    }

    #[test]
    fn a_target_needs_a_rule_and_port_443() {
        let all = destinations(
            &[
                "{workspace}.ods.opinsights.azure.com",
                "*.jrds.*.azure-automation.net",
                "packages.example.com",
            ],
            Pins::default(),
        );
        let cases = [
            (format!("{GUID}.ods.opinsights.azure.com:443"), Ok("{workspace}.ods.opinsights.azure.com")),
            (format!("{GUID}.ods.opinsights.azure.com:80"), Err(Refusal::PortDenied)),
            ("packages.example.com:443".into(), Ok("packages.example.com")),
            ("x.packages.example.com:443".into(), Err(Refusal::HostDenied)),
            ("example.com:443".into(), Err(Refusal::HostDenied)),
            ("acct.jrds.we.azure-automation.net:443".into(), Ok("*.jrds.*.azure-automation.net")),
            ("acct.webhook.we.azure-automation.net:443".into(), Err(Refusal::HostDenied)),
            ("com:443".into(), Err(Refusal::HostDenied)),
        ];
        for (target, expected) in cases {
            assert_eq!(verdict(&all, &target), expected.map(str::to_owned), "{target}");
        }
    }

    #[test]
    fn of_several_rules_that_match_the_one_with_the_smallest_cap_counts() {
        let rule = |text: &str, upload_cap| Rule {
            pattern: text.parse().expect("a pattern"),
            origin: Origin::Configuration("test:1:1".into()),
            upload_cap,
            class: Class::Hosts,
        };
        let rules = [
            ("{account}.blob.core.windows.net", None),
            ("*.blob.core.windows.net", Some(9)),
            ("a1b.blob.core.windows.net", Some(10)),
        ];
        let all = Destinations::new(rules.map(|(text, cap)| rule(text, cap)), Pins::default());
        let target = "a1b.blob.core.windows.net:443".parse().expect("a target");
        assert_eq!(all.authorize(&target).map(|permit| permit.rule().upload_cap), Ok(Some(9)));
    }

    #[test]
    fn pins_narrow_a_placeholder_to_what_is_listed() {
        let pins = Pins {
            workspaces: Some(BTreeSet::from([GUID.to_owned()])),
            storage_accounts: Some(BTreeSet::from(["good".to_owned()])),
        };
        let pinned =
            destinations(&["{workspace}.ods.opinsights.azure.com", "{account}.blob.core.windows.net"], pins);
        assert!(verdict(&pinned, &format!("{GUID}.ods.opinsights.azure.com:443")).is_ok());
        let other = verdict(&pinned, &format!("{OTHER}.ods.opinsights.azure.com:443"));
        assert_eq!(other, Err(Refusal::WorkspaceDenied));
        assert!(verdict(&pinned, "good.blob.core.windows.net:443").is_ok());
        assert_eq!(verdict(&pinned, "evil.blob.core.windows.net:443"), Err(Refusal::StorageAccountDenied));
    }

    #[test]
    fn a_host_named_by_the_operator_is_not_narrowed_by_pins() {
        let pins = Pins { storage_accounts: Some(BTreeSet::from(["good".to_owned()])), ..Pins::default() };
        let pinned = destinations(&["{account}.blob.core.windows.net", "extra.blob.core.windows.net"], pins);
        assert!(verdict(&pinned, "extra.blob.core.windows.net:443").is_ok());
    }
}
