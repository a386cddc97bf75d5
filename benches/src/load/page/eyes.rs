//! Who looks: a browser with the page open, and a scraper.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use end_to_end::gateway::Gateway;
use end_to_end::metrics::Metrics;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

/// As the page asks for its table.
const CLIENTS: &str = "/api/clients?sort=bytes&offset=0&limit=25";
const CLIENTS_EVERY: Duration = Duration::from_secs(10);
const EVENT: &[u8] = b"event: ";

/// See above. Every question comes over a connection of its own, which is the dearest way.
pub(crate) struct Eyes {
    admin: SocketAddr,
    host: String,
    events: AtomicU64,
}

impl Eyes {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        let admin = gateway.admin();
        Self { admin, host: admin.to_string(), events: AtomicU64::new(0) }
    }

    /// Asks once, and returns the body.
    pub(super) async fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.expect("an admin listener");
        let headers = [("Host", self.host.as_str()), ("Connection", "close")];
        wire::send_head(&mut stream, &format!("GET {path}"), &headers, 0).await;
        let answer = wire::read_answer_until_close(&mut stream).await.expect("an answer");
        assert_eq!(answer.head.status, 200, "{path}");
        String::from_utf8(answer.body).expect("text")
    }

    /// Returns every series that is shown.
    pub(super) async fn series(&self) -> BTreeSet<String> {
        let metrics = Metrics::parse(&self.ask("/metrics").await);
        metrics.series().into_iter().map(str::to_owned).collect()
    }

    /// Returns how many clients the gateway knows.
    pub(super) async fn clients(&self) -> u64 {
        self.status("/clients/known").await
    }

    /// Returns how many tunnels it has open.
    pub(super) async fn tunnels(&self) -> u64 {
        self.status("/traffic/tunnels").await
    }

    /// Returns how many connections of clients it has.
    pub(crate) async fn connections(&self) -> u64 {
        let metrics = Metrics::parse(&self.ask("/metrics").await);
        metrics.value("la_gateway_active_client_connections", &[]) as u64
    }

    /// Returns the refusals so far, by reason.
    pub(crate) async fn refusals(&self) -> Vec<(String, u64)> {
        const NAME: &str = "la_gateway_refusals_total{reason=\"";
        let metrics = Metrics::parse(&self.ask("/metrics").await);
        let series = metrics.series();
        let reasons = series.iter().filter_map(|series| series.strip_prefix(NAME)?.strip_suffix("\"}"));
        reasons
            .map(|reason| {
                (reason.to_owned(), metrics.value("la_gateway_refusals_total", &[("reason", reason)]) as u64)
            })
            .collect()
    }

    async fn status(&self, pointer: &str) -> u64 {
        let status: serde_json::Value = serde_json::from_str(&self.ask("/api/status").await).expect("JSON");
        status.pointer(pointer).and_then(serde_json::Value::as_u64).expect("a number")
    }

    /// Returns how many events came.
    pub(super) fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Has the page open, for ever.
    pub(super) async fn browse(&self) {
        for path in ["/", "/page.css", "/page.js", "/page.svg", "/api/history"] {
            self.ask(path).await;
        }
        let asking = async {
            let mut tick = interval(CLIENTS_EVERY);
            loop {
                tick.tick().await;
                self.ask(CLIENTS).await;
            }
        };
        let hearing = async {
            loop {
                self.listen().await;
            }
        };
        tokio::join!(asking, hearing);
    }

    /// Hears events until the gateway ends the answer.
    async fn listen(&self) {
        let mut stream = TcpStream::connect(self.admin).await.expect("an admin listener");
        wire::send_head(&mut stream, "GET /api/events", &[("Host", &self.host)], 0).await;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let read = buffer.get(..length).unwrap_or_default();
            let events = read.windows(EVENT.len()).filter(|bytes| *bytes == EVENT).count();
            self.events.fetch_add(events as u64, Relaxed);
        }
    }

    /// Scrapes in this rhythm, for ever.
    pub(super) async fn scrape(&self, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.ask("/metrics").await;
        }
    }
}
