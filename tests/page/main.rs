//! The status page in a real browser, before a real gateway with real traffic: every state it can show.

// A browser that cannot go on must say so loudly: panics and prints are its reports.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod browser;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use browser::Browser;
use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::wire;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

const GOOD: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
const KEPT: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.oms.opinsights.azure.com";
/// Clients that come for the crowd.
const CROWD: u32 = 5000;
/// Of those at once.
const AT_ONCE: usize = 32;
const VERDICT: &str = "#verdict-text";

/// Short times, so that clients become silent and canaries fall soon.
fn config(admin: SocketAddr, azure: &FakeAzure, kept: &FakeAzure) -> Config {
    Config::new(&format!(
        "[admin]\naddress = \"{admin}\"\n\
         [readiness]\ncanaries = [\"{GOOD}\", \"{KEPT}\"]\ninterval = \"1s\"\nfailures = 1\n\
         [fleet]\nsilent_after = \"3s\"\n\
         [limits]\nconnects_per_second = 10000\nburst = 10000\nrequests_per_second_per_address = 10000\n\
         request_burst_per_address = 10000\nhead_timeout = \"20s\"\n\
         [role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nbundles = [\"log-analytics\"]\n"
    ))
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

/// An agent that sends records for as long as this lives.
fn agent(gateway: &Gateway, pki: &Pki, number: u8) -> JoinHandle<()> {
    let (proxy, tls) = (gateway.proxy(), pki.client_config());
    tokio::spawn(async move {
        let mut client = RawClient::connect_from(IpAddr::from([127, 0, 9, number]), proxy).await;
        client.send(&connect_request(&format!("{GOOD}:443"), &[])).await;
        let mut stream = client.tunnel().await.tls(GOOD, tls).await;
        let content = Content::new(number.into(), 20_000 + 4_000 * u64::from(number)).all();
        loop {
            wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &content).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
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

/// Holds the page against axe-core, in light and dark, wide and narrow, and takes its pictures.
async fn inspect(browser: &mut Browser, axe: &str, state: &str) {
    for (width, height, scheme) in [(390, 844, "light"), (1280, 960, "dark"), (1280, 960, "light")] {
        browser.look(width, height, scheme).await;
        browser.picture(&pictures().join(format!("{state}-{width}-{scheme}.png"))).await;
        let beyond = browser.evaluate("document.documentElement.scrollWidth - innerWidth").await;
        assert!(beyond.as_i64().expect("a number") <= 0, "{state}: {width} wide is not enough");
        browser.evaluate(&format!("{axe}; 0")).await;
        let found = browser
            .evaluate(
                "axe.run().then((found) => found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))\
                 .map((one) => one.id + ': ' + one.nodes.map((node) => node.html).join(' ')))",
            )
            .await;
        assert_eq!(found, Value::Array(Vec::new()), "{state}, {width} {scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_of_the_gateway_is_shown() {
    let Some(axe) = std::env::var("AXE_CORE").ok().and_then(|file| std::fs::read_to_string(file).ok()) else {
        println!("skipped: AXE_CORE names no file with axe-core");
        return;
    };
    let Some(mut browser) = Browser::start().await else { return };
    let (pki, admin) = (Pki::new(), lonely());
    let (azure, kept) = (FakeAzure::start(&pki, &[GOOD]).await, FakeAzure::start(&pki, &[KEPT]).await);
    let config = config(admin, &azure, &kept);
    let mut gateway = Gateway::start(&config).await;
    let page = format!("http://{admin}/");
    browser.look(1280, 960, "light").await;
    browser.open(&page).await;

    // Empty.
    browser.wait_for_text(VERDICT, "Ready: no client has come yet").await;
    browser.wait_for_text("#no-clients", "No client has come yet").await;
    browser.wait_for_text("#no-refusals", "Nothing was refused").await;
    browser.wait_for("document.querySelectorAll('#canaries [data-state=up]').length === 2").await;
    inspect(&mut browser, &axe, "empty").await;

    // Busy.
    let agents: Vec<_> = (1..=12).map(|number| agent(&gateway, &pki, number)).collect();
    browser.wait_for_text(VERDICT, "Traffic is flowing").await;
    browser.wait_for_text("#rate-tunnels", "12").await;
    browser.wait_for("document.querySelectorAll('#clients [data-state=talking]').length === 12").await;
    browser.wait_for("document.querySelector('#chart-up .stroke').getAttribute('d').includes('L')").await;
    browser.wait_for("Number.parseFloat(document.querySelector('#rate-up').innerText) > 0").await;

    // Refused, by reason, with the command that says why. Hostile text stays text.
    for host in ["packages.example.com", "evil.example.com", "packages.example.com"] {
        refused(gateway.proxy(), IpAddr::from([127, 0, 9, 77]), host).await;
    }
    browser.wait_for_text("#refusals code", "host_denied").await;
    browser
        .wait_for_text("#refusals .copy code", " explain packages.example.com:443 --from 127.0.9.77")
        .await;
    inspect(&mut browser, &axe, "busy").await;
    if let Some(docs) = std::env::var_os("PAGE_PICTURES") {
        // A picture that shows a history needs one.
        for samples in [5, 9, 13] {
            browser
                .wait_for(&format!(
                    "Number(document.querySelector('#chart-up').dataset.samples) >= {samples}"
                ))
                .await;
        }
        browser.picture(&PathBuf::from(docs).join("status-page.png")).await;
    }
    browser.click("[data-filter=refused]").await;
    browser.wait_for_text("#page-range", "1 to 1 of 1").await;
    browser.wait_for_text("#clients td", "host_denied").await;

    // Silent: those that were heard of regularly end.
    agents.iter().for_each(JoinHandle::abort);
    browser.click("[data-filter=silent]").await;
    browser.wait_for("document.querySelectorAll('#clients [data-state=silent]').length === 12").await;
    inspect(&mut browser, &axe, "silent").await;

    // Five thousand: bounded rows, pages, search.
    crowd(gateway.proxy()).await;
    browser.click("[data-filter=all]").await;
    browser.wait_for("Number(document.querySelector('#count-all').innerText.replace(',', '')) > 4900").await;
    browser.wait_for("document.querySelectorAll('#clients tbody tr').length === 25").await;
    browser.click("#page-next").await;
    browser.wait_for_text("#page-range", "26 to 50 of ").await;
    browser
        .evaluate("const search = document.querySelector('#search'); search.value = '127.0.9.7'; search.dispatchEvent(new Event('input'))")
        .await;
    // 127.0.9.7 and 127.0.9.77.
    browser.wait_for_text("#page-range", "1 to 2 of 2").await;
    inspect(&mut browser, &axe, "crowd").await;
    browser.evaluate("search.value = ''; search.dispatchEvent(new Event('input'))").await;

    // A configuration that is wrong is told, and the one before stays in force.
    let right = std::fs::read_to_string(gateway.folder().join("gateway.toml")).expect("a configuration");
    std::fs::write(gateway.folder().join("gateway.toml"), format!("{right}\n[tunnels]\n")).expect("written");
    browser.wait_for_text("#problems", "tunnels").await;
    std::fs::write(gateway.folder().join("gateway.toml"), &right).expect("written");
    browser.wait_for("document.querySelector('#problems').hidden").await;

    // A canary is down; what is open stays.
    let mut client = RawClient::connect(gateway.proxy()).await;
    client.send(&connect_request(&format!("{KEPT}:443"), &[])).await;
    let open = client.tunnel().await.tls(KEPT, pki.client_config()).await;
    drop(azure);
    browser.wait_for_text(VERDICT, "Cannot be reached: Ingestion").await;
    browser.wait_for_text("#canaries [data-state=down]", "Ingestion").await;
    inspect(&mut browser, &axe, "canary-down").await;

    // Draining.
    gateway.terminate();
    browser.wait_for_text(VERDICT, "Draining: 1 tunnel left").await;
    browser.wait_for_text("#drain", "No new connections are accepted").await;
    inspect(&mut browser, &axe, "draining").await;
    assert_eq!(browser.complaints(&page), Vec::<String>::new());

    // Gone, and back.
    drop(open);
    let _ = gateway.exit_status().await;
    browser.wait_for_text(VERDICT, "The gateway does not answer").await;
    browser.wait_for_text("#gone", "Trying again until it is back").await;
    inspect(&mut browser, &axe, "gone").await;
    let _again = patiently("the gateway is back", Gateway::start(&config)).await;
    browser.wait_for_text(VERDICT, "Cannot be reached: Ingestion").await;
    browser.wait_for("document.querySelector('#gone').hidden").await;
    browser.wait_for_text("#no-clients", "No client has come yet").await;
    // That nobody answered is the browser's complaint, and the only kind.
    let others = browser.complaints(&page);
    let others: Vec<_> = others.iter().filter(|text| !text.contains("net::ERR_")).collect();
    assert!(others.is_empty(), "{others:?}");
}
