//! Recovery: after an outage everybody comes back at once, in turn, and nobody is forgotten.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::origin;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

use crate::relays::ESTABLISHED;
use crate::stage::ANYONE;
use crate::stage::assert_refusal;
use crate::stage::workspace;

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The number of a workspace for which the relay never answers.
const DEAF: usize = 99;

/// A relay that answers when the test lets it, and knows in which order it was asked.
struct Uplink {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Uplink {
    async fn start(azure: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound address");
        let (asked, answers) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Semaphore::new(0)));
        let (seen, permits) = (Arc::clone(&asked), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, azure, Arc::clone(&seen), Arc::clone(&permits)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, asked, answers, task }
    }

    /// Returns the configuration of a gateway that goes through here. `limits` are those of set-ups.
    fn config(&self, limits: &str) -> Config {
        let relay = format!("[relay]\nproxies = [\"http://{}\"]\n", self.address);
        let limits = format!("[limits]\nconnects_per_second = 10000\nburst = 10000\n{limits}");
        Config::new(&format!("{ANYONE}{relay}{limits}[tunnel]\nconnect = \"60s\"\nhello = \"60s\"\n"))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic under the lock").clone()
    }

    async fn wait_until_asked(&self, times: usize) {
        patiently(&format!("the uplink is asked {times} times"), async {
            while self.asked().len() < times {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        assert_eq!(self.asked().len(), times, "{:?}", self.asked());
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    azure: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Semaphore>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(read) if read > 0) {
            return;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let host = text.split(' ').nth(1).and_then(|target| target.split(':').next()).expect("a target");
    asked.lock().expect("no panic under the lock").push(host.to_owned());
    if host == workspace(DEAF) {
        let _ = stream.read(&mut [0]).await;
        return;
    }
    answers.acquire().await.expect("never closed").forget();
    let _ = stream.write_all(ESTABLISHED).await;
    let Ok(mut far) = TcpStream::connect(azure).await else { return };
    let _ = copy_bidirectional(&mut stream, &mut far).await;
}

/// Everything that takes part.
struct Site {
    pki: Pki,
    _azure: FakeAzure,
    uplink: Uplink,
    gateway: Gateway,
}

impl Site {
    async fn new(hosts: &[String], limits: &str) -> Self {
        let pki = Pki::new();
        let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let azure = FakeAzure::start(&pki, &names).await;
        let uplink = Uplink::start(azure.address()).await;
        let gateway = Gateway::start(&uplink.config(limits)).await;
        Self { pki, _azure: azure, uplink, gateway }
    }

    /// Sends a CONNECT from a client of this number, and does not wait for its answer.
    async fn ask(&self, client: u8, host: &str) -> RawClient {
        let mut asking =
            RawClient::connect_from(IpAddr::from([127, 0, 1, client]), self.gateway.proxy()).await;
        asking.send(&connect_request(&format!("{host}:443"), &[])).await;
        asking
    }

    async fn wait_until_waiting(&self, count: usize) {
        self.gateway.wait_for_metric("la_gateway_setups_waiting", &[("urgency", "bulk")], count as f64).await;
    }

    /// Uses a tunnel in earnest, to its end.
    async fn exchange(&self, tunnel: Tunnel, host: &str) {
        let mut stream = tunnel.tls(host, self.pki.client_config()).await;
        let answer = wire::exchange(&mut stream, "GET /bytes/1000", &[("Host", host)], b"").await;
        assert_eq!((answer.head.status, answer.body.len()), (200, 1000));
        stream.shutdown().await.expect("an orderly end");
    }

    async fn assert_nothing_is_left(&self) {
        let gateway = &self.gateway;
        for gauge in
            ["setups_in_progress", "tunnels_active", "active_client_connections", "connected_clients"]
        {
            gateway.wait_for_metric(&format!("la_gateway_{gauge}"), &[], 0.0).await;
        }
        for urgency in ["control", "bulk"] {
            gateway.wait_for_metric("la_gateway_setups_waiting", &[("urgency", urgency)], 0.0).await;
        }
    }
}

fn onboarding(number: usize) -> String {
    workspace(number).replace(".ods.", ".oms.")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_come_back_at_once_are_served_client_by_client_and_control_first() {
    const GREEDY: usize = 12;
    let clients: Vec<u8> = (10..15).collect();
    let control: Vec<String> = (20..24).map(onboarding).collect();
    let hosts: Vec<String> = (1..30).map(workspace).chain(control.iter().cloned()).collect();
    let site = Site::new(&hosts, "setups = 2\nsetups_waiting = 100\nsetup_wait = \"5m\"\n").await;
    let series = site.gateway.metrics().await;
    let mut asking = Vec::new();
    for _ in 0..2 {
        asking.push((workspace(1), site.ask(1, &workspace(1)).await));
    }
    site.uplink.wait_until_asked(2).await;
    for _ in 0..GREEDY {
        asking.push((workspace(2), site.ask(2, &workspace(2)).await));
    }
    site.wait_until_waiting(GREEDY).await;
    for client in &clients {
        let host = workspace(usize::from(*client));
        asking.push((host.clone(), site.ask(*client, &host).await));
    }
    site.wait_until_waiting(GREEDY + clients.len()).await;
    for (number, host) in control.iter().enumerate() {
        asking.push((host.clone(), site.ask(30 + number as u8, host).await));
    }
    let control_waits = [("urgency", "control")];
    site.gateway.wait_for_metric("la_gateway_setups_waiting", &control_waits, control.len() as f64).await;
    assert_eq!(site.gateway.metric("la_gateway_setups_in_progress", &[]).await, 2.0);
    for turn in 2..asking.len() {
        site.uplink.answers.add_permits(1);
        site.uplink.wait_until_asked(turn + 1).await;
    }
    site.uplink.answers.add_permits(2);

    let order: Vec<String> = site.uplink.asked().split_off(2);
    let is_control: Vec<bool> = order.iter().map(|host| control.contains(host)).collect();
    assert_eq!(is_control[..6], [true, true, true, false, true, false], "{order:?}");
    let bulk: Vec<&String> = order.iter().filter(|host| !control.contains(host)).collect();
    let first_round: BTreeSet<&&String> = bulk[..clients.len() + 1].iter().collect();
    assert_eq!(first_round.len(), clients.len() + 1, "each client has one turn before any has two: {bulk:?}");
    let mut served: BTreeMap<&str, usize> = BTreeMap::new();
    order.iter().for_each(|host| *served.entry(host).or_default() += 1);
    assert_eq!((served[workspace(2).as_str()], served.len()), (GREEDY, 1 + clients.len() + control.len()));

    for (host, client) in asking {
        site.exchange(client.tunnel().await, &host).await;
    }
    site.assert_nothing_is_left().await;
    assert_eq!(site.gateway.metrics().await.series(), series.series());
    let waited = GREEDY + clients.len() + control.len();
    assert_eq!(site.gateway.metric("la_gateway_setup_wait_seconds_count", &[]).await, waited as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_waiting_room_it_is_503_with_a_time_to_come_again_and_all_succeed_by_it() {
    const CLIENTS: u8 = 40;
    let hosts: Vec<String> = (0..usize::from(CLIENTS)).map(workspace).collect();
    let limits = "setups = 1\nsetups_waiting = 8\nsetup_wait = \"500ms\"\n";
    let site = Arc::new(Site::new(&hosts, limits).await);
    let first = site.ask(0, &hosts[0]).await;
    site.uplink.wait_until_asked(1).await;
    let mut asking = Vec::new();
    for (client, host) in (1..CLIENTS).zip(&hosts[1..]) {
        asking.push((client, host, site.ask(client, host).await));
    }
    let mut again = Vec::new();
    for (client, host, asked) in asking {
        let own = asked.address();
        let Err(answer) = asked.verdict().await else { panic!("nothing answers upstream") };
        let id = assert_refusal(&answer, 503);
        let wait: u64 = answer.head.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=2).contains(&wait), "{wait}");
        let record = site.gateway.only_record_of(own).await;
        record.assert_texts(&[
            ("reason", "setup_busy"),
            ("request_id", &id),
            ("fault", "gateway"),
            ("host", host),
        ]);
        assert_eq!(record.number("event_id"), 148);
        again.push((client, host, Duration::from_secs(wait)));
    }
    let refused = site.gateway.metric("la_gateway_refusals_total", &[("reason", "setup_busy")]).await;
    assert_eq!(refused, f64::from(CLIENTS - 1));
    site.uplink.answers.add_permits(10_000);
    site.exchange(first.tunnel().await, &hosts[0]).await;
    let mut coming_back = JoinSet::new();
    for (client, host, wait) in again {
        coming_back.spawn(come_again(Arc::clone(&site), client, host.clone(), wait));
    }
    patiently("all clients are served", coming_back.join_all()).await;
    site.assert_nothing_is_left().await;
}

/// Asks again when it was told to, until it is served.
async fn come_again(site: Arc<Site>, client: u8, host: String, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        let answer = match site.ask(client, &host).await.verdict().await {
            Ok(tunnel) => return site.exchange(tunnel, &host).await,
            Err(answer) => answer,
        };
        assert_refusal(&answer, 503);
        let told = answer.head.header("retry-after").expect("a time to come again");
        wait = Duration::from_secs(told.parse().expect("seconds"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_while_it_waits_leaves_its_place_to_another() {
    let hosts: Vec<String> = (0..3).map(workspace).collect();
    let site = Site::new(&hosts, "setups = 1\nsetups_waiting = 1\nsetup_wait = \"5m\"\n").await;
    let first = site.ask(1, &hosts[0]).await;
    site.uplink.wait_until_asked(1).await;
    for way in ["closes", "resets", "closes behind bytes", "closes its half"] {
        let mut client = site.ask(2, &hosts[1]).await;
        site.wait_until_waiting(1).await;
        let full = site.ask(3, &hosts[2]).await.verdict().await.err().expect("there is no place");
        assert_refusal(&full, 503);
        match way {
            "closes" => drop(client),
            "resets" => origin::reset(client.into_stream()),
            "closes behind bytes" => {
                client.send(b"\x16\x03\x01 the beginning of a hello").await;
                drop(client);
            }
            _ => client.finish().await,
        }
        site.wait_until_waiting(0).await;
    }
    let last = site.ask(3, &hosts[2]).await;
    site.wait_until_waiting(1).await;
    site.uplink.answers.add_permits(10);
    site.exchange(first.tunnel().await, &hosts[0]).await;
    site.exchange(last.tunnel().await, &hosts[2]).await;
    assert_eq!(site.uplink.asked(), [hosts[0].clone(), hosts[2].clone()], "who went away asked nobody");
    assert_eq!(site.gateway.metric("la_gateway_setups_abandoned_total", &[]).await, 4.0);
    site.assert_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_destination_answers_nobody_holds_no_more_set_ups_than_its_share() {
    let host = workspace(1);
    let limits = "setups = 4\nsetups_per_client = 2\nsetups_waiting = 100\nsetup_wait = \"5m\"\n";
    let site = Site::new(std::slice::from_ref(&host), limits).await;
    let mut stuck = Vec::new();
    for _ in 0..6 {
        stuck.push(site.ask(1, &workspace(DEAF)).await);
    }
    site.wait_until_waiting(4).await;
    site.uplink.wait_until_asked(2).await;
    site.uplink.answers.add_permits(100);
    for client in 2..8 {
        let tunnel = site.ask(client, &host).await.tunnel().await;
        site.exchange(tunnel, &host).await;
    }
    assert_eq!(site.gateway.metric("la_gateway_setups_in_progress", &[]).await, 2.0);
    site.wait_until_waiting(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_greater_numbers_lets_those_that_wait_begin() {
    let hosts: Vec<String> = (0..3).map(workspace).collect();
    let waiting = "setups_waiting = 10\nsetup_wait = \"5m\"\n";
    let site = Site::new(&hosts, &format!("setups = 1\n{waiting}")).await;
    let mut asking = Vec::new();
    for (client, host) in (1..).zip(&hosts) {
        asking.push((host, site.ask(client, host).await));
    }
    site.wait_until_waiting(2).await;
    site.gateway.reload(&site.uplink.config(&format!("setups = 3\n{waiting}")), "applied").await;
    site.uplink.wait_until_asked(3).await;
    site.uplink.answers.add_permits(3);
    for (host, client) in asking {
        site.exchange(client.tunnel().await, host).await;
    }
    site.assert_nothing_is_left().await;
}
