//! Where a role may go: host rules, port 443, and the workspaces and storage accounts it is pinned to.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use common::host_port::HostName;
use common::host_port::HostPort;
use serde::Deserialize;

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

/// What becomes of a destination that no rule of a role allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let through and reported, if that is all that stands against it.
    Report,
}

/// Why a destination would be refused if its role were enforced: all that report mode lets through.
///
/// Another port than 443 and an IP literal are not here, and addresses and hellos are judged by others:
/// those refusals stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// No rule allows the host.
    Host,
    /// A rule does, but its workspace is not listed.
    Workspace,
    /// A rule does, but its storage account is not listed.
    StorageAccount,
}

impl Reported {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Host, Self::Workspace, Self::StorageAccount];

    /// Returns the refusal that enforcing would give.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Host => Refusal::HostDenied,
            Self::Workspace => Refusal::WorkspaceDenied,
            Self::StorageAccount => Refusal::StorageAccountDenied,
        }
    }
}

/// Leave to carry a tunnel to one target. Only [`Destinations::authorize`] makes one.
#[derive(Clone, Debug)]
pub struct Permit {
    target: HostPort,
    grant: Grant,
}

/// What a permit rests on.
#[derive(Clone, Debug)]
enum Grant {
    Rule(Arc<Rule>),
    /// Nothing but report mode. The cap is that of the rules which would allow it but for their pins.
    Report {
        why: Reported,
        upload_cap: Option<u64>,
    },
}

impl Permit {
    /// Returns the permitted target.
    pub fn target(&self) -> &HostPort {
        &self.target
    }

    /// Returns the rule that allows it; none does where report mode alone lets it through.
    pub fn rule(&self) -> Option<&Arc<Rule>> {
        match &self.grant {
            Grant::Rule(rule) => Some(rule),
            Grant::Report { .. } => None,
        }
    }

    /// Says why enforcing would refuse it, where report mode alone lets it through.
    pub fn reported(&self) -> Option<Reported> {
        match &self.grant {
            Grant::Rule(_) => None,
            Grant::Report { why, .. } => Some(*why),
        }
    }

    /// Returns which service it leads to. What no rule names is none of the urgent ones.
    pub fn class(&self) -> Class {
        match &self.grant {
            Grant::Rule(rule) => rule.class,
            Grant::Report { .. } => Class::Hosts,
        }
    }

    /// Returns how many bytes a client may send at most.
    pub fn upload_cap(&self) -> Option<u64> {
        match &self.grant {
            Grant::Rule(rule) => rule.upload_cap,
            Grant::Report { upload_cap, .. } => *upload_cap,
        }
    }
}

/// The rules of one role, arranged so that a look-up costs the same for five rules and five thousand.
#[derive(Debug, Default)]
pub struct Destinations {
    by_end: HashMap<String, Vec<Arc<Rule>>>,
    rules: usize,
    pins: Pins,
    mode: Mode,
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
        Self { by_end, rules: count, pins, mode: Mode::Enforce }
    }

    /// Returns the same with what becomes of all other destinations.
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Says what becomes of destinations that no rule allows.
    pub fn mode(&self) -> Mode {
        self.mode
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
    /// first counts, or one with a smaller upload cap. In report mode the port alone can refuse.
    pub fn authorize(&self, target: &HostPort) -> Result<Permit, Refusal> {
        if target.port() != HTTPS {
            return Err(Refusal::PortDenied);
        }
        let grant = match (self.allowing(target.name()), self.mode) {
            (Ok(rule), _) => Grant::Rule(Arc::clone(rule)),
            (Err((why, _)), Mode::Enforce) => return Err(why.refusal()),
            (Err((why, upload_cap)), Mode::Report) => Grant::Report { why, upload_cap },
        };
        Ok(Permit { target: target.clone(), grant })
    }

    /// Returns the rule that allows a host whatever the mode, or says why none does.
    pub fn judge<'a>(&'a self, name: &'a HostName) -> Result<&'a Rule, Reported> {
        self.allowing(name).map(|rule| &**rule).map_err(|(why, _)| why)
    }

    /// Returns the rule that allows a host, or why none does, with the smallest cap of those that would but
    /// for the pins.
    fn allowing<'a>(&'a self, name: &'a HostName) -> Result<&'a Arc<Rule>, (Reported, Option<u64>)> {
        let (mut nearest, mut capped) = (Reported::Host, None);
        let mut allowing: Option<&Arc<Rule>> = None;
        for rule in self.candidates(name) {
            let Some(found) = rule.pattern.find(name) else { continue };
            if !listed(found.workspace, self.pins.workspaces.as_ref()) {
                nearest = Reported::Workspace;
                capped = tighter(capped, rule.upload_cap);
            } else if !listed(found.account, self.pins.storage_accounts.as_ref()) {
                nearest = Reported::StorageAccount;
                capped = tighter(capped, rule.upload_cap);
            } else if allowing.is_none_or(|other| is_tighter(rule.upload_cap, other.upload_cap)) {
                allowing = Some(rule);
            }
        }
        allowing.ok_or((nearest, capped))
    }

    /// Returns the rules whose literal end is an end of the name, the longest first.
    fn candidates<'a>(&'a self, name: &'a HostName) -> impl Iterator<Item = &'a Arc<Rule>> {
        let whole = name.as_str();
        let dots = whole.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        let inner = dots.filter_map(|(at, _)| whole.get(at + 1..));
        std::iter::once(whole).chain(inner).filter_map(|end| self.by_end.get(end)).flatten()
    }
}

fn tighter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    if is_tighter(other, one) { other } else { one }
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
mod tests;
