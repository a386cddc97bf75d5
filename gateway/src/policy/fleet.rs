//! What the fleet is told apart by: families of hosts, and workspaces; and the numbers an operator sets.

use std::time::Duration;

use common::host_port::HostName;

use super::pattern::is_guid;

/// The numbers an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSettings {
    /// Most clients that are remembered.
    pub clients: usize,
    /// How long a client that was seen regularly may be unseen before it counts as silent; `None`: for ever.
    pub silent_after: Option<Duration>,
}

/// What a host is for, in a closed set that a metric can have as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Uploads to a workspace.
    Ods,
    /// Onboarding and configuration of a workspace.
    Oms,
    /// Storage accounts.
    Blob,
    /// Azure Automation.
    Automation,
    /// Data collection endpoints: the Logs Ingestion API and the Azure Monitor Agent's uploads.
    Dce,
    /// Configuration of the Azure Monitor Agent.
    Control,
    /// Tokens of Entra ID.
    Token,
    /// Azure Arc.
    Arc,
    /// Azure Resource Manager.
    Management,
    /// Packages and downloads.
    Packages,
    /// The agents' metrics about themselves.
    Metrics,
    /// What no bundle knows: the operator's own `hosts`.
    Other,
}

/// The ends of host names by family. The first that fits counts.
const ENDS: &[(&str, Family)] = &[
    ("ods.opinsights.azure.com", Family::Ods),
    ("ods.opinsights.azure.us", Family::Ods),
    ("ods.opinsights.azure.cn", Family::Ods),
    ("oms.opinsights.azure.com", Family::Oms),
    ("oms.opinsights.azure.us", Family::Oms),
    ("oms.opinsights.azure.cn", Family::Oms),
    ("ingest.monitor.core.windows.net", Family::Dce),
    ("blob.core.windows.net", Family::Blob),
    ("blob.core.usgovcloudapi.net", Family::Blob),
    ("blob.core.chinacloudapi.cn", Family::Blob),
    ("azure-automation.net", Family::Automation),
    ("azure-automation.us", Family::Automation),
    ("azure-automation.cn", Family::Automation),
    ("azure-automation.de", Family::Automation),
    ("ingest.monitor.azure.com", Family::Dce),
    ("ingest.monitor.azure.us", Family::Dce),
    ("ingest.monitor.azure.cn", Family::Dce),
    ("ingestion.msftcloudes.com", Family::Dce),
    ("handler.control.monitor.azure.com", Family::Control),
    ("handler.control.monitor.azure.us", Family::Control),
    ("handler.control.monitor.azure.cn", Family::Control),
    ("login.microsoftonline.com", Family::Token),
    ("login.microsoftonline.us", Family::Token),
    ("login.microsoft.com", Family::Token),
    ("login.chinacloudapi.cn", Family::Token),
    ("login.partner.microsoftonline.cn", Family::Token),
    ("login.partner.chinacloudapi.cn", Family::Token),
    ("pas.windows.net", Family::Token),
    ("pasff.usgovcloudapi.net", Family::Token),
    ("pas.chinacloudapi.cn", Family::Token),
    ("his.arc.azure.com", Family::Arc),
    ("his.arc.azure.us", Family::Arc),
    ("his.arc.azure.cn", Family::Arc),
    ("guestconfiguration.azure.com", Family::Arc),
    ("guestconfiguration.azure.us", Family::Arc),
    ("guestconfiguration.azure.cn", Family::Arc),
    ("guestnotificationservice.azure.com", Family::Arc),
    ("guestnotificationservice.azure.cn", Family::Arc),
    ("servicebus.windows.net", Family::Arc),
    ("servicebus.chinacloudapi.cn", Family::Arc),
    ("management.azure.com", Family::Management),
    ("management.usgovcloudapi.net", Family::Management),
    ("management.chinacloudapi.cn", Family::Management),
    ("download.microsoft.com", Family::Packages),
    ("packages.microsoft.com", Family::Packages),
    ("prod.microsoftmetrics.com", Family::Metrics),
];

impl Family {
    /// Every family.
    pub const ALL: [Self; 12] = [
        Self::Ods,
        Self::Oms,
        Self::Blob,
        Self::Automation,
        Self::Dce,
        Self::Control,
        Self::Token,
        Self::Arc,
        Self::Management,
        Self::Packages,
        Self::Metrics,
        Self::Other,
    ];

    /// Returns the family of a host.
    pub fn of(host: &HostName) -> Self {
        let whole = host.as_str();
        let inner = whole.match_indices('.').filter_map(|(at, _)| whole.get(at + 1..));
        let mut ends = std::iter::once(whole).chain(inner);
        ends.find_map(|end| ENDS.iter().find(|(known, _)| *known == end))
            .map_or(Self::Other, |(_, family)| *family)
    }

    /// Returns the word used in metrics and in the table of clients.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ods => "ods",
            Self::Oms => "oms",
            Self::Blob => "blob",
            Self::Automation => "automation",
            Self::Dce => "dce",
            Self::Control => "control",
            Self::Token => "token",
            Self::Arc => "arc",
            Self::Management => "management",
            Self::Packages => "packages",
            Self::Metrics => "metrics",
            Self::Other => "other",
        }
    }
}

/// Returns the workspace that a host belongs to: the GUID at the place of `{workspace}` in the bundles.
pub fn workspace(host: &HostName) -> Option<&str> {
    let first = host.labels().next().filter(|label| is_guid(label))?;
    matches!(Family::of(host), Family::Ods | Family::Oms | Family::Automation).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bundles;

    const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

    fn host(text: &str) -> HostName {
        text.parse().expect("a host name")
    }

    #[test]
    fn every_host_of_every_bundle_has_a_family_and_workspaces_are_found_in_theirs() {
        for bundled in bundles::ALL.iter().flat_map(|bundle| bundle.hosts) {
            let name = bundled.pattern.replace("{workspace}", GUID).replace("{account}", "acct");
            let host = host(&name.replace('*', "any"));
            assert_ne!(Family::of(&host), Family::Other, "{}", bundled.pattern);
            assert_eq!(workspace(&host).is_some(), bundled.pattern.contains("{workspace}"), "{host}");
        }
    }

    #[test]
    fn a_name_that_only_looks_alike_is_of_no_family() {
        for name in
            ["xods.opinsights.azure.com", "ods.opinsights.azure.com.evil.example", "packages.example.com"]
        {
            assert_eq!(Family::of(&host(name)), Family::Other, "{name}");
        }
        assert_eq!(workspace(&host(&format!("{GUID}.example.com"))), None);
    }

    #[test]
    fn labels_are_distinct() {
        let labels: std::collections::BTreeSet<_> = Family::ALL.iter().map(|family| family.label()).collect();
        assert_eq!(labels.len(), Family::ALL.len());
    }
}
