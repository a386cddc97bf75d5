use super::*;
use clap::Parser;
use la_gateway::config::Source;
use la_gateway::config::parse;

const ROLE: &str = "[role.agents]\nanonymous_from = [\"10.20.0.0/16\", \"fd20::/64\"]\n";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(words: &[&str]) -> Arguments {
    let all = ["nft"].into_iter().chain(words.iter().copied());
    Line::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).arguments
}

fn config(text: &str) -> Config {
    let file = Path::new("/etc/la-gateway/gateway.toml");
    parse(Source { file, text }).unwrap_or_else(|problems| panic!("{problems}"))
}

fn dmz(text: &str, words: &[&str]) -> (String, Vec<String>) {
    let (config, what) = (config(text), arguments(words));
    let servers = servers(&config, &what).expect("name servers");
    let dmz = Dmz { config: &config, what: &what, servers };
    (dmz.rules().expect("rules"), dmz.warnings())
}

/// Returns the lines of a chain, without comments.
fn chain(rules: &str, name: &str) -> Vec<String> {
    let begin = format!("chain {name} {{");
    let lines = rules.lines().map(str::trim).skip_while(|line| *line != begin).skip(1);
    let mut depth = 1;
    lines
        .take_while(|line| {
            depth += i32::from(line.ends_with('{')) - i32::from(line.starts_with('}'));
            depth > 0
        })
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect()
}

fn has(rules: &str, name: &str, line: &str) -> bool {
    chain(rules, name).iter().any(|found| found == line)
}

#[test]
fn agents_come_in_at_the_listeners_from_the_networks_that_are_known_and_nobody_else_does() {
    let listener = |more: &str| format!("[dns]\nservers = [\"10.9.0.53\"]\n[[listener]]\n{more}\n");
    let trusted = "proxy_protocol = { trusted = [\"10.9.0.10/32\"], required = true }";
    let cases: [(String, &[&str], &[&str]); 6] = [
        (
            listener("address = \"10.9.0.5:8080\"") + ROLE,
            &[],
            &["ip daddr 10.9.0.5 ip saddr { 10.20.0.0/16 } tcp dport 8080 accept"],
        ),
        (
            listener("address = \"[::]:8080\"") + ROLE,
            &[],
            &[
                "ip saddr { 10.20.0.0/16 } tcp dport 8080 accept",
                "ip6 saddr { fd20::/64 } tcp dport 8080 accept",
            ],
        ),
        (
            listener(&format!("address = \"0.0.0.0:8080\"\n{trusted}")) + ROLE,
            &[],
            &["meta nfproto ipv4 ip saddr { 10.9.0.10 } tcp dport 8080 accept"],
        ),
        (
            listener("address = \"10.9.0.5:8080\"") + "[role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\n",
            &[],
            &[],
        ),
        (listener("address = \"127.0.0.1:8080\"") + ROLE, &[], &[]),
        (
            listener("address = \"10.9.0.5:8080\"") + "[role.agents]\nanonymous_from = [\"0.0.0.0/0\"]\n",
            &["--ssh-from", "10.9.0.0/24", "--ssh-port", "2222"],
            &[
                "ip saddr { 10.9.0.0/24 } tcp dport 2222 accept",
                "ip daddr 10.9.0.5 meta nfproto ipv4 tcp dport 8080 accept",
            ],
        ),
    ];
    for (text, words, expected) in cases {
        let (rules, _) = dmz(&text, words);
        let input = chain(&rules, "input");
        let opened: Vec<&String> = input.iter().filter(|line| line.contains("dport")).collect();
        assert_eq!(opened, expected, "{rules}");
        assert_eq!(input.last().map(String::as_str), Some("counter name dropped_input drop"));
        assert!(input.first().is_some_and(|line| line.ends_with("policy drop;")), "{rules}");
    }
}

#[test]
fn clients_with_passwords_may_come_from_anywhere_unless_their_networks_are_told() {
    let text = format!(
        "[dns]\nservers = [\"10.9.0.53\"]\n[[listener]]\naddress = \"10.9.0.5:8443\"\nplain = false\n\
         tls = {{ certificate = \"a\", key = \"b\", client_ca = \"c\" }}\n{ROLE}certificates = [\"CN=site-7\"]\n"
    );
    let (rules, warnings) = dmz(&text, &[]);
    assert!(has(&rules, "input", "ip daddr 10.9.0.5 tcp dport 8443 accept"), "{rules}");
    assert!(warnings.iter().any(|warning| warning.contains("--agents-from")), "{warnings:?}");
    let (rules, warnings) = dmz(&text, &["--agents-from", "10.30.0.0/16", "--ssh-from", "10.9.0.1"]);
    let line = "ip daddr 10.9.0.5 ip saddr { 10.20.0.0/16, 10.30.0.0/16 } tcp dport 8443 accept";
    assert!(has(&rules, "input", line), "{rules}");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn the_admin_listener_is_open_to_its_networks_alone() {
    let text = format!(
        "[dns]\nservers = [\"10.9.0.53\"]\n[admin]\naddress = \"10.9.0.5:9180\"\nfrom = [\"10.9.0.0/24\"]\n\
         open = [\"metrics\"]\n{ROLE}"
    );
    let (rules, _) = dmz(&text, &[]);
    assert!(
        has(&rules, "input", "ip daddr 10.9.0.5 ip saddr { 10.9.0.0/24 } tcp dport 9180 accept"),
        "{rules}"
    );
    let (rules, _) = dmz(&format!("[dns]\nservers = [\"10.9.0.53\"]\n{ROLE}"), &[]);
    assert!(!rules.contains("9180 accept"), "{rules}");
}

#[test]
fn only_the_gateways_user_gets_out_and_only_to_name_servers_and_https() {
    let text = format!("[dns]\nservers = [\"10.9.0.53\", \"[fd09::53]:5353\"]\n{ROLE}");
    let (rules, _) = dmz(&text, &["--also", "udp/10.9.0.1:123"]);
    let expected = [
        "type filter hook output priority filter; policy drop;",
        "oif \"lo\" accept",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, \
         mld-listener-done, mld2-listener-report } accept",
        "ct state established,related accept",
        "ip daddr { 10.9.0.53 } udp dport 53 accept",
        "ip daddr { 10.9.0.53 } tcp dport 53 accept",
        "ip6 daddr { fd09::53 } udp dport 5353 accept",
        "ip6 daddr { fd09::53 } tcp dport 5353 accept",
        "ip daddr { 10.9.0.1 } udp dport 123 accept",
        "include \"/etc/la-gateway/firewall.d/output/*.nft\"",
        "meta skuid \"la-gateway\" jump gateway",
        "limit rate 10/minute burst 20 packets log level info prefix \"la-gateway output: \"",
        "counter name dropped_output drop",
    ];
    assert_eq!(chain(&rules, "output"), expected);
    assert_eq!(chain(&rules, "gateway"), ["tcp dport 443 goto destinations"]);
    for (user, line) in [("any", "jump gateway"), ("990", "meta skuid 990 jump gateway")] {
        assert!(has(&dmz(&text, &["--user", user]).0, "output", line));
    }
}

#[test]
fn forbidden_ranges_come_before_everything_else_and_what_is_allowed_before_them() {
    let text = format!("[dns]\nservers = [\"10.9.0.53\"]\n[addresses]\nallow = [\"10.1.0.0/16\"]\n{ROLE}");
    let destinations = chain(&dmz(&text, &[]).0, "destinations").join("\n");
    let at = |text: &str| destinations.find(text).unwrap_or_else(|| panic!("no {text} in {destinations}"));
    let order = [
        "169.254.169.254,",
        "10.1.0.0/16,",
        "10.0.0.0/8,",
        "meta nfproto ipv4 accept",
        "64:ff9b::/96,",
        "2001::/23,",
        "2000::/3,",
        "meta nfproto ipv6 goto refused_address",
    ];
    assert!(order.iter().map(|text| at(text)).is_sorted(), "{destinations}");
    // An address of IPv4 at the end is nothing that nft reads.
    assert!(destinations.contains("64:ff9b::a01:0/112,") && destinations.contains("0:0:0:0:0:ffff:0:0/96,"));
}

#[test]
fn with_relays_nothing_but_they_is_reached_unless_something_goes_past_them() {
    let text = |more: &str| {
        format!(
            "[dns]\nservers = [\"10.9.0.53\"]\n[relay]\nproxies = [\"http://u:secret@10.9.0.8:3128\", \
             \"http://proxy.example:8081\"]\n{more}\n{ROLE}"
        )
    };
    let (rules, warnings) = dmz(&text(""), &[]);
    assert_eq!(
        chain(&rules, "gateway"),
        ["ip daddr { 10.9.0.8 } tcp dport 3128 accept", "tcp dport 8081 accept"]
    );
    assert!(warnings.iter().any(|warning| warning.contains("proxy.example:8081")), "{warnings:?}");
    assert!(!rules.contains("secret") && !rules.contains("chain destinations"));
    let (rules, _) = dmz(&text("bypass = [\"*.privatelink.example.com\"]"), &[]);
    assert!(has(&rules, "gateway", "tcp dport 443 goto destinations"), "{rules}");
}

#[test]
fn a_fixed_answer_with_a_port_is_reached_if_the_gateway_would_dial_it() {
    let text = format!(
        "[dns]\nservers = [\"10.9.0.53\"]\nhosts = {{ \"a.example.com\" = [\"10.1.0.4:8443\", \"10.2.0.4:8443\", \
         \"20.0.0.1\"] }}\n[addresses]\nallow = [\"10.1.0.0/16\"]\n{ROLE}"
    );
    let (rules, _) = dmz(&text, &[]);
    let expected = ["ip daddr { 10.1.0.4 } tcp dport 8443 accept", "tcp dport 443 goto destinations"];
    assert_eq!(chain(&rules, "gateway"), expected, "{rules}");
    assert!(rules.contains("\"10.2.0.4:8443\"] }: never dialled"), "{rules}");
}

#[test]
fn an_air_gapped_machine_reaches_its_gateways_and_what_is_named() {
    let text = format!(
        "[[listener]]\naddress = \"10.9.0.5:8080\"\n[[listener]]\naddress = \"127.0.0.1:8081\"\n{ROLE}"
    );
    let of = |words: &[&str]| agents::rules(&config(&text), &arguments(words));
    let opened = |rules: &str| -> Vec<String> {
        chain(rules, "output").into_iter().filter(|line| line.contains("dport")).collect()
    };
    let rules = of(&[]).expect("rules");
    assert_eq!(opened(&rules), ["ip daddr { 10.9.0.5 } tcp dport 8080 accept"]);
    assert!(chain(&rules, "input").is_empty() && has(&rules, "forward", "counter name dropped_forward drop"));
    let rules = of(&["--gateway", "[fd09::5]:8080", "--also", "udp/10.20.0.1:123"]).expect("rules");
    assert_eq!(
        opened(&rules),
        ["ip6 daddr { fd09::5 } tcp dport 8080 accept", "ip daddr { 10.20.0.1 } udp dport 123 accept"]
    );
}

#[test]
fn what_no_rule_can_be_made_of_is_said_with_what_to_write() {
    for (address, words) in [
        ("0.0.0.0:8080", "every address of its host"),
        ("127.0.0.1:8080", "every listener is on loopback"),
        ("10.9.0.5:0", "the system chooses the port"),
    ] {
        let text = format!("[[listener]]\naddress = \"{address}\"\n{ROLE}");
        let error = agents::rules(&config(&text), &arguments(&[])).expect_err(address).to_string();
        assert!(error.contains(words) && error.contains("--gateway"), "{error}");
    }
    let text = format!("[dns]\nservers = [\"10.9.0.53\"]\n[[listener]]\naddress = \"10.9.0.5:0\"\n{ROLE}");
    let (config, what) = (config(&text), arguments(&[]));
    let dmz = Dmz { config: &config, what: &what, servers: Vec::new() };
    assert!(dmz.rules().expect_err("port 0").to_string().contains("the port of the listener"));
}

#[test]
fn no_argument_gets_more_into_the_rules_than_it_is() {
    for words in [
        ["--user", "root\" accept"],
        ["--user", ""],
        ["--user", "-x"],
        ["--ssh-from", "10.0.0.0/8 accept"],
        ["--name-server", "10.0.0.1 accept"],
        ["--ssh-port", "0"],
        ["--gateway", "gateway.example:8080"],
    ] {
        assert!(Line::try_parse_from(["nft"].into_iter().chain(words)).is_err(), "{words:?}");
    }
    assert_eq!(printable(Path::new("/a\n\"b")), "/a??b");
}
