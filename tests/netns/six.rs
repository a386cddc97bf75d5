//! Without IPv4: an IPv6 network alone, and one whose way to IPv4 is NAT64.

use std::process::Stdio;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::dns::Reply;
use end_to_end::installed;
use tokio::process::Command;

use crate::probe::Probe;
use crate::probe::Traps;
use crate::probe::assert_no_strays;
use crate::probe::count_strays;
use crate::probe::reached;
use crate::stage::Internet;
use crate::stage::dmz;
use crate::stage::firewall;
use crate::stage::gateway;
use end_to_end::network::Network;

const PROXY: &str = "[fd20::1]:8080";
const DNS: &str = "[2620:fe::fe]:53";

fn config() -> Config {
    Config::new(&format!(
        "[[listener]]\naddress = \"{PROXY}\"\n[dns]\nservers = [\"{DNS}\"]\n[addresses]\nallow = []\n\
         [role.agents]\nanonymous_from = [\"fd20::/64\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n"
    ))
}

fn network() -> Option<Network> {
    let network = Network::new(&["a", "d", "i"])?;
    network.link(("a", "eth0", &["fd20::2/64"]), ("d", "inner", &["fd20::1/64"]));
    network.link(("d", "outer", &["2603:1030:1::2/64"]), ("i", "eth0", &["2603:1030:1::1/64"]));
    network.addresses("i", &["2603:1030::90", "2620:fe::fe", "fd99::1"]);
    network.ip("a", &["route add ::/0 via fd20::1"]);
    network.ip("d", &["route add ::/0 via 2603:1030:1::1"]);
    network.ip("i", &["route add fd20::/64 via 2603:1030:1::2"]);
    Some(network)
}

fn load(network: &Network) {
    network.load("d", &dmz(&config()));
    network.load("a", &firewall(&config(), &["--side", "agents"]));
}

/// Lets a name of Azure's lead to each of these, and asserts that the gateway goes to none.
async fn assert_refused(network: &Network, internet: &Internet, answers: &[&str]) {
    for (number, answer) in answers.iter().enumerate() {
        let name = format!("{number:08x}-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com");
        internet.dns.script(&name, [Reply::address(answer)]);
        let request = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
        let said = network.enter("a", || {
            use std::io::Read;
            use std::io::Write;
            let mut stream = std::net::TcpStream::connect(PROXY).expect("a gateway");
            stream.set_read_timeout(Some(end_to_end::patience::PATIENCE)).expect("a socket option");
            stream.write_all(request.as_bytes()).expect("a request sent");
            let mut answer = [0; 64];
            let length = stream.read(&mut answer).expect("an answer");
            String::from_utf8_lossy(&answer[..length]).into_owned()
        });
        assert!(said.starts_with("HTTP/1.1 403"), "{answer}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_ipv6_alone_is_as_tight_and_the_data_comes_out() {
    let Some(network) = network() else { return };
    let internet = Internet::start(&network, "i", "[2603:1030::90]:443", "2603:1030::90", DNS);
    let traps = Traps::set(&network, "i", &["[fd99::1]:443", "[2603:1030::90]:22"], &[]);
    let gateway = gateway(&network, "d", &config()).await;
    load(&network);
    count_strays(&network, "i", &["fd20::/64"], &["fd99::1"]);
    let home = internet.agent(&network.starter("a"), &[&format!("http://{PROXY}")]);
    let agent = Agent::start(&home).await;
    internet.deliver(&network, "a", &home, &agent, "by IPv6").await;
    let probes = [
        Probe::Tcp("[2603:1030::90]:443"),
        Probe::Tcp("[2603:1030::90]:22"),
        Probe::Dns(DNS),
        Probe::Tcp("[fd20::1]:9180"),
    ];
    assert_eq!(reached(&network, "a", &probes, false), []);
    let answers =
        ["fd99::1", "::1", "fe80::1", "fd00:ec2::254", "2001:db8::1", "2002:a00:1::1", "::ffff:10.0.0.1"];
    assert_refused(&network, &internet, &answers).await;
    assert_eq!(traps.caught(), [""; 0]);
    assert_no_strays(&network, "i", "IPv6 alone");
    internet.azure.assert_no_problems();
    drop((agent, gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_nat64_the_data_comes_out_and_forbidden_addresses_are_forbidden_in_its_form_too() {
    let Some(network) = network() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tayga.conf");
    let text = format!(
        "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2603:1030:2::1\nprefix 64:ff9b::/96\n\
         dynamic-pool 192.168.255.0/24\ndata-dir {}\n",
        folder.path().display()
    );
    std::fs::write(&file, text).expect("a file of our own");
    let tayga = |more: &str| {
        let mut words = network.starter("i");
        words.extend(["tayga", "--config", &file.display().to_string(), more].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(&words[1..]).env("PATH", format!("{path}:/usr/sbin")).stdin(Stdio::null());
        command
    };
    let there =
        std::process::Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin; command -v tayga"]).output();
    if !there.expect("a shell").status.success() {
        println!("skipped: tayga is not installed");
        return;
    }
    let made = installed::output(&mut tayga("--mktun")).await.expect("ip is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    network.addresses("i", &["20.42.65.90", "169.254.169.254", "10.99.0.1"]);
    network.ip(
        "i",
        &["link set nat64 up", "route add 192.168.255.0/24 dev nat64", "route add 64:ff9b::/96 dev nat64"],
    );
    network.forward("i", true);
    let _translator = installed::start(&mut tayga("--nodetach")).expect("ip is there");

    // Azure has no IPv6 address here: 20.42.65.90, as a DNS64 says it.
    let internet = Internet::start(&network, "i", "20.42.65.90:443", "64:ff9b::142a:415a", DNS);
    let traps = Traps::set(&network, "i", &["169.254.169.254:443", "10.99.0.1:443"], &[]);
    let gateway = gateway(&network, "d", &config()).await;
    load(&network);
    count_strays(
        &network,
        "i",
        &["fd20::/64"],
        &["64:ff9b::a9fe:a9fe", "64:ff9b::a63:1", "169.254.169.254", "10.99.0.1"],
    );
    let home = internet.agent(&network.starter("a"), &[&format!("http://{PROXY}")]);
    let agent = Agent::start(&home).await;
    internet.deliver(&network, "a", &home, &agent, "by NAT64").await;
    let probes = [Probe::Tcp("[64:ff9b::142a:415a]:443"), Probe::Tcp("[64:ff9b::a9fe:a9fe]:443")];
    assert_eq!(reached(&network, "a", &probes, false), []);
    assert_refused(&network, &internet, &["64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "64:ff9b::a63:1"])
        .await;
    assert_eq!(traps.caught(), [""; 0]);
    assert_no_strays(&network, "i", "behind NAT64");
    internet.azure.assert_no_problems();
    drop((agent, gateway));
}
