//! What must stay allowed or denied, against small policies.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::*;
use crate::policy::accounts::Account;
use crate::policy::accounts::PercentEncoded;
use crate::policy::class::Class;
use crate::policy::destinations::Destinations;
use crate::policy::destinations::Mode;
use crate::policy::destinations::Origin;
use crate::policy::destinations::Pins;
use crate::policy::destinations::Rule;
use crate::policy::names::FixedAddress;
use crate::policy::passwords::Verified;

fn role(name: &str, hosts: &[&str]) -> Arc<Role> {
    in_mode(name, hosts, Mode::Enforce)
}

fn in_mode(name: &str, hosts: &[&str], mode: Mode) -> Arc<Role> {
    let rules = hosts.iter().map(|host| Rule {
        pattern: host.parse().expect("a pattern"),
        origin: Origin::Configuration("gateway.toml:1:1".into()),
        upload_cap: None,
        class: Class::Hosts,
    });
    let destinations = Destinations::new(rules, Pins::default()).in_mode(mode);
    Arc::new(Role { name: name.into(), destinations, tunnels: u32::MAX })
}

/// Role `users` with ann may reach a and b, role `sites` at 10.20.0.0/16 only a; b leads to 10.1.0.4.
fn difference(text: &str, verdict: Verdict, change: impl FnOnce(&mut RelaySettings)) -> Option<String> {
    let (users, sites) = (role("users", &["a.example", "b.example"]), role("sites", &["a.example"]));
    let hash = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    let ann =
        Account { user: "ann@corp".into(), hash: hash.parse().expect("a hash"), role: Arc::clone(&users) };
    let networks = vec![("10.20.0.0/16".parse().expect("a range"), Arc::clone(&sites))];
    let verified = Arc::new(Verified::new([1; 32]));
    let accounts = Accounts::new(vec![ann], networks, HashMap::new(), PercentEncoded::Accepted, verified);
    let inside = FixedAddress { ip: IpAddr::from([10, 1, 0, 4]), port: None };
    let hosts = BTreeMap::from([("b.example".parse().expect("a name"), vec![inside])]);
    let mut relay = RelaySettings::default();
    change(&mut relay);
    let candidate = Candidate {
        roles: &[users, sites],
        accounts: &accounts,
        addresses: &Addresses::default(),
        dns: &DnsSettings { hosts, ..DnsSettings::default() },
        relay: &relay,
    };
    candidate.difference(&text.parse().expect("an expectation"), verdict)
}

#[test]
fn each_form_is_judged_for_those_it_is_meant_for() {
    let allowed = [
        "a.example",
        "a.example:443",
        "ann@corp@a.example",
        "user:ann@corp@a.example",
        "role:sites@a.example",
        "from:10.20.0.9@a.example",
    ];
    let denied = [
        "c.example",
        "b.example",
        "a.example:8443",
        "eve@a.example",
        "role:sites@b.example",
        "from:10.99.0.9@a.example",
    ];
    for (texts, comes_out, differs) in
        [(allowed, Verdict::Allowed, Verdict::Denied), (denied, Verdict::Denied, Verdict::Allowed)]
    {
        for text in texts {
            assert_eq!(difference(text, comes_out, |_| ()), None, "{text}");
            assert!(difference(text, differs, |_| ()).is_some(), "{text}");
        }
    }
}

#[test]
fn what_report_mode_lets_through_is_neither_denied_nor_allowed_for_good() {
    let accounts = Accounts::new(
        vec![],
        vec![],
        HashMap::new(),
        PercentEncoded::Accepted,
        Arc::new(Verified::new([1; 32])),
    );
    let candidate = Candidate {
        roles: &[in_mode("trial", &["a.example"], Mode::Report)],
        accounts: &accounts,
        addresses: &Addresses::default(),
        dns: &DnsSettings::default(),
        relay: &RelaySettings::default(),
    };
    let difference = |text: &str, verdict| {
        candidate.difference(&text.parse().expect("an expectation"), verdict).unwrap_or_default()
    };
    assert_eq!(difference("a.example", Verdict::Allowed), "");
    assert!(difference("c.example", Verdict::Denied).contains("may reach it by report mode"));
    assert!(
        difference("c.example", Verdict::Allowed).contains("refused but for report mode: no rule allows")
    );
    assert_eq!(difference("c.example:8443", Verdict::Denied), "");
}

#[test]
fn a_fixed_address_is_vetted_where_it_is_dialled_and_not_where_a_relay_is() {
    let relay = |settings: &mut RelaySettings| {
        settings.proxies = vec!["http://relay.example:8080".parse().expect("a relay")];
    };
    let said = difference("role:users@b.example", Verdict::Allowed, |_| ()).expect("10.1.0.4 is private");
    assert!(said.starts_with("b.example:443 must be allowed, and role users is refused: "), "{said}");
    assert_eq!(difference("role:users@b.example", Verdict::Allowed, relay), None);
}

#[test]
fn what_differs_is_said_with_the_rule_and_a_role_that_is_not_there_is_a_slip() {
    assert_eq!(
        difference("a.example", Verdict::Denied, |_| ()).as_deref(),
        Some(
            "a.example:443 must be denied, and role users may reach it by the rule a.example (gateway.toml:1:1)"
        )
    );
    for verdict in [Verdict::Allowed, Verdict::Denied] {
        let said = difference("role:agents@a.example", verdict, |_| ()).expect("there is none");
        assert!(said.contains("there is no role `agents`"), "{said}");
    }
}

#[test]
fn a_form_that_is_none_is_refused_with_what_to_write() {
    for (text, words) in [
        ("", "host name"),
        ("@a.example", "no name before"),
        ("group:x@a.example", "role:NAME@host"),
        ("from:somewhere@a.example", "an IP address"),
        ("ann@*.example", "host name"),
        ("https://a.example", "host name"),
    ] {
        let said = text.parse::<Expectation>().expect_err(text);
        assert!(said.contains(words), "{text}: {said}");
    }
}
