//! The status page in a real browser, before a real gateway with real traffic: every state it can show.

// A browser that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod browser;
mod scene;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::gateway::Gateway;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use scene::Scene;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

const GOOD: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
const KEPT: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.oms.opinsights.azure.com";
/// Clients that come for the crowd.
const CROWD: u32 = 5000;
/// Of those at once.
const AT_ONCE: usize = 32;
/// Machines that send, each a user of its own.
const MACHINES: [&str; 12] = [
    "app-01", "app-02", "build-01", "db-01", "db-02", "dc-01", "dc-02", "files-01", "mail-01", "print-01",
    "web-01", "web-02",
];
const PASSWORD: &str = "secret";

/// Short times, so that clients become silent and canaries fall soon.
fn config(admin: SocketAddr, azure: &FakeAzure, kept: &FakeAzure) -> Config {
    Config::new(&format!(
        "[admin]\naddress = \"{admin}\"\n\
         [readiness]\ncanaries = [\"{GOOD}\", \"{KEPT}\"]\ninterval = \"1s\"\nfailures = 1\n\
         [fleet]\nsilent_after = \"3s\"\n\
         [limits]\nconnects_per_second = 10000\nburst = 10000\nrequests_per_second_per_address = 10000\n\
         request_burst_per_address = 10000\nhead_timeout = \"20s\"\n\
         [role.agents]\nusers_file = \"agents.users\"\nanonymous_from = [\"127.0.0.0/8\"]\n\
         bundles = [\"log-analytics\"]\n"
    ))
    .file("agents.users", &users_file(&MACHINES.map(|name| (name, PASSWORD))))
    .hosts(&[GOOD], azure.address())
    .hosts(&[KEPT], kept.address())
}

/// Returns an address that no other run uses: a gateway must come back to where it was.
fn lonely() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::new(Ipv4Addr::new(127, high.max(1), low, 200).into(), 19180)
}

fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}

/// An agent that sends records for as long as this lives, now more and now less.
fn agent(gateway: &Gateway, pki: &Pki, number: u8, user: &str) -> JoinHandle<()> {
    let (proxy, tls, password) = (gateway.proxy(), pki.client_config(), basic(user, PASSWORD));
    tokio::spawn(async move {
        let mut client = RawClient::connect_from(IpAddr::from([127, 0, 9, number]), proxy).await;
        let headers = [("Proxy-Authorization", password.as_str())];
        client.send(&connect_request(&format!("{GOOD}:443"), &headers)).await;
        let mut stream = client.tunnel().await.tls(GOOD, tls).await;
        let content = Content::new(number.into(), 20_000 + 4_000 * u64::from(number)).all();
        for turn in 0_u64.. {
            wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &content).await;
            tokio::time::sleep(Duration::from_millis(80 + 40 * (turn / 96 % 3))).await;
        }
    })
}

async fn refused(proxy: SocketAddr, source: IpAddr, host: &str) {
    let mut client = RawClient::connect_from(source, proxy).await;
    client.send(&connect_request(&format!("{host}:443"), &[])).await;
    assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
}

/// Many clients, each from its own address, that are refused.
async fn crowd(proxy: SocketAddr) {
    let mut tasks = JoinSet::new();
    for number in 0..CROWD {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.expect("a task").expect("a refusal");
        }
        let [.., high, low] = number.to_be_bytes();
        let source = IpAddr::from([127, 20, high, low.max(1)]);
        tasks.spawn(async move { refused(proxy, source, "crowd.example.com").await });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a refusal");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_of_the_gateway_is_shown() {
    let Some(mut scene) = Scene::open().await else { return };
    scene.is_empty().await;
    let agents = scene.becomes_busy().await;
    scene.refuses().await;
    scene.is_pictured().await;
    agents.iter().for_each(JoinHandle::abort);
    scene.hears_nothing_more(agents.len()).await;
    scene.is_crowded().await;
    scene.is_written_wrongly().await;
    let open = scene.loses_a_canary().await;
    scene.drains().await;
    drop(open);
    scene.goes_and_comes_back().await;
}
