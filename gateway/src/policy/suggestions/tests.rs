use super::*;
use crate::policy::class::Class;
use crate::policy::destinations::Origin;
use crate::policy::destinations::Pins;
use crate::policy::destinations::Rule;

const ONE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const TWO: &str = "99999999-aa1a-123a-aaa1-a1a345aa6789";

fn destinations(patterns: &[&str], pins: Pins) -> Destinations {
    let rules = patterns.iter().map(|text| Rule {
        pattern: text.parse().expect("a pattern"),
        origin: Origin::Configuration("test:1:1".into()),
        upload_cap: None,
        class: Class::Hosts,
    });
    Destinations::new(rules, pins)
}

fn hosts(names: &[&str]) -> BTreeSet<Wanted> {
    names.iter().map(|name| Wanted::Host(name.parse().expect("a host"))).collect()
}

fn domains(names: &[&str]) -> BTreeSet<Wanted> {
    names.iter().map(|name| Wanted::Domain(name.parse().expect("a host"))).collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn of_nothing(wanted: &BTreeSet<Wanted>) -> Suggestion {
    let none = Destinations::default();
    let present = Present { cloud: Cloud::Public, bundles: &[], destinations: &none };
    suggest(present, wanted, &BTreeSet::new())
}

fn bundles_of(made: &Suggestion) -> Vec<&'static str> {
    made.bundles.iter().map(|(name, _)| *name).collect()
}

fn hosts_of(made: &Suggestion) -> Vec<String> {
    made.hosts.iter().map(|(pattern, _)| pattern.to_string()).collect()
}

#[test]
fn a_bundle_is_suggested_for_a_workspaces_host_or_for_two_of_its_patterns_and_not_for_one_literal_host() {
    let ods = format!("{ONE}.ods.opinsights.azure.com");
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&[&ods], &["log-analytics"], &[]),
        (
            &[
                "global.handler.control.monitor.azure.com",
                "westeurope.handler.control.monitor.azure.com",
                &ods,
            ],
            &["azure-monitor-agent"],
            &[],
        ),
        (&["login.microsoftonline.com"], &[], &["login.microsoftonline.com"]),
        (
            &["gbl.his.arc.azure.com", "management.azure.com", "packages.example.com"],
            &["arc"],
            &["packages.example.com"],
        ),
        (&["examplelogs.blob.core.windows.net"], &[], &["examplelogs.blob.core.windows.net"]),
    ];
    for (seen, bundles, exact) in cases {
        let made = of_nothing(&hosts(seen));
        assert_eq!(
            (bundles_of(&made).as_slice(), hosts_of(&made)),
            (bundles, exact.iter().map(|h| (*h).to_owned()).collect()),
            "{seen:?}"
        );
    }
}

#[test]
fn a_wildcard_is_never_wider_than_what_was_seen_unless_several_hosts_of_a_documented_family_were() {
    let two = ["a1.example.com", "a2.example.com", "a3.example.com", "a4.example.com"];
    assert_eq!(hosts_of(&of_nothing(&hosts(&two))), two, "an undocumented family is no family");
    let regions =
        ["we", "ne", "eus"].map(|region| format!("{region}-jobruntimedata-prod-su1.azure-automation.net"));
    let all: Vec<&str> = regions.iter().map(String::as_str).collect();
    assert_eq!(hosts_of(&of_nothing(&hosts(&all))), ["*.azure-automation.net"]);
    assert_eq!(hosts_of(&of_nothing(&hosts(&all[..2]))).len(), 2);
}

#[test]
fn what_only_a_pin_stands_against_is_added_to_the_pins_and_what_is_allowed_already_is_not_suggested() {
    let pins = Pins { workspaces: Some(set(&[ONE])), storage_accounts: Some(set(&["good"])) };
    let rules =
        ["{workspace}.ods.opinsights.azure.com", "{account}.blob.core.windows.net", "packages.example.com"];
    let destinations = destinations(&rules, pins);
    let present = Present { cloud: Cloud::Public, bundles: &["log-analytics"], destinations: &destinations };
    let wanted = hosts(&[
        &format!("{TWO}.ods.opinsights.azure.com"),
        &format!("{ONE}.ods.opinsights.azure.com"),
        "other.blob.core.windows.net",
        "packages.example.com",
    ]);
    let made = suggest(present, &wanted, &BTreeSet::new());
    assert_eq!(made.workspaces, Pinned::Extend(set(&[TWO])));
    assert_eq!(made.storage_accounts, Pinned::Extend(set(&["other"])));
    assert_eq!((made.bundles, made.hosts, made.left), (vec![], vec![], vec![]));
}

#[test]
fn where_nothing_is_pinned_all_that_was_carried_becomes_the_pins() {
    let rules = ["{workspace}.ods.opinsights.azure.com", "{account}.blob.core.windows.net"];
    let destinations = destinations(&rules, Pins::default());
    let present = Present { cloud: Cloud::Public, bundles: &["log-analytics"], destinations: &destinations };
    let carried = [format!("{ONE}.ods.opinsights.azure.com"), "good.blob.core.windows.net".to_owned()];
    let carried = carried.iter().map(|host| host.parse().expect("a host")).collect();
    let made = suggest(present, &BTreeSet::new(), &carried);
    assert_eq!(made.workspaces, Pinned::Begin(set(&[ONE])));
    assert_eq!(made.storage_accounts, Pinned::Begin(set(&["good"])));
    assert!(made.bundles.is_empty() && made.hosts.is_empty());
}

#[test]
fn a_domain_of_another_proxy_becomes_a_bundle_or_itself_and_never_something_as_wide_as_azure() {
    let made = of_nothing(&domains(&["ods.opinsights.azure.com", "oms.opinsights.azure.com"]));
    assert_eq!((bundles_of(&made).as_slice(), hosts_of(&made).len()), (["log-analytics"].as_slice(), 0));
    let made = of_nothing(&domains(&["example.com"]));
    assert_eq!(hosts_of(&made), ["example.com", "*.example.com"]);
    for wide in ["azure.com", "windows.net", "com"] {
        let made = of_nothing(&domains(&[wide]));
        assert_eq!((made.left.len(), made.hosts.len(), made.bundles.len()), (1, 0, 0), "{wide}: {made:?}");
    }
}

#[test]
fn hosts_of_another_cloud_and_of_one_label_are_not_mapped_to_bundles() {
    let made = of_nothing(&hosts(&[&format!("{ONE}.ods.opinsights.azure.cn"), "localhost"]));
    assert_eq!((bundles_of(&made).len(), hosts_of(&made).len(), made.left.len()), (0, 1, 1));
}
