//! Rules that the program makes, read by nft itself, in a namespace that nothing depends on.

use std::path::Path;

use end_to_end::config::Config;

use crate::stage::firewall;
use end_to_end::network::Network;

const ROLE: &str = "[role.agents]\nanonymous_from = [\"10.20.0.0/16\", \"10.20.3.0/24\", \"fd20::/64\"]\n";

#[tokio::test]
async fn nft_takes_the_rules_of_every_kind_of_configuration_and_takes_them_again() {
    let Some(network) = Network::new(&["h"]) else { return };
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let sample = |name: &str| std::fs::read_to_string(samples.join(name)).expect("a sample");
    let dns = "[dns]\nservers = [\"10.9.0.53\", \"[fd09::53]:5353\"]\n";
    let users = sample("agents.users");
    let texts = [
        sample("gateway.toml"),
        sample("minimal.toml"),
        sample("password.toml"),
        format!(
            "[[listener]]\naddress = \"[::]:8080\"\n{dns}[addresses]\nallow = [\"10.0.0.0/8\", \"10.1.0.0/16\", \"fd12::/16\", \"168.63.129.16/32\"]\n{ROLE}"
        ),
        format!(
            "[[listener]]\naddress = \"0.0.0.0:8080\"\n{dns}[addresses]\nallow = [\"0.0.0.0/0\", \"::/0\"]\n{ROLE}"
        ),
        format!(
            "[[listener]]\naddress = \"10.9.0.5:8080\"\nproxy_protocol = {{ trusted = [\"10.9.0.10/32\"] }}\n{dns}[relay]\nproxies = [\"http://10.9.0.8:3128\", \"http://p.example:81\"]\nbypass = [\"*.private.example\"]\n[role.all]\nanonymous_from = [\"0.0.0.0/0\", \"::/0\"]\n"
        ),
        format!(
            "[[listener]]\naddress = \"10.9.0.5:8080\"\n{dns}hosts = {{ \"a.example.com\" = [\"20.0.0.1:8443\", \"[2603:1030::1]:8443\"] }}\n{ROLE}"
        ),
    ];
    let all = [
        "--user",
        "64321",
        "--ssh-from",
        "10.9.0.0/24",
        "--agents-from",
        "10.30.0.0/16",
        "--name-server",
        "10.9.0.53",
    ];
    let agents = ["--side", "agents", "--gateway", "10.9.0.5:8080", "--gateway", "[fd09::5]:8080"];
    let also = ["--also", "udp/10.9.0.1:123", "--also", "tcp/[fd09::/64]:6514"];
    for text in texts {
        let config = Config::new(&text).file("agents.users", &users);
        for side in [&all[..], &agents[..]] {
            let rules = firewall(&config, &[side, &also].concat());
            network.run("h", &["nft", "-c", "-f", "-"], Some(&rules));
            network.load("h", &rules);
            network.load("h", &rules);
            let listed = network.run("h", &["nft", "list", "ruleset"], None);
            assert_eq!(listed.matches("chain output").count(), 1, "{listed}");
        }
    }
}

#[tokio::test]
async fn an_operators_own_rules_are_read_with_the_others() {
    let Some(network) = Network::new(&["h"]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (chain, rule) in [("input", "tcp dport 9100 accept\n"), ("output", "udp dport 123 accept\n")] {
        std::fs::create_dir(folder.path().join(chain)).expect("our own folder");
        std::fs::write(folder.path().join(chain).join("mine.nft"), rule).expect("our own file");
    }
    let config = Config::new(&format!(
        "[[listener]]\naddress = \"10.9.0.5:8080\"\n[dns]\nservers = [\"10.9.0.53\"]\n{ROLE}"
    ));
    let rules = firewall(&config, &["--user", "any"]);
    let begin = rules.find("include \"").expect("an include") + "include \"".len();
    let end = begin + rules[begin..].find("/input/").expect("a folder");
    let rules = rules.replace(&rules[begin..end], &folder.path().display().to_string());
    network.load("h", &rules);
    let listed = network.run("h", &["nft", "list", "table", "inet", "la_gateway"], None);
    assert!(listed.contains("tcp dport 9100 accept") && listed.contains("udp dport 123 accept"), "{listed}");
}
