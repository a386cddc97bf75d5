//! The endpoint bundles: named, versioned lists of the hosts that Azure's agents need, per cloud.
//!
//! A pattern is dot-separated labels of literal lower-case text or one of three placeholders, each exactly
//! one label: `{workspace}` (a GUID), `{account}` (a storage account: 3 to 24 lower-case letters and
//! digits), `*` (any ordinary label). The number of labels is fixed, so every depth that occurs has a line
//! of its own. A host that is not documented or observed for a cloud is left out; an operator who needs it
//! writes it in the role's `hosts`.

mod arc;
mod azure_monitor_agent;
mod hybrid_runbook_worker;
mod log_analytics;
mod logs_ingestion;

use common::cloud::Cloud;

use super::class::Class;
use super::destinations::Origin;
use super::destinations::Rule;

/// Every bundle, the default one first.
pub const ALL: &[Bundle] = &[
    log_analytics::BUNDLE,
    azure_monitor_agent::BUNDLE,
    logs_ingestion::BUNDLE,
    hybrid_runbook_worker::BUNDLE,
    arc::BUNDLE,
];

/// Returns the bundle of this exact name.
pub fn find(name: &str) -> Option<&'static Bundle> {
    ALL.iter().find(|bundle| bundle.name == name)
}

/// A named, versioned list of host rules.
#[derive(Clone, Copy, Debug)]
pub struct Bundle {
    /// The name used in configuration.
    pub name: &'static str,
    /// The date of the list, ISO 8601.
    pub version: &'static str,
    /// What the bundle is for, and what must stand beside it.
    pub purpose: &'static str,
    /// The host rules of all clouds.
    pub hosts: &'static [BundleHost],
}

impl Bundle {
    /// Returns the host rules of one cloud, in the order of the list.
    pub fn hosts_in(&self, cloud: Cloud) -> impl Iterator<Item = &'static BundleHost> + use<> {
        self.hosts.iter().filter(move |host| host.cloud == cloud)
    }

    /// Returns the same as rules without upload caps.
    pub fn rules_in(&self, cloud: Cloud) -> impl Iterator<Item = Rule> + use<> {
        let name = self.name;
        self.hosts_in(cloud).filter_map(move |host| {
            let origin = Origin::Bundle { name, purpose: host.purpose };
            let pattern = host.pattern.parse().ok()?;
            Some(Rule { class: Class::of(&pattern), pattern, origin, upload_cap: None })
        })
    }
}

/// One host pattern, its reason and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleHost {
    /// The cloud the host belongs to.
    pub cloud: Cloud,
    /// The pattern, in the grammar of this module.
    pub pattern: &'static str,
    /// Why an agent goes there, and how wide the pattern is where it is wide.
    pub purpose: &'static str,
    /// The short name of the public source.
    pub source: &'static str,
}

impl BundleHost {
    const fn new(cloud: Cloud, pattern: &'static str, purpose: &'static str, source: &'static str) -> Self {
        Self { cloud, pattern, purpose, source }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use common::cloud::Cloud;

    use super::ALL;
    use super::BundleHost;
    use super::find;

    fn everything() -> impl Iterator<Item = &'static BundleHost> {
        ALL.iter().flat_map(|bundle| bundle.hosts)
    }

    fn is_literal_label(label: &str) -> bool {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.starts_with("xn--")
    }

    fn is_placeholder(label: &str) -> bool {
        matches!(label, "{workspace}" | "{account}" | "*")
    }

    #[test]
    fn every_label_is_literal_lower_case_text_or_a_placeholder() {
        for host in everything() {
            for label in host.pattern.split('.') {
                assert!(is_literal_label(label) || is_placeholder(label), "{}", host.pattern);
            }
        }
    }

    #[test]
    fn every_pattern_ends_in_at_least_two_literal_labels() {
        for host in everything() {
            let literal = host.pattern.rsplit('.').take_while(|label| is_literal_label(label)).count();
            assert!(literal >= 2, "{}", host.pattern);
        }
    }

    #[test]
    fn a_workspace_or_account_placeholder_is_only_the_first_label() {
        for host in everything() {
            assert!(host.pattern.split('.').skip(1).all(|label| !label.starts_with('{')), "{}", host.pattern);
        }
    }

    #[test]
    fn no_workspace_host_and_no_blob_host_hides_behind_a_plain_wildcard() {
        for host in everything() {
            if host.pattern.contains(".opinsights.") {
                assert!(host.pattern.starts_with("{workspace}."), "{}", host.pattern);
            }
            if host.pattern.contains(".blob.core.") {
                assert!(host.pattern.starts_with("{account}."), "{}", host.pattern);
            }
        }
    }

    #[test]
    fn no_bundle_names_a_pattern_twice_in_a_cloud() {
        for bundle in ALL {
            let mut seen = HashSet::new();
            for host in bundle.hosts {
                assert!(seen.insert((host.cloud, host.pattern)), "{}: {}", bundle.name, host.pattern);
            }
        }
    }

    #[test]
    fn a_pattern_belongs_to_the_domains_of_its_cloud() {
        let china = |pattern: &str| pattern.ends_with(".cn");
        let government = |pattern: &str| pattern.ends_with(".us") || pattern.ends_with(".usgovcloudapi.net");
        let shared = ["download.microsoft.com", "packages.microsoft.com"];
        for host in everything().filter(|host| !shared.contains(&host.pattern)) {
            assert_eq!(china(host.pattern), host.cloud == Cloud::China, "{}", host.pattern);
            assert_eq!(government(host.pattern), host.cloud == Cloud::UsGovernment, "{}", host.pattern);
        }
    }

    #[test]
    fn every_bundle_has_hosts_in_every_cloud() {
        for bundle in ALL {
            for cloud in Cloud::ALL {
                assert!(bundle.hosts_in(cloud).next().is_some(), "{} in {cloud}", bundle.name);
            }
            let split: usize = Cloud::ALL.into_iter().map(|cloud| bundle.hosts_in(cloud).count()).sum();
            assert_eq!(split, bundle.hosts.len());
        }
    }

    #[test]
    fn the_default_bundle_holds_the_four_families_of_every_cloud() {
        let families = [
            (Cloud::Public, "opinsights.azure.com", "core.windows.net", "azure-automation.net"),
            (Cloud::UsGovernment, "opinsights.azure.us", "core.usgovcloudapi.net", "azure-automation.us"),
            (Cloud::China, "opinsights.azure.cn", "core.chinacloudapi.cn", "azure-automation.cn"),
        ];
        let bundle = find("log-analytics").expect("the default bundle exists");
        for (cloud, insights, storage, automation) in families {
            let mut expected = vec![
                format!("{{workspace}}.ods.{insights}"),
                format!("{{workspace}}.oms.{insights}"),
                format!("{{account}}.blob.{storage}"),
                format!("{{workspace}}.agentsvc.{automation}"),
                format!("*.{automation}"),
            ];
            let mut patterns: Vec<&str> = bundle.hosts_in(cloud).map(|host| host.pattern).collect();
            expected.sort();
            patterns.sort();
            assert_eq!(patterns, expected);
        }
    }

    #[test]
    fn what_uploads_with_an_entra_token_may_also_fetch_the_token() {
        let bundle = find("logs-ingestion").expect("the bundle exists");
        let logins = [
            (Cloud::Public, "login.microsoftonline.com"),
            (Cloud::UsGovernment, "login.microsoftonline.us"),
            (Cloud::China, "login.partner.microsoftonline.cn"),
        ];
        for (cloud, login) in logins {
            assert!(bundle.hosts_in(cloud).any(|host| host.pattern == login), "{login}");
        }
    }

    #[test]
    fn every_bundle_and_every_host_says_why_it_is_there() {
        for bundle in ALL {
            assert!(!bundle.purpose.is_empty());
            assert_eq!(bundle.version.len(), "2026-11-22".len());
        }
        for host in everything() {
            assert!(!host.purpose.is_empty() && !host.source.is_empty(), "{}", host.pattern);
        }
    }

    #[test]
    fn a_bundle_is_found_by_its_exact_name_only() {
        for bundle in ALL {
            assert_eq!(find(bundle.name).map(|found| found.name), Some(bundle.name));
        }
        assert_eq!(ALL.first().map(|bundle| bundle.name), Some("log-analytics"));
        assert!(find("Log-Analytics").is_none());
        assert!(find("log-analytic").is_none());
        assert!(find("").is_none());
    }
}
