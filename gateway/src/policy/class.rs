//! Which service of Azure a host belongs to, and how urgent a connection to it is.
//!
//! The class comes with the rule: it is told from the literal end of the rule's pattern, so a host that
//! an operator names in `hosts` is of the same class as the bundle's pattern that it stands for.

use serde::Serialize;

use crate::policy::pattern::Pattern;

/// A class of endpoints: hosts that do one thing for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Onboarding, configuration and certificates of a workspace (`oms`).
    Onboarding,
    /// The Azure Monitor Agent's control service and its rules (`handler.control`).
    AgentControl,
    /// Microsoft Entra tokens.
    Token,
    /// Azure Automation.
    Automation,
    /// Azure Arc: identity, extensions, notifications, management.
    Arc,
    /// Uploads to a workspace (`ods`).
    Ingestion,
    /// Data collection endpoints and rules.
    CollectionEndpoint,
    /// Storage accounts.
    Blob,
    /// The Azure Monitor Agent's metrics about itself.
    AgentMetrics,
    /// Downloads of Microsoft's packages.
    Packages,
    /// Hosts of the operator's own that are none of these.
    Hosts,
}

/// How urgent a connection is while many want one at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// What an agent needs before it can send anything: it is told what to do, and proves who it is.
    Control,
    /// The data itself, and downloads.
    Bulk,
}

/// The ends of names, each at a label's beginning. No end is an end of another.
const ENDS: [(&str, Class); 46] = [
    ("ods.opinsights.azure.com", Class::Ingestion),
    ("ods.opinsights.azure.us", Class::Ingestion),
    ("ods.opinsights.azure.cn", Class::Ingestion),
    ("oms.opinsights.azure.com", Class::Onboarding),
    ("oms.opinsights.azure.us", Class::Onboarding),
    ("oms.opinsights.azure.cn", Class::Onboarding),
    ("blob.core.windows.net", Class::Blob),
    ("blob.core.usgovcloudapi.net", Class::Blob),
    ("blob.core.chinacloudapi.cn", Class::Blob),
    ("azure-automation.net", Class::Automation),
    ("azure-automation.us", Class::Automation),
    ("azure-automation.cn", Class::Automation),
    ("azure-automation.de", Class::Automation),
    ("handler.control.monitor.azure.com", Class::AgentControl),
    ("handler.control.monitor.azure.us", Class::AgentControl),
    ("handler.control.monitor.azure.cn", Class::AgentControl),
    ("ingest.monitor.azure.com", Class::CollectionEndpoint),
    ("ingest.monitor.azure.us", Class::CollectionEndpoint),
    ("ingest.monitor.azure.cn", Class::CollectionEndpoint),
    ("ingest.monitor.core.windows.net", Class::CollectionEndpoint),
    ("ingestion.msftcloudes.com", Class::CollectionEndpoint),
    ("microsoftmetrics.com", Class::AgentMetrics),
    ("login.microsoftonline.com", Class::Token),
    ("login.microsoftonline.us", Class::Token),
    ("login.partner.microsoftonline.cn", Class::Token),
    ("login.chinacloudapi.cn", Class::Token),
    ("login.partner.chinacloudapi.cn", Class::Token),
    ("login.microsoft.com", Class::Token),
    ("arc.azure.com", Class::Arc),
    ("arc.azure.us", Class::Arc),
    ("arc.azure.cn", Class::Arc),
    ("guestconfiguration.azure.com", Class::Arc),
    ("guestconfiguration.azure.us", Class::Arc),
    ("guestconfiguration.azure.cn", Class::Arc),
    ("guestnotificationservice.azure.com", Class::Arc),
    ("guestnotificationservice.azure.cn", Class::Arc),
    ("servicebus.windows.net", Class::Arc),
    ("servicebus.chinacloudapi.cn", Class::Arc),
    ("pas.windows.net", Class::Arc),
    ("pasff.usgovcloudapi.net", Class::Arc),
    ("pas.chinacloudapi.cn", Class::Arc),
    ("management.azure.com", Class::Arc),
    ("management.usgovcloudapi.net", Class::Arc),
    ("management.chinacloudapi.cn", Class::Arc),
    ("download.microsoft.com", Class::Packages),
    ("packages.microsoft.com", Class::Packages),
];

impl Class {
    /// Every class, the urgent ones first.
    pub const ALL: [Self; 11] = [
        Self::Onboarding,
        Self::AgentControl,
        Self::Token,
        Self::Automation,
        Self::Arc,
        Self::Ingestion,
        Self::CollectionEndpoint,
        Self::Blob,
        Self::AgentMetrics,
        Self::Packages,
        Self::Hosts,
    ];

    /// Returns the class of a rule's hosts.
    pub fn of(pattern: &Pattern) -> Self {
        let end = pattern.literal_end();
        let is_below =
            |of: &str| end.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let known = ENDS.iter().find(|(known, _)| is_below(known));
        known.map_or(Self::Hosts, |(_, class)| *class)
    }

    /// Returns the word used in metrics, records and `/readyz`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::AgentControl => "agent_control",
            Self::Token => "token",
            Self::Automation => "automation",
            Self::Arc => "arc",
            Self::Ingestion => "ingestion",
            Self::CollectionEndpoint => "collection_endpoint",
            Self::Blob => "blob",
            Self::AgentMetrics => "agent_metrics",
            Self::Packages => "packages",
            Self::Hosts => "hosts",
        }
    }

    /// Returns how urgent a connection of this class is.
    pub fn urgency(self) -> Urgency {
        match self {
            Self::Onboarding | Self::AgentControl | Self::Token | Self::Automation | Self::Arc => {
                Urgency::Control
            }
            Self::Ingestion
            | Self::CollectionEndpoint
            | Self::Blob
            | Self::AgentMetrics
            | Self::Packages
            | Self::Hosts => Urgency::Bulk,
        }
    }
}

impl Urgency {
    /// Both, the more urgent first.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    /// Returns the word used in metrics: `control` or `bulk`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bundles;

    fn class(text: &str) -> Class {
        Class::of(&text.parse().expect("a pattern"))
    }

    #[test]
    fn every_host_of_every_bundle_has_a_class() {
        for host in bundles::ALL.iter().flat_map(|bundle| bundle.hosts) {
            assert_ne!(class(host.pattern), Class::Hosts, "{}", host.pattern);
        }
    }

    #[test]
    fn a_host_of_the_operators_own_is_of_the_class_that_its_name_tells() {
        let cases = [
            ("my-dce-a1b2.westeurope-1.ingest.monitor.azure.com", Class::CollectionEndpoint),
            ("*.ods.opinsights.azure.com", Class::Ingestion),
            ("examplelogs.blob.core.windows.net", Class::Blob),
            ("notods.opinsights.azure.com", Class::Hosts),
            ("xlogin.microsoftonline.com", Class::Hosts),
            ("packages.example.com", Class::Hosts),
        ];
        for (pattern, expected) in cases {
            assert_eq!(class(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn labels_are_distinct_and_what_json_says() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_value(class).expect("JSON"), class.label());
            assert_eq!(Class::ALL.iter().filter(|other| other.label() == class.label()).count(), 1);
        }
    }

    #[test]
    fn what_an_agent_needs_before_it_can_send_is_urgent_and_its_data_is_not() {
        let control = [
            "{workspace}.oms.opinsights.azure.com",
            "login.microsoftonline.us",
            "global.handler.control.monitor.azure.cn",
            "{workspace}.agentsvc.azure-automation.net",
        ];
        let bulk = [
            "{workspace}.ods.opinsights.azure.com",
            "*.*.ingest.monitor.azure.com",
            "{account}.blob.core.windows.net",
        ];
        assert!(control.iter().all(|pattern| class(pattern).urgency() == Urgency::Control));
        assert!(bulk.iter().all(|pattern| class(pattern).urgency() == Urgency::Bulk));
    }
}
