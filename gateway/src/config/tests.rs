use super::*;
use crate::policy::accounts::Identity;
use crate::policy::accounts::Offered;
use crate::policy::passwords::Verified;
use crate::refusal::Refusal;
use std::sync::Arc;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let file = Path::new("gateway.toml");
    read(Source { file, text }, Some(file))
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

fn role_of(config: &Config, from: &str) -> Result<String, Refusal> {
    let accounts = config.roles.accounts(Arc::new(Verified::new([0; 32])));
    match accounts.identify(Offered::Nothing, from.parse().expect("an address"))? {
        Identity::Known(client) => Ok(client.role().name.to_string()),
        Identity::Unproven(_) => unreachable!("no credentials were offered"),
    }
}

#[test]
fn the_built_in_default_serves_this_machine_only() {
    let config =
        read(Source { file: Path::new("built-in default"), text: BUILT_IN }, None).expect("is valid");
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.admin.as_ref().map(|admin| admin.address.to_string()).as_deref(),
        Some("127.0.0.1:9180")
    );
    assert_eq!(role_of(&config, "127.0.0.9"), Ok("default".into()));
    assert_eq!(role_of(&config, "10.0.0.1"), Err(Refusal::ClientNetworkDenied));
}

#[test]
fn every_problem_is_reported_at_once_with_its_line_and_the_mend() {
    let text = r#"
[[listener]]
address = "localhost:8080"
[[listener]]
plain = false
[admin]
address = "0.0.0.0:9180"
[dns]
servers = ["dns.example"]
hosts = { "bad_name.example" = ["20.0.0.1"], "ok.example" = ["nowhere"] }
[tunnel]
idle = "30 parsecs"
minimum_tls = "1.1"
[limits]
tunnels = 0
[role.a]
anonymous_from = ["10.0.0.0/8", "10.0.0.5/8"]
bundels = ["log-analytics"]
bundles = ["log-analytics", "everything"]
workspaces = ["not-a-guid"]
hosts = ["*.com"]
cloud = "mars"
[role.b]
users_file = "missing.users"
"#;
    let problems = parse(text).expect_err("is wrong");
    let expected = [
        ("3:11", "localhost:8080"),
        ("4:", "answers nothing"),
        ("6:", "open to the network"),
        ("9:12", "write the name server's IP address"),
        ("10:", "bad_name.example"),
        ("10:", "nowhere"),
        ("12:8", "30 parsecs"),
        ("13:15", "1.1"),
        ("15:11", "whole number from 1"),
        ("17:33", "write `10.0.0.0/8`"),
        ("17:33", "belongs to role `a` already"),
        ("18:1", "unknown field `bundels`"),
        ("19:29", "write one of log-analytics"),
        ("20:15", "a workspace id is a GUID"),
        ("21:10", "too wide"),
        ("22:9", "write `public`"),
        ("24:14", "missing.users"),
    ];
    for (place, words) in expected {
        let start = format!("gateway.toml:{place}");
        assert!(
            problems.iter().any(|p| p.starts_with(&start) && p.contains(words)),
            "{place} {words}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn a_role_that_admits_nobody_or_may_go_nowhere_is_refused() {
    let problems =
        parse("[role.a]\n[role.b]\nanonymous_from = [\"10.0.0.1\"]\nbundles = []\n").expect_err("is wrong");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("gateway.toml:1:1: role `a` admits nobody"), "{problems:?}");
    assert!(problems[1].starts_with("gateway.toml:2:1: role `b` may go nowhere"), "{problems:?}");
}

#[test]
fn times_and_sizes_have_bounds_and_one_address_is_a_range() {
    let cases = [
        ("[limits]\nhead_timeout = \"500000000000years\"", "from `1ms` to `30days`"),
        ("[tunnel]\nidle = \"0s\"", "from `1ms` to `30days`"),
        ("[tunnel]\nidle = 30", "expected a string in quotes"),
        ("[dns]\nstale_for = \"400days\"", "from `1ms` to `30days`"),
        (
            "[role.b]\nanonymous_from = [\"10.0.0.1\"]\nupload_caps = { \"{account}.blob.core.windows.net\" = \"0\" }",
            "4 KiB",
        ),
        (
            "[role.b]\nanonymous_from = [\"10.0.0.1\"]\nupload_caps = { \"nowhere.example.com\" = \"1 MiB\" }",
            "no host rule",
        ),
    ];
    let role = "\n[role.a]\nanonymous_from = [\"10.0.0.9\"]\n";
    for (text, words) in cases {
        let problems = parse(&format!("{text}{role}")).expect_err("is wrong");
        assert!(problems.len() == 1 && problems[0].contains(words), "{text}: {problems:?}");
    }
    let config =
        parse(&format!("[dns]\nstale_for = \"0s\"\n[tunnel]\ndrain = \"0s\"{role}")).expect("is right");
    assert_eq!(role_of(&config, "10.0.0.9"), Ok("a".into()));
    assert_eq!(role_of(&config, "10.0.0.10"), Err(Refusal::ClientNetworkDenied));
}

#[test]
fn two_listeners_at_one_address_are_refused() {
    let twice = "[[listener]]\naddress = \"127.0.0.1:3128\"\n".repeat(2);
    let problems =
        parse(&format!("{twice}[role.a]\nanonymous_from = [\"10.0.0.1\"]\n")).expect_err("is wrong");
    assert!(
        problems[0].starts_with("gateway.toml:3:1: another listener is at 127.0.0.1:3128"),
        "{problems:?}"
    );
}

#[test]
fn a_relay_that_cannot_be_read_is_a_problem_that_never_shows_its_password() {
    let relay = "[relay]\nproxies = [\"http://relay.example:8080\", \"ftp://gw:hunter2@relay.example\"]\n";
    let problems =
        parse(&format!("{relay}[role.a]\nanonymous_from = [\"10.0.0.1\"]\n")).expect_err("is wrong");
    assert!(problems.len() == 1 && problems[0].starts_with("gateway.toml:2:41: "), "{problems:?}");
    assert!(!problems[0].contains("hunter2"), "{problems:?}");
    let spellings = [
        "proxies = \"http://gw:hunter2@relay.example:1\"",
        "proxies = [\"http://gw:hunter2\"]",
        "ca = [\"http://gw:hunter2@relay.example:1\"]",
    ];
    for written in spellings {
        let text = format!("[relay]\n{written}\n[role.a]\nanonymous_from = [\"10.0.0.1\"]\n");
        let problems = parse(&text).expect_err("is wrong");
        assert!(!problems.concat().contains("hunter2"), "{problems:?}");
    }
}

#[test]
fn a_file_without_a_role_is_refused_because_nobody_could_connect() {
    let problems = parse("").expect_err("is wrong");
    assert!(problems[0].contains("add one, as in `[role.agents]`"), "{problems:?}");
}

#[test]
fn users_and_networks_lead_to_their_roles() {
    let folder = tempfile::tempdir().expect("a folder");
    let hash = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    std::fs::write(folder.path().join("agents.users"), format!("ann:{hash}\n")).expect("written");
    let file = folder.path().join("gateway.toml");
    std::fs::write(
        &file,
        "[role.agents]\nusers_file = \"agents.users\"\n[role.sites]\nanonymous_from = [\"10.20.0.0/16\"]\n",
    )
    .expect("written");
    let config = load(Some(&file)).expect("is valid");
    assert_eq!(role_of(&config, "10.20.0.1"), Ok("sites".into()));
    assert_eq!(role_of(&config, "10.21.0.1"), Err(Refusal::CredentialsMissing));
    let accounts = config.roles.accounts(Arc::new(Verified::new([0; 32])));
    assert_eq!(accounts.client_named("ann").map(|c| c.role().name.to_string()), Some("agents".into()));
}

#[test]
fn the_same_user_in_two_roles_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let hash = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A";
    std::fs::write(folder.path().join("u"), format!("ann:{hash}\n")).expect("written");
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[role.a]\nusers_file = \"u\"\n[role.b]\nusers_file = \"u\"\n").expect("written");
    let problems = load(Some(&file)).expect_err("is wrong");
    assert!(problems.to_string().contains("user `ann` belongs to role `a` already"), "{problems}");
}

#[test]
fn client_certificates_are_required_where_a_ca_is_named_and_need_one() {
    let tls = |listener: &str, tls: &str| {
        let role = "[role.a]\nanonymous_from = [\"127.0.0.0/8\"]";
        parse(&format!(
            "[[listener]]\n{listener}\ntls = {{ certificate = \"c\", key = \"k\"{tls} }}\n{role}\n"
        ))
    };
    let policy = |listener: &str, keys: &str| {
        let config = tls(listener, keys).expect("is valid");
        config.listeners[0].tls.as_ref().expect("TLS").client_certificate
    };
    assert_eq!(policy("", ""), ClientCertificatePolicy::None);
    assert_eq!(policy("plain = false", ", client_ca = \"a\""), ClientCertificatePolicy::Required);
    let optional = ", client_ca = \"a\", client_crl = \"l\", client_certificate = \"optional\"";
    assert_eq!(policy("", optional), ClientCertificatePolicy::Optional);
    let none = ", client_ca = \"a\", client_certificate = \"none\"";
    assert_eq!(policy("", none), ClientCertificatePolicy::None);
    let wrong = [
        ("plain = false", ", client_certificate = \"required\"", "need `client_ca`"),
        ("", ", client_crl = \"l\"", "need `client_ca`"),
        ("", ", client_ca = \"a\"", "lets clients in without one"),
    ];
    for (listener, keys, words) in wrong {
        let problems = tls(listener, keys).expect_err(words);
        assert!(problems[0].contains(words), "{problems:?}");
    }
}
