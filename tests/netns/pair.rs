//! Two gateways on two hosts behind a real HAProxy on a third: one dies, is cut off, is drained, while 500 small
//! agents and some real ones send numbered records. What was acknowledged is there.

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::workspace::Retention;

use crate::balancer::Balancer;
use crate::senders::Senders;
use crate::stage::Internet;
use crate::stage::WORKSPACE;
use crate::stage::dmz;
use crate::stage::firewall;
use crate::stage::gateway;
use end_to_end::network::Network;

const SENDERS: usize = 500;
const AGENTS: usize = 6;
/// Records that each sender brings through after each fault.
const MORE: u64 = 2;
const BALANCER: &str = "10.20.0.10:8080";
const CUT: &str = "table inet cut {\nchain come { type filter hook input priority -200; policy drop; }\n\
                   chain go { type filter hook output priority -200; policy drop; }\n}\n";

fn network() -> Option<Network> {
    let network = Network::new(&["a", "b", "one", "two", "i"])?;
    network.link(("a", "eth0", &["10.20.0.2/24"]), ("b", "inner", &["10.20.0.10/24"]));
    network.ip("b", &["link add dmz type bridge", "link set dmz up", "addr add 10.9.0.10/24 dev dmz"]);
    network.addresses("i", &["20.42.65.90", "9.9.9.9"]);
    for (host, own, net) in [("one", "10.9.0.11/24", 1), ("two", "10.9.0.12/24", 2)] {
        network.link((host, "inner", &[own]), ("b", host, &[]));
        network.ip("b", &[&format!("link set {host} master dmz")]);
        let (outer, far) = (format!("20.1.{net}.2/24"), format!("20.1.{net}.1/24"));
        network.link((host, "outer", &[&outer]), ("i", host, &[&far]));
        network.ip(host, &[&format!("route add default via 20.1.{net}.1")]);
    }
    Some(network)
}

fn config(own: &str) -> Config {
    Config::new(&format!(
        "[[listener]]\naddress = \"{own}:8080\"\nproxy_protocol = {{ trusted = [\"10.9.0.10/32\"], required = true }}\n\
         [admin]\naddress = \"{own}:9180\"\nfrom = [\"10.9.0.10/32\"]\nopen = [\"health\"]\n\
         [dns]\nservers = [\"9.9.9.9\"]\n[addresses]\nallow = []\n\
         [tunnel]\ndrain = \"3s\"\nlame_duck = \"3s\"\n\
         [role.agents]\nanonymous_from = [\"10.20.0.0/24\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n"
    ))
}

/// Asserts that every record of a series is in the workspace; returns how many came twice.
fn assert_whole(internet: &Internet, series: &str, count: u64) -> u64 {
    let sequence = internet.azure.sequence(WORKSPACE, "App_CL", series);
    assert_eq!(sequence.missing(count), [0; 0], "{series}: lost of {count}");
    sequence.doubled()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_of_500_senders_while_one_of_two_gateways_dies_is_cut_off_or_is_drained() {
    let Some(network) = network() else { return };
    let internet = Internet::start(&network, "i", "20.42.65.90:443", "20.42.65.90", "9.9.9.9:53");
    internet.azure.keep(Retention::Counts);
    let (first, second) = (config("10.9.0.11"), config("10.9.0.12"));
    let mut one: Gateway = gateway(&network, "one", &first).await;
    let two = gateway(&network, "two", &second).await;
    network.load("one", &dmz(&first));
    network.load("two", &dmz(&second));
    network.load("a", &firewall(&first, &["--side", "agents", "--gateway", BALANCER]));
    let balancer = Balancer::start(&network, "b");
    balancer.sees("one", "UP").await;
    balancer.sees("two", "UP").await;

    let senders = Senders::start(&network, "a", BALANCER, &internet, SENDERS);
    let homes: Vec<_> = (0..AGENTS)
        .map(|_| internet.agent(&network.starter("a"), &[&format!("http://{BALANCER}")]))
        .collect();
    let mut agents = Vec::new();
    for home in &homes {
        agents.push(Agent::start(home).await);
    }
    // The real agents' own numbers grow with each phase.
    let mut written = 0;
    let mut write = |more: u64| {
        let range = written..written + more;
        written += more;
        for (number, home) in homes.iter().enumerate() {
            let file = home.path().join("app.log");
            let mut text = std::fs::read_to_string(&file).unwrap_or_default();
            range.clone().for_each(|record| text.push_str(&format!("r{number}-seq={record:08} \n")));
            std::fs::write(file, text).expect("a file of our own");
        }
    };
    write(20);
    senders.go_on(1, "every sender's first record").await;

    one.signal("KILL");
    write(20);
    senders.go_on(MORE, "after one gateway was killed").await;
    let _ = one.exit_status().await;
    let mut one = gateway(&network, "one", &first).await;
    balancer.sees("one", "UP").await;
    write(20);

    network.load("two", CUT);
    senders.go_on(MORE, "while one gateway is cut off").await;
    balancer.sees("two", "DOWN").await;
    write(20);
    network.run("two", &["nft", "delete", "table", "inet", "cut"], None);
    balancer.sees("two", "UP").await;

    one.terminate();
    write(20);
    balancer.sees("one", "DOWN").await;
    assert!(one.exit_status().await.success());
    senders.go_on(MORE, "after one gateway was drained").await;

    let failures = senders.failures();
    let counts = senders.finish().await;
    let mut doubled = 0;
    for (number, count) in counts.iter().enumerate() {
        assert!(*count > 3 * MORE, "sender {number} has only {count}");
        doubled += assert_whole(&internet, &format!("s{number}"), *count);
    }
    for (number, _) in homes.iter().enumerate() {
        let series = format!("r{number}");
        let came = |_: &_| {
            (internet.azure.sequence(WORKSPACE, "App_CL", &series).distinct() >= written).then_some(())
        };
        internet.azure.wait_for(&format!("{written} records of {series}"), came).await;
        doubled += assert_whole(&internet, &series, written);
    }
    let total: u64 = counts.iter().sum::<u64>() + written * AGENTS as u64;
    println!("{total} records acknowledged, all there; {failures} sent again, {doubled} there twice");
    assert!(failures > 0, "no fault was felt");
    drop((agents, two));
}
