//! Three hosts, air-gapped, DMZ and internet: the agent's data comes out, and nothing else does by any way.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::dns::Reply;
use end_to_end::patience::PATIENCE;
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

use crate::probe::Probe;
use crate::probe::Traps;
use crate::probe::assert_no_strays;
use crate::probe::count_strays;
use crate::probe::reached;
use crate::stage::Internet;
use crate::stage::USER;
use crate::stage::WORKSPACE;
use crate::stage::dmz;
use crate::stage::firewall;
use crate::stage::gateway;
use end_to_end::network::Network;

const PROXY: &str = "10.20.0.1:8080";
const AZURE: &str = "20.42.65.90:443";
const FORBIDDEN: [&str; 3] = ["169.254.169.254", "168.63.129.16", "10.99.0.1"];

/// Beyond the DMZ: an open way would lead there.
const BEYOND: [Probe; 11] = [
    Probe::Tcp("93.184.215.14:443"),
    Probe::Tcp("93.184.215.14:80"),
    Probe::Tcp("20.42.65.90:443"),
    Probe::Tcp("9.9.9.9:53"),
    Probe::Tcp("169.254.169.254:80"),
    Probe::Tcp("168.63.129.16:80"),
    Probe::Tcp("10.99.0.1:443"),
    Probe::Tcp("[2603:1030::90]:443"),
    Probe::Udp("93.184.215.14:123"),
    Probe::Dns("9.9.9.9:53"),
    Probe::Ping("93.184.215.14"),
];
/// Of the DMZ's host itself, beside the gateway.
const BESIDE: [Probe; 5] = [
    Probe::Tcp("10.20.0.1:22"),
    Probe::Tcp("[fd20::1]:22"),
    Probe::Tcp("10.20.0.1:9180"),
    Probe::Udp("10.20.0.1:123"),
    Probe::Ping("10.20.0.1"),
];

/// The default address policy, and nothing but the gateway's own work.
fn config() -> Config {
    Config::new(&format!(
        "[[listener]]\naddress = \"{PROXY}\"\n\
         [admin]\naddress = \"10.20.0.1:9180\"\nfrom = [\"10.20.0.9/32\"]\nopen = [\"metrics\", \"health\"]\n\
         [dns]\nservers = [\"9.9.9.9\"]\n[addresses]\nallow = []\n\
         [role.agents]\nanonymous_from = [\"10.20.0.0/24\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n"
    ))
}

/// Lays the cables. Each host has routes to everywhere: what stops a packet is never the lack of one.
fn network() -> Option<Network> {
    let network = Network::new(&["a", "d", "i"])?;
    network.link(
        ("a", "eth0", &["10.20.0.2/24", "fd20::2/64"]),
        ("d", "inner", &["10.20.0.1/24", "fd20::1/64"]),
    );
    network.link(
        ("d", "outer", &["20.1.0.2/24", "2603:1030:1::2/64"]),
        ("i", "eth0", &["20.1.0.1/24", "2603:1030:1::1/64"]),
    );
    network.addresses("i", &["20.42.65.90", "9.9.9.9", "93.184.215.14", "2603:1030::90"]);
    network.addresses("i", &FORBIDDEN);
    network.ip("a", &["route add default via 10.20.0.1", "route add ::/0 via fd20::1"]);
    network.ip("d", &["route add default via 20.1.0.1", "route add ::/0 via 2603:1030:1::1"]);
    network.ip("i", &["route add 10.20.0.0/24 via 20.1.0.2", "route add fd20::/64 via 2603:1030:1::2"]);
    Some(network)
}

/// Sets a trap behind every probe but those for Azure, the name server and the gateway.
fn traps(network: &Network) -> (Traps, Traps) {
    let mut tcp = vec!["93.184.215.14:443", "93.184.215.14:80", "[2603:1030::90]:443", "10.99.0.1:443"];
    tcp.extend(["169.254.169.254:80", "169.254.169.254:443", "168.63.129.16:80", "168.63.129.16:443"]);
    let beyond = Traps::set(network, "i", &tcp, &["93.184.215.14:123"]);
    (beyond, Traps::set(network, "d", &["[::]:22"], &["10.20.0.1:123"]))
}

/// Asks the gateway for something, as a client that it knows, and returns the first line of its answer.
fn ask(network: &Network, request: &str) -> String {
    network.enter("a", || {
        let proxy: SocketAddr = PROXY.parse().expect("an address");
        let mut stream = TcpStream::connect_timeout(&proxy, PATIENCE).expect("a gateway");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.write_all(request.as_bytes()).expect("a request sent");
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
    })
}

fn connect(network: &Network, target: &str) -> String {
    ask(network, &format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"))
}

/// Asserts that the gateway itself is no way out, whatever it is asked for.
fn assert_the_gateway_leads_nowhere_else(network: &Network, internet: &Internet) {
    let azure = format!("{WORKSPACE}.ods.opinsights.azure.com");
    let mut targets = vec![format!("{azure}:22"), format!("{azure}:80"), format!("{azure}.example.com:443")];
    for target in [
        "example.com:443",
        "93.184.215.14:443",
        "20.42.65.90:443",
        "[2603:1030::90]:443",
        "169.254.169.254:80",
        "169.254.169.254:443",
        "168.63.129.16:80",
        "10.20.0.1:9180",
        "10.20.0.1:443",
        "127.0.0.1:9180",
        "localhost:22",
    ] {
        targets.push(target.to_owned());
    }
    // Names of Azure's that lead where they should not: private, metadata, the gateway itself, loopback, NAT64's
    // forms, and a public address with a private one beside it.
    let answers: [&[&str]; 10] = [
        &["10.99.0.1"],
        &["169.254.169.254"],
        &["168.63.129.16"],
        &["10.20.0.1"],
        &["127.0.0.1"],
        &["20.1.0.2", "10.99.0.1"],
        &["fd00:ec2::254"],
        &["::ffff:169.254.169.254"],
        &["64:ff9b::a9fe:a9fe"],
        &["fe80::1"],
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let name = format!("{number:08x}-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com");
        let addresses = answer.iter().map(|text| text.parse().expect("an address")).collect();
        internet.dns.script(&name, [Reply::Addresses(addresses)]);
        targets.push(format!("{name}:443"));
    }
    for target in targets {
        let answer = connect(network, &target);
        assert!(answer.starts_with("HTTP/1.1 40"), "{target}: {answer}");
    }
    for line in ["GET http://93.184.215.14/", "GET http://169.254.169.254/metadata/instance", "GET /metrics"]
    {
        let answer = ask(network, &format!("{line} HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 40"), "{line}: {answer}");
    }
    // A name that changes its mind between two questions: each answer is judged, and the judged one dialled.
    let name = "ffffffff-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
    internet.dns.script(name, [Reply::address("20.42.65.90"), Reply::address("169.254.169.254")]);
    let answers = [connect(network, &format!("{name}:443")), connect(network, &format!("{name}:443"))];
    assert!(answers[0].contains(" 200 ") && answers[1].contains(" 403 "), "{answers:?}");
}

/// Returns the probes that come through from the DMZ's host as this user.
fn reached_as(network: &Network, user: u32, probes: &[&str]) -> Vec<String> {
    let try_all = || {
        if user != 0 {
            set_thread_uid(Uid::from_raw(user)).expect("root's right");
        }
        let comes = |address: &&&str| {
            let address = address.parse().expect("an address");
            TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok()
        };
        probes.iter().filter(comes).map(|address| (*address).to_owned()).collect()
    };
    network.enter("d", try_all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_data_comes_out_of_an_air_gapped_network_and_nothing_else_does_by_any_way() {
    let Some(network) = network() else { return };
    let internet = Internet::start(&network, "i", AZURE, "20.42.65.90", "9.9.9.9:53");
    let (beyond, beside) = traps(&network);
    let (config, all) = (config(), [&BEYOND[..], &BESIDE[..]].concat());
    let count = || {
        let _ = (beyond.caught(), beside.caught());
        count_strays(&network, "i", &["10.20.0.0/24", "fd20::/64"], &FORBIDDEN);
    };

    // The traps are no dummies: where the DMZ's host is a router, every probe gets through.
    let gateway = gateway(&network, "d", &config).await;
    count();
    network.forward("d", true);
    assert_eq!(reached(&network, "a", &all, true), all);
    assert!(!beyond.caught().is_empty() && !beside.caught().is_empty());
    assert!(network.counted("i", "trap", "air_gapped") > 0 && network.counted("i", "trap", "forbidden") > 0);

    // By the gateway's own policy alone, without a rule anywhere: a host that does not forward.
    network.forward("d", false);
    count();
    assert_eq!(reached(&network, "a", &BEYOND, false), [], "without forwarding");
    assert_the_gateway_leads_nowhere_else(&network, &internet);
    assert_eq!(beyond.caught(), [""; 0]);
    assert_no_strays(&network, "i", "by the gateway's policy alone");

    // As it is deployed: the generated rules on both sides.
    let sides = (dmz(&config), firewall(&config, &["--side", "agents"]));
    network.load("d", &sides.0);
    network.load("a", &sides.1);
    let home = internet.agent(&network.starter("a"), &[&format!("http://{PROXY}")]);
    let agent = Agent::start(&home).await;
    internet.deliver(&network, "a", &home, &agent, "one").await;
    assert_eq!(reached(&network, "a", &all, false), [], "with all rules");
    assert_the_gateway_leads_nowhere_else(&network, &internet);
    internet.deliver(&network, "a", &home, &agent, "two").await;
    assert!(network.counted("a", "la_gateway", "dropped_output") > 0);

    // Either side's rules alone hold even where the host forwards.
    network.forward("d", true);
    network.run("a", &["nft", "delete", "table", "inet", "la_gateway"], None);
    assert_eq!(reached(&network, "a", &all, false), [], "with the DMZ's rules alone");
    for counter in ["dropped_input", "dropped_forward"] {
        assert!(network.counted("d", "la_gateway", counter) > 0, "{counter}");
    }
    network.load("a", &sides.1);
    network.run("d", &["nft", "delete", "table", "inet", "la_gateway"], None);
    assert_eq!(reached(&network, "a", &all, false), [], "with the air-gapped side's rules alone");
    network.forward("d", false);
    network.load("d", &sides.0);
    internet.deliver(&network, "a", &home, &agent, "three").await;

    // And were the gateway taken over: its user gets to public addresses at port 443, and nobody else anywhere.
    let doors =
        ["20.42.65.90:443", "93.184.215.14:80", "169.254.169.254:80", "169.254.169.254:443", "10.99.0.1:443"];
    assert_eq!(reached_as(&network, USER, &doors), ["20.42.65.90:443"]);
    assert_eq!(reached_as(&network, 0, &doors), [""; 0]);
    assert!(network.counted("d", "la_gateway", "dropped_address") > 0);
    assert_eq!((beyond.caught(), beside.caught()), (vec![], vec![]));
    assert_no_strays(&network, "i", "as deployed");
    internet.azure.assert_no_problems();
    drop((agent, gateway));
}
