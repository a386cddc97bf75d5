//! High availability without Kubernetes: two hosts with HAProxy and keepalived as `deploy/` has them, one address. It moves
//! when HAProxy dies and when a host is cut off, and agents go on.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use end_to_end::agent::Agent;
use end_to_end::config::Config;
use end_to_end::installed;
use end_to_end::patience::patiently;
use tokio::process::Child;
use tokio::process::Command;

use crate::balancer::Balancer;
use crate::stage::Internet;
use crate::stage::gateway;
use end_to_end::network::Network;

const AGENTS_GO_TO: &str = "10.20.0.10";

fn sample() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/keepalived/keepalived.conf");
    std::fs::read_to_string(file).expect("the sample")
}

/// Returns what the sample says is different on the second host.
fn second(sample: &str) -> String {
    let changed = sample
        .replace("priority 150", "priority 120")
        .replace("unicast_src_ip 10.20.0.8", "unicast_src_ip own")
        .replace("10.20.0.9\n", "10.20.0.8\n")
        .replace("unicast_src_ip own", "unicast_src_ip 10.20.0.9");
    assert_ne!(changed, sample);
    changed
}

fn keepalived(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(&words[1..]);
    command
}

/// keepalived at its host. It ends in order when it is stopped: killed, it would leave the address where it is.
struct Keepalived {
    folder: tempfile::TempDir,
    child: Child,
}

impl Keepalived {
    fn start(network: &Network, host: &str, config: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("keepalived.conf");
        std::fs::write(&file, config).expect("a file of our own");
        let mut words = network.starter(host);
        words.extend(["keepalived", "--dont-fork", "--log-console", "--vrrp"].map(str::to_owned));
        for (option, name) in [("--pid", "pid"), ("--vrrp_pid", "vrrp.pid")] {
            words.push(format!("{option}={}", folder.path().join(name).display()));
        }
        words.push(format!("--use-file={}", file.display()));
        let log = std::fs::File::create(folder.path().join("log")).expect("a file of our own");
        let mut command = keepalived(&words);
        command.stdout(Stdio::null()).stderr(log);
        Some(Self { child: installed::start(&mut command)?, folder })
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        let _ = self.child.start_kill();
    }
}

fn network() -> Option<Network> {
    let network = Network::new(&["a", "s", "b1", "b2", "one", "two", "i"])?;
    network.ip(
        "s",
        &["link add agents type bridge", "link set agents up", "link add dmz type bridge", "link set dmz up"],
    );
    let plug = |host: &'static str, interface: &str, own: &str, bridge: &str| {
        let port = format!("{host}-{bridge}");
        network.link((host, interface, &[own]), ("s", &port, &[]));
        network.ip("s", &[&format!("link set {port} master {bridge}")]);
    };
    plug("a", "eth0", "10.20.0.2/24", "agents");
    for (host, number) in [("b1", 8), ("b2", 9)] {
        plug(host, "eth0", &format!("10.20.0.{number}/24"), "agents");
        plug(host, "dmz", &format!("10.9.0.{number}/24"), "dmz");
        network.enter(host, || std::fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1")).expect("our own");
    }
    network.addresses("i", &["20.42.65.90", "9.9.9.9"]);
    for (host, number) in [("one", 1), ("two", 2)] {
        plug(host, "inner", &format!("10.9.0.1{number}/24"), "dmz");
        let (outer, far) = (format!("20.1.{number}.2/24"), format!("20.1.{number}.1/24"));
        network.link((host, "outer", &[&outer]), ("i", host, &[&far]));
        network.ip(host, &[&format!("route add default via 20.1.{number}.1")]);
    }
    Some(network)
}

fn config(own: &str) -> Config {
    let balancers = "[\"10.9.0.8/32\", \"10.9.0.9/32\"]";
    Config::new(&format!(
        "[[listener]]\naddress = \"{own}:8080\"\nproxy_protocol = {{ trusted = {balancers}, required = true }}\n\
         [admin]\naddress = \"{own}:9180\"\nfrom = {balancers}\nopen = [\"health\"]\n\
         [dns]\nservers = [\"9.9.9.9\"]\n[addresses]\nallow = []\n[tunnel]\ndrain = \"1s\"\n\
         [role.agents]\nanonymous_from = [\"10.20.0.0/24\"]\nbundles = [\"log-analytics\", \"logs-ingestion\"]\n"
    ))
}

/// Waits until the address of the agents is at one host and not at the other.
async fn moves(network: &Network, here: &str, not_here: Option<&str>) {
    let holds = |host: &str| {
        network.run(host, &["ip", "-4", "addr", "show", "dev", "eth0"], None).contains(AGENTS_GO_TO)
    };
    patiently(&format!("{AGENTS_GO_TO} is at {here}"), async {
        while !holds(here) || not_here.is_some_and(holds) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_keepalived_sample_is_taken_by_its_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("keepalived.conf");
    for text in [sample(), second(&sample())] {
        // As another user the check of keepalived 2.2 ends itself by a signal when it has looked at the script.
        std::fs::write(&file, text.replace("script_user nobody", "script_user root"))
            .expect("a file of our own");
        let words =
            ["keepalived".to_owned(), "--config-test".to_owned(), format!("--use-file={}", file.display())];
        let Some(output) = installed::output(&mut keepalived(&words)).await else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_the_agents_moves_when_a_balancer_dies_or_is_cut_off_and_they_go_on() {
    let Some(network) = network() else { return };
    let internet = Internet::start(&network, "i", "20.42.65.90:443", "20.42.65.90", "9.9.9.9:53");
    let _one = gateway(&network, "one", &config("10.9.0.11")).await;
    let _two = gateway(&network, "two", &config("10.9.0.12")).await;
    let mut first = Balancer::start(&network, "b1");
    let other = Balancer::start(&network, "b2");
    for balancer in [&first, &other] {
        balancer.sees("one", "UP").await;
        balancer.sees("two", "UP").await;
    }
    let Some(_keeper) = Keepalived::start(&network, "b1", &sample()) else { return };
    let _other_keeper = Keepalived::start(&network, "b2", &second(&sample()));
    moves(&network, "b1", Some("b2")).await;

    let home = internet.agent(&network.starter("a"), &[&format!("http://{AGENTS_GO_TO}:8080")]);
    let agent = Agent::start(&home).await;
    internet.deliver(&network, "a", &home, &agent, "all is well").await;

    first.kill().await;
    moves(&network, "b2", Some("b1")).await;
    internet.deliver(&network, "a", &home, &agent, "after HAProxy died").await;

    first = Balancer::start(&network, "b1");
    first.sees("one", "UP").await;
    moves(&network, "b1", Some("b2")).await;
    internet.deliver(&network, "a", &home, &agent, "when it was back").await;

    // The host is gone: nobody hears it any more, and it does not know.
    network.ip("s", &["link set b1-agents down"]);
    moves(&network, "b2", None).await;
    internet.deliver(&network, "a", &home, &agent, "after the host was cut off").await;
}
