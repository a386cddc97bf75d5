//! One gateway and one browser before it, through every state.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::GOOD;
use crate::KEPT;
use crate::MACHINES;
use crate::agent;
use crate::browser::Browser;
use crate::config;
use crate::crowd;
use crate::lonely;
use crate::pictures;
use crate::refused;

const VERDICT: &str = "#verdict-text";
/// What types a text into the search field.
const SEARCH: &str = "{ const search = document.querySelector('#search'); search.value = 'TEXT';\
     search.dispatchEvent(new Event('input')) }";

/// See above. Each method brings a state about, and waits until the page shows it.
pub(crate) struct Scene {
    browser: Browser,
    axe: String,
    page: String,
    pki: Pki,
    config: Config,
    gateway: Gateway,
    azure: Option<FakeAzure>,
    _kept: FakeAzure,
}

impl Scene {
    /// Opens the page, or says `skipped: …`.
    pub(crate) async fn open() -> Option<Self> {
        let named = std::env::var("AXE_CORE").ok();
        let Some(axe) = named.and_then(|file| std::fs::read_to_string(file).ok()) else {
            println!("skipped: AXE_CORE names no file with axe-core");
            return None;
        };
        let mut browser = Browser::start().await?;
        let (pki, admin) = (Pki::new(), lonely());
        let (azure, kept) = (FakeAzure::start(&pki, &[GOOD]).await, FakeAzure::start(&pki, &[KEPT]).await);
        let config = config(admin, &azure, &kept);
        let gateway = Gateway::start_here(&config).await;
        let page = format!("http://{admin}/");
        browser.look(1280, 960, "light").await;
        browser.open(&page).await;
        Some(Self { browser, axe, page, pki, config, gateway, azure: Some(azure), _kept: kept })
    }

    fn proxy(&self) -> SocketAddr {
        self.gateway.proxy()
    }

    pub(crate) async fn is_empty(&mut self) {
        let browser = &mut self.browser;
        browser.wait_for_text(VERDICT, "Ready: no client has come yet").await;
        browser.wait_for_text("#no-clients", "No client has come yet").await;
        browser.wait_for_text("#no-refusals", "Nothing was refused").await;
        browser.wait_for("document.querySelectorAll('#canaries [data-state=up]').length === 2").await;
        self.inspect("empty").await;
    }

    pub(crate) async fn becomes_busy(&mut self) -> Vec<JoinHandle<()>> {
        let started = (1..).zip(MACHINES).map(|(number, user)| agent(&self.gateway, &self.pki, number, user));
        let agents: Vec<_> = started.collect();
        let browser = &mut self.browser;
        browser.wait_for_text(VERDICT, "Traffic is flowing").await;
        browser.wait_for_text("#rate-tunnels", "12").await;
        browser.wait_for("document.querySelectorAll('#clients [data-state=talking]').length === 12").await;
        browser.wait_for("document.querySelector('#chart-up .stroke').getAttribute('d').includes('L')").await;
        browser.wait_for("Number.parseFloat(document.querySelector('#rate-up').innerText) > 0").await;
        browser.wait_for_text("#limits li:nth-child(2)", "Tunnels").await;
        browser.wait_for_text("#limits li:nth-child(2)", "12 of 10,000").await;
        for told in ["gateway.toml", "12 users", concat!("version ", env!("CARGO_PKG_VERSION"))] {
            browser.wait_for_text("#config dd, #version", told).await;
        }
        agents
    }

    /// By reason, with the command that says why.
    pub(crate) async fn refuses(&mut self) {
        for host in ["packages.example.com", "evil.example.com", "packages.example.com"] {
            refused(self.proxy(), IpAddr::from([127, 0, 9, 77]), host).await;
        }
        let command = "la-gateway --config gateway.toml explain packages.example.com:443 --from 127.0.9.77";
        self.browser.wait_for_text("#refusals code", "host_denied").await;
        self.browser.wait_for_text("#refusals .copy code", command).await;
        self.inspect("busy").await;
    }

    /// Makes the README's picture, where one is asked for.
    pub(crate) async fn is_pictured(&mut self) {
        let Some(docs) = std::env::var_os("PAGE_PICTURES") else { return };
        // A picture that shows a history needs one.
        for samples in (4..=24).step_by(4) {
            let enough = format!("Number(document.querySelector('#chart-up').dataset.samples) >= {samples}");
            self.browser.wait_for(&enough).await;
        }
        self.browser.picture(&PathBuf::from(docs).join("status-page.png")).await;
    }

    /// Those that were heard of regularly have ended.
    pub(crate) async fn hears_nothing_more(&mut self, agents: usize) {
        let browser = &mut self.browser;
        browser.click("[data-filter=refused]").await;
        browser.wait_for_text("#page-range", "1 to 1 of 1").await;
        browser.wait_for_text("#clients td", "host_denied").await;
        browser.click("[data-filter=silent]").await;
        let verdict = format!("No tunnel is open, and {agents} clients are silent");
        browser.wait_for_text(VERDICT, &verdict).await;
        let silent = "document.querySelectorAll('#clients [data-state=silent]').length";
        browser.wait_for(&format!("{silent} === {agents}")).await;
        self.inspect("silent").await;
    }

    /// Five thousand: bounded rows, pages, order, search.
    pub(crate) async fn is_crowded(&mut self) {
        let (proxy, browser) = (self.proxy(), &mut self.browser);
        tokio::join!(crowd(proxy), browser.wait_for_text(VERDICT, "Requests come, and all are refused"));
        browser.click("[data-filter=all]").await;
        browser
            .wait_for("Number(document.querySelector('#count-all').innerText.replace(',', '')) > 4900")
            .await;
        browser.wait_for("document.querySelectorAll('#clients tbody tr').length === 25").await;
        browser.click("#page-next").await;
        browser.wait_for_text("#page-range", "26 to 50 of ").await;
        for (column, direction, first) in [
            ("refused", "descending", "127.0.9.77"),
            ("id", "ascending", "127.0.9.77"),
            ("bytes", "descending", "web-02"),
            ("newest", "ascending", "127.20."),
            ("newest", "descending", "127.0.9.77"),
        ] {
            browser.click(&format!("#clients [data-sort={column}]")).await;
            let sorted = format!("#clients [aria-sort={direction}] [data-sort={column}]");
            browser.wait_for(&format!("document.querySelector('{sorted}')")).await;
            browser.wait_for_text("#clients tbody tr:first-child .id", first).await;
            browser.wait_for_text("#page-range", "1 to 25 of ").await;
        }
        browser.evaluate(&SEARCH.replace("TEXT", "127.0.9.7")).await;
        // 127.0.9.7 and 127.0.9.77.
        browser.wait_for_text("#page-range", "1 to 2 of 2").await;
        self.inspect("crowd").await;
        self.browser.evaluate(&SEARCH.replace("TEXT", "")).await;
    }

    /// A configuration that is wrong is told, and the one before stays in force.
    pub(crate) async fn is_written_wrongly(&mut self) {
        let file = self.gateway.folder().join("gateway.toml");
        let right = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(&file, format!("{right}\n[tunnels]\n")).expect("written");
        self.browser.wait_for_text("#problems", "tunnels").await;
        self.inspect("wrong").await;
        std::fs::write(&file, &right).expect("written");
        self.browser.wait_for("document.querySelector('#problems').hidden").await;
    }

    /// What is open stays.
    pub(crate) async fn loses_a_canary(&mut self) -> TlsStream<TcpStream> {
        let mut client = RawClient::connect(self.proxy()).await;
        client.send(&connect_request(&format!("{KEPT}:443"), &[])).await;
        let open = client.tunnel().await.tls(KEPT, self.pki.client_config()).await;
        self.azure = None;
        self.browser.wait_for_text(VERDICT, "Cannot be reached: Ingestion").await;
        self.browser.wait_for_text("#canaries [data-state=down]", "Ingestion").await;
        self.inspect("canary-down").await;
        open
    }

    pub(crate) async fn drains(&mut self) {
        self.gateway.terminate();
        self.browser.wait_for_text(VERDICT, "Draining: 1 tunnel left").await;
        self.browser.wait_for_text("#drain", "No new connections are accepted").await;
        self.inspect("draining").await;
        assert_eq!(self.browser.complaints(&self.page), Vec::<String>::new());
    }

    pub(crate) async fn goes_and_comes_back(&mut self) {
        let _ = self.gateway.exit_status().await;
        self.browser.wait_for_text(VERDICT, "The gateway does not answer").await;
        self.browser.wait_for_text("#gone", "It was ending.").await;
        self.browser.wait_for_text("#gone", "Trying again until it is back").await;
        self.browser.wait_for("document.querySelector('#drain').hidden").await;
        self.inspect("gone").await;
        self.gateway = patiently("the gateway is back", Gateway::start_here(&self.config)).await;
        self.browser.wait_for_text(VERDICT, "Cannot be reached: Ingestion").await;
        self.browser.wait_for("document.querySelector('#gone').hidden").await;
        self.browser.wait_for_text("#no-clients", "No client has come yet").await;
        // That nobody answered is the browser's complaint, and the only kind.
        let others = self.browser.complaints(&self.page);
        let others: Vec<_> = others.iter().filter(|text| !text.contains("net::ERR_")).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// Holds the page against axe-core, in light and dark, wide and narrow, and takes its pictures.
    async fn inspect(&mut self, state: &str) {
        let (browser, axe) = (&mut self.browser, &self.axe);
        for (width, height, scheme) in [(390, 844, "light"), (1280, 960, "dark"), (1280, 960, "light")] {
            browser.look(width, height, scheme).await;
            browser.picture(&pictures().join(format!("{state}-{width}-{scheme}.png"))).await;
            let beyond = browser.evaluate("document.documentElement.scrollWidth - innerWidth").await;
            assert!(beyond.as_i64().expect("a number") <= 0, "{state}: {width} wide is not enough");
            browser.evaluate(&format!("{axe}; 0")).await;
            let found = browser
                .evaluate(
                    "axe.run().then((found) => found.violations\
                     .filter((one) => ['serious', 'critical'].includes(one.impact))\
                     .map((one) => one.id + ': ' + one.nodes.map((node) => node.html).join(' ')))",
                )
                .await;
            assert_eq!(found, Value::Array(Vec::new()), "{state}, {width} {scheme}");
        }
    }
}
