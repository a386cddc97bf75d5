//! Which hosts are walked to as canaries: one a class and cloud, of those that some role may reach.
//!
//! A name comes from the configuration, or else from a host of the operator's own, from a pinned
//! workspace or storage account, or from the names that Azure has for everybody. A class without a
//! name is not walked to, and is told as such.

use std::collections::BTreeSet;

use common::cloud::Cloud;
use common::host_port::HostName;
use common::host_port::HostPort;

use crate::policy::class::Class;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::HTTPS;
use crate::policy::destinations::Origin;
use crate::policy::destinations::Permit;

/// Names that Azure has for everybody.
const KNOWN: [(Cloud, &str); 13] = [
    (Cloud::Public, "login.microsoftonline.com"),
    (Cloud::Public, "global.handler.control.monitor.azure.com"),
    (Cloud::Public, "global.prod.microsoftmetrics.com"),
    (Cloud::Public, "gbl.his.arc.azure.com"),
    (Cloud::Public, "packages.microsoft.com"),
    (Cloud::UsGovernment, "login.microsoftonline.us"),
    (Cloud::UsGovernment, "global.handler.control.monitor.azure.us"),
    (Cloud::UsGovernment, "gbl.his.arc.azure.us"),
    (Cloud::UsGovernment, "packages.microsoft.com"),
    (Cloud::China, "login.partner.microsoftonline.cn"),
    (Cloud::China, "login.chinacloudapi.cn"),
    (Cloud::China, "global.handler.control.monitor.azure.cn"),
    (Cloud::China, "gbl.his.arc.azure.cn"),
];

/// A host to walk to, with the leave that some role has for it.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The class it stands for.
    pub class: Class,
    /// The leave, and so the target.
    pub permit: Permit,
}

impl Canary {
    /// Returns the host.
    pub fn host(&self) -> &HostName {
        self.permit.target().name()
    }
}

/// The canaries of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Canaries {
    /// Those that are walked.
    pub named: Vec<Canary>,
    /// Classes that some role may reach, and for which there is no name.
    pub unnamed: Vec<Class>,
}

/// Returns the canary for a name, if some role may reach it.
pub fn find<'a>(
    name: &HostName,
    roles: impl IntoIterator<Item = (Cloud, &'a Destinations)>,
) -> Option<Canary> {
    roles.into_iter().find_map(|(_, destinations)| canary(name, destinations))
}

/// Adds to the canaries the operator named one for each class and cloud that has none.
pub fn complete<'a>(
    named: Vec<Canary>,
    roles: impl IntoIterator<Item = (Cloud, &'a Destinations)>,
) -> Canaries {
    let given: BTreeSet<Class> = named.iter().map(|canary| canary.class).collect();
    let mut all = Canaries { named, unnamed: Vec::new() };
    let mut done: BTreeSet<(Class, Cloud)> = BTreeSet::new();
    let mut wanted = BTreeSet::new();
    for (cloud, destinations) in roles {
        let classes: BTreeSet<Class> = destinations.each().map(|rule| rule.class).collect();
        for class in classes.into_iter().filter(|class| !given.contains(class)) {
            wanted.insert(class);
            if done.contains(&(class, cloud)) {
                continue;
            }
            let Some(canary) = usual(class, cloud, destinations) else { continue };
            done.insert((class, cloud));
            if all.named.iter().all(|other| other.host() != canary.host()) {
                all.named.push(canary);
            }
        }
    }
    all.unnamed = wanted.into_iter().filter(|class| done.iter().all(|(named, _)| named != class)).collect();
    all.named.sort_by(|a, b| (a.class, a.host()).cmp(&(b.class, b.host())));
    all
}

/// Returns the usual canary of a class. Hosts that are of no class have nothing in common: each needs to be
/// named.
fn usual(class: Class, cloud: Cloud, destinations: &Destinations) -> Option<Canary> {
    if class == Class::Hosts {
        return None;
    }
    let rules = || destinations.each().filter(|rule| rule.class == class);
    let is_own = |origin: &Origin| matches!(origin, Origin::Configuration(_));
    let pins = destinations.pins();
    let first = |pinned: &Option<BTreeSet<String>>| pinned.as_ref().and_then(|all| all.first().cloned());
    let (workspace, account) = (first(&pins.workspaces), first(&pins.storage_accounts));
    let filled = |own: bool| {
        let mut names: Vec<HostName> = rules()
            .filter(|rule| is_own(&rule.origin) == own)
            .filter_map(|rule| rule.pattern.fill(workspace.as_deref(), account.as_deref()))
            .collect();
        names.sort();
        names
    };
    let known = KNOWN.iter().filter(|(of, _)| *of == cloud).filter_map(|(_, name)| name.parse().ok());
    let pinned = filled(false).into_iter().filter(|name| {
        // A bundle's name without a placeholder is one of several; the known ones are those that answer.
        rules().any(|rule| {
            rule.pattern.find(name).is_some_and(|found| found.workspace.or(found.account).is_some())
        })
    });
    let names = filled(true).into_iter().chain(pinned).chain(known);
    names.filter_map(|name| canary(&name, destinations)).find(|canary| canary.class == class)
}

fn canary(name: &HostName, destinations: &Destinations) -> Option<Canary> {
    let permit = destinations.authorize(&HostPort::new(name.clone(), HTTPS)).ok()?;
    // What report mode alone lets through is no class to be ready for.
    let class = permit.rule()?.class;
    Some(Canary { class, permit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bundles;
    use crate::policy::destinations::Pins;
    use crate::policy::destinations::Rule;

    const GUID: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

    fn role(cloud: Cloud, bundles: &[&str], own: &[&str], pins: Pins) -> (Cloud, Destinations) {
        let bundled = bundles.iter().flat_map(|name| bundles::find(name).expect("a bundle").hosts_in(cloud));
        let bundled = bundled.map(|host| (host.pattern, Origin::Bundle { name: "", purpose: "" }));
        let own = own.iter().map(|text| (*text, Origin::Configuration("test:1:1".into())));
        let rules = bundled.chain(own).map(|(text, origin)| {
            let pattern = text.parse().expect("a pattern");
            Rule { class: Class::of(&pattern), pattern, origin, upload_cap: None }
        });
        (cloud, Destinations::new(rules, pins))
    }

    fn pins(workspace: &str, account: &str) -> Pins {
        Pins {
            workspaces: Some(BTreeSet::from([workspace.to_owned()])),
            storage_accounts: Some(BTreeSet::from([account.to_owned()])),
        }
    }

    fn shown(canaries: &Canaries) -> Vec<String> {
        canaries.named.iter().map(|canary| format!("{} {}", canary.class.label(), canary.host())).collect()
    }

    fn plan(roles: &[(Cloud, Destinations)], named: &[&str]) -> Canaries {
        let each = || roles.iter().map(|(cloud, destinations)| (*cloud, destinations));
        let named = named.iter().map(|name| find(&name.parse().expect("a name"), each()).expect("allowed"));
        complete(named.collect(), each())
    }

    #[test]
    fn without_pins_the_default_bundle_has_no_canary_and_its_classes_are_told() {
        let canaries = plan(&[role(Cloud::Public, &["log-analytics"], &[], Pins::default())], &[]);
        assert!(canaries.named.is_empty());
        assert_eq!(canaries.unnamed, [Class::Onboarding, Class::Automation, Class::Ingestion, Class::Blob]);
    }

    #[test]
    fn pins_give_the_default_bundle_its_names() {
        let canaries = plan(&[role(Cloud::Public, &["log-analytics"], &[], pins(GUID, "examplelogs"))], &[]);
        let expected = [
            format!("onboarding {GUID}.oms.opinsights.azure.com"),
            format!("automation {GUID}.agentsvc.azure-automation.net"),
            format!("ingestion {GUID}.ods.opinsights.azure.com"),
            "blob examplelogs.blob.core.windows.net".to_owned(),
        ];
        assert_eq!(shown(&canaries), expected);
        assert!(canaries.unnamed.is_empty());
    }

    #[test]
    fn every_cloud_has_names_of_its_own_and_many_roles_have_one_canary_a_class() {
        let roles = [
            role(Cloud::Public, &["azure-monitor-agent", "logs-ingestion"], &[], Pins::default()),
            role(Cloud::Public, &["logs-ingestion", "arc"], &[], Pins::default()),
            role(Cloud::China, &["logs-ingestion"], &[], Pins::default()),
        ];
        let expected = [
            "agent_control global.handler.control.monitor.azure.com",
            "token login.microsoftonline.com",
            "token login.partner.microsoftonline.cn",
            "arc gbl.his.arc.azure.com",
            "agent_metrics global.prod.microsoftmetrics.com",
            "packages packages.microsoft.com",
        ];
        let canaries = plan(&roles, &[]);
        assert_eq!(shown(&canaries), expected);
        assert_eq!(canaries.unnamed, [Class::Ingestion, Class::CollectionEndpoint, Class::Blob]);
    }

    #[test]
    fn what_the_operator_names_replaces_the_usual_canary_of_its_class() {
        let own = ["my-dce.westeurope-1.ingest.monitor.azure.com", "packages.example.com"];
        let roles = [role(Cloud::Public, &["azure-monitor-agent"], &own, Pins::default())];
        let without = ["agent_control", "collection_endpoint", "agent_metrics"];
        let canaries = plan(&roles, &[]);
        assert_eq!(canaries.named.iter().map(|canary| canary.class.label()).collect::<Vec<_>>(), without);
        assert_eq!(canaries.unnamed, [Class::Ingestion, Class::Hosts]);
        let named = ["westeurope.handler.control.monitor.azure.com", "packages.example.com"];
        let expected = [
            "agent_control westeurope.handler.control.monitor.azure.com",
            "collection_endpoint my-dce.westeurope-1.ingest.monitor.azure.com",
            "agent_metrics global.prod.microsoftmetrics.com",
            "hosts packages.example.com",
        ];
        assert_eq!(shown(&plan(&roles, &named)), expected);
    }

    #[test]
    fn a_host_that_no_role_may_reach_is_no_canary() {
        let roles = [role(Cloud::Public, &["log-analytics"], &[], pins(GUID, "examplelogs"))];
        let each = || roles.iter().map(|(cloud, destinations)| (*cloud, destinations));
        for name in ["example.com", "other.blob.core.windows.net", "global.handler.control.monitor.azure.com"]
        {
            assert!(find(&name.parse().expect("a name"), each()).is_none(), "{name}");
        }
    }
}
