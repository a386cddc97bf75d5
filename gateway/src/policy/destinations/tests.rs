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
    of.authorize(&target).map(|permit| permit.rule().expect("a rule").pattern.to_string())
}

#[test]
fn a_target_needs_a_rule_and_port_443() {
    let all = destinations(
        &["{workspace}.ods.opinsights.azure.com", "*.jrds.*.azure-automation.net", "packages.example.com"],
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
    assert_eq!(all.authorize(&target).map(|permit| permit.upload_cap()), Ok(Some(9)));
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
fn report_mode_lets_through_what_no_rule_or_pin_allows_and_the_permit_says_so() {
    let pins = Pins {
        workspaces: Some(BTreeSet::from([GUID.to_owned()])),
        storage_accounts: Some(BTreeSet::from(["good".to_owned()])),
    };
    let patterns = ["{workspace}.ods.opinsights.azure.com", "{account}.blob.core.windows.net"];
    let enforced = destinations(&patterns, pins.clone());
    let reporting = destinations(&patterns, pins).in_mode(Mode::Report);
    let cases = [
        ("evil.example:443".to_owned(), Reported::Host),
        (format!("{OTHER}.ods.opinsights.azure.com:443"), Reported::Workspace),
        ("evil.blob.core.windows.net:443".to_owned(), Reported::StorageAccount),
    ];
    for (target, why) in cases {
        assert_eq!(verdict(&enforced, &target), Err(why.refusal()), "{target}");
        let target = target.parse().expect("a target");
        let permit = reporting.authorize(&target).expect("is let through");
        assert_eq!((permit.reported(), permit.rule()), (Some(why), None), "{target}");
    }
    let allowed = reporting.authorize(&"good.blob.core.windows.net:443".parse().expect("a target"));
    assert_eq!(allowed.map(|permit| (permit.reported(), permit.rule().is_some())), Ok((None, true)));
    // A port is no destination that could be listed.
    for target in ["evil.example:80", "good.blob.core.windows.net:8443"] {
        assert_eq!(verdict(&reporting, target), Err(Refusal::PortDenied), "{target}");
    }
}

#[test]
fn report_mode_keeps_the_upload_cap_of_a_rule_whose_pin_is_missed() {
    let rule = Rule {
        pattern: "{account}.blob.core.windows.net".parse().expect("a pattern"),
        origin: Origin::Configuration("test:1:1".into()),
        upload_cap: Some(9),
        class: Class::Blob,
    };
    let pins = Pins { storage_accounts: Some(BTreeSet::from(["good".to_owned()])), ..Pins::default() };
    let reporting = Destinations::new([rule], pins).in_mode(Mode::Report);
    let cap = |target: &str| {
        let target = target.parse().expect("a target");
        reporting.authorize(&target).map(|permit| permit.upload_cap())
    };
    assert_eq!(cap("evil.blob.core.windows.net:443"), Ok(Some(9)));
    assert_eq!(cap("elsewhere.example:443"), Ok(None));
}

#[test]
fn a_host_named_by_the_operator_is_not_narrowed_by_pins() {
    let pins = Pins { storage_accounts: Some(BTreeSet::from(["good".to_owned()])), ..Pins::default() };
    let pinned = destinations(&["{account}.blob.core.windows.net", "extra.blob.core.windows.net"], pins);
    assert!(verdict(&pinned, "extra.blob.core.windows.net:443").is_ok());
}
