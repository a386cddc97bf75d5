//! The gateway is the only way: every packet an agent sends is counted by the kernel of a network of its own.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::installed;
use tokio::process::Command;

use crate::agent_stage::AgentStage;
use crate::agent_stage::BUNDLES;
use crate::agent_stage::By;

/// Sources that need no network; `{home}` is the agent's folder.
const SOURCES: &str = r#"
[source.syslog.local]
unix = ["log.sock"]
[source.files.app]
paths = ["{home}/app.log"]
table = "App_CL"
from = "beginning"
[source.heartbeat.default]
every = "1s"
"#;

/// A network namespace with one neighbour, which is gone when it is dropped.
pub(crate) struct Network {
    name: String,
    /// The address of the gateway, on this side.
    pub near: Ipv4Addr,
    /// The agent's.
    far: Ipv4Addr,
}

/// What the kernel has counted of a namespace since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    /// TCP connections that were begun.
    connections: u64,
    /// UDP datagrams, names' questions among them.
    datagrams: u64,
    /// Packets for which there was no way.
    strays: u64,
}

impl Network {
    /// Makes a namespace that knows no way but to its neighbour, or says `skipped: …`.
    pub(crate) async fn new() -> Option<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let [.., high, low] = process.to_be_bytes();
        let (near, far) =
            (Ipv4Addr::new(100, 64 + high % 64, low, 1), Ipv4Addr::new(100, 64 + high % 64, low, 2));
        let name = format!("al{process}-{number}");
        let (out, inner) = (format!("al{process}a{number}"), format!("al{process}b{number}"));
        if !ip(&format!("netns add {name}")).await {
            return None;
        }
        let network = Self { name: name.clone(), near, far };
        let steps = [
            format!("link add {out} type veth peer name {inner} netns {name}"),
            format!("addr add {near}/30 dev {out}"),
            format!("link set {out} up"),
            format!("-n {name} addr add {far}/30 dev {inner}"),
            format!("-n {name} link set {inner} up"),
            format!("-n {name} link set lo up"),
        ];
        for step in steps {
            if !ip(&step).await {
                return None;
            }
        }
        Some(network)
    }

    /// Reads the kernel's counters.
    async fn sent(&self) -> Sent {
        let files = "cat /proc/net/snmp /proc/net/snmp6";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "sh", "-c", files]);
        let output = installed::output(&mut command).await.expect("a namespace");
        let text = String::from_utf8(output.stdout).expect("a text");
        let count = |table: &str, counter: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(table)?.strip_prefix(": "));
            let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
            let at = names.split(' ').position(|name| name == counter).expect("a counter");
            values.split(' ').nth(at).and_then(|value| value.parse::<u64>().ok()).expect("a number")
        };
        let six = |counter: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(counter)).unwrap_or("0");
            line.trim().parse::<u64>().expect("a number")
        };
        Sent {
            connections: count("Tcp", "ActiveOpens"),
            datagrams: count("Udp", "OutDatagrams") + six("Udp6OutDatagrams"),
            strays: count("Ip", "OutNoRoutes") + six("Ip6OutNoRoutes"),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The pair of interfaces goes with it.
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Runs `ip`, or says `skipped: …` where it is missing or has no right.
async fn ip(arguments: &str) -> bool {
    let Some(output) = installed::output(Command::new("ip").args(arguments.split(' '))).await else {
        return false;
    };
    if !output.status.success() {
        println!("skipped: ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    output.status.success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_of_an_agent_goes_to_its_gateway_and_no_name_is_looked_up() {
    let Some(network) = Network::new().await else { return };
    let config = format!(
        "[[listener]]\naddress = \"{}:0\"\n[role.agents]\nanonymous_from = [\"{}/32\"]\n{BUNDLES}",
        network.near, network.far
    );
    let mut stage = AgentStage::with(By::ALL.len(), Config::new(&config)).await;
    stage.home.start_by(&["ip", "netns", "exec", &network.name]);
    let home = stage.home.path().display().to_string();
    stage.configure(&By::ALL, &SOURCES.replace("{home}", &home));
    stage.home.write("app.log", "a line for the blob\n");
    // Onboarding, tokens, blobs and data: everything there is.
    stage.onboard(0).await;
    let agent = Agent::start(&stage.home).await;
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"<13>app: a message", agent.unix()).expect("a datagram sent");
    for (number, by) in By::ALL.into_iter().enumerate() {
        stage.wait_for_messages(number, &by.table("Syslog"), &["a message"]).await;
        stage.wait_for_messages(number, "App_CL", &["a line for the blob"]).await;
        stage.fake.wait_for_rows(stage.id(number), &by.table("Heartbeat"), 1).await;
    }
    stage.assert_all_is_well().await;
    let doctor = stage.home.command(&["doctor"]).await;
    assert_eq!(doctor.exit, 0, "{}", doctor.stdout);
    drop(agent);
    let sent = network.sent().await;
    let records = stage.gateway.log().wait_for("a record of every connection", |_| {
        let records = stage.gateway.access_records();
        (records.len() as u64 >= sent.connections).then_some(records)
    });
    let records = records.await.len() as u64;
    assert_eq!(sent, Sent { connections: records, datagrams: 0, strays: 0 });
    assert!(sent.connections >= 6, "{sent:?}");
    // The counters count: a gateway's own name is the only one that an agent ever looks up.
    let port = stage.gateway.proxy().port();
    stage.configure_through(&[format!("http://gateway.example:{port}")], "", &[By::Secret], "");
    assert_eq!(stage.home.command(&["doctor"]).await.exit, 1);
    let after = network.sent().await;
    assert!(after.datagrams + after.strays > 0, "{after:?}");
}
