//! Name servers that fall silent: tunnels are opened with the last good answer, for a bounded time.

use std::net::Ipv4Addr;
use std::time::Duration;
use std::time::Instant;

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::gateway::Gateway;
use end_to_end::origin::RawOrigin;
use end_to_end::origin::refusing;
use end_to_end::patience::patiently;
use end_to_end::record::Record;
use hickory_proto::op::ResponseCode;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::assert_refusal;
use crate::stage::bind_443;
use crate::stage::lonely_address;
use crate::stage::workspace;

/// How long the good answer may be kept.
const FRESH: Duration = Duration::from_secs(1);
/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An origin on port 443, and a gateway that finds it through a name server.
struct OutageStage {
    dns: FakeDns,
    address: Ipv4Addr,
    origin: RawOrigin,
    gateway: Gateway,
}

impl OutageStage {
    /// Starts with one good answer of a lifetime of a second, or says why it cannot.
    async fn new(settings: &str) -> Option<Self> {
        let (dns, address) = (FakeDns::start().await, lonely_address());
        let origin = bind_443(address).await?;
        dns.keep_for(FRESH.as_secs() as u32);
        dns.script(GOOD, [Reply::Addresses(vec![address.into()])]);
        let servers = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\n{settings}", dns.address());
        let gateway = Gateway::start(&Config::new(&format!("{ANYONE}{servers}"))).await;
        Some(Self { dns, address, origin, gateway })
    }

    /// Opens a tunnel and returns its record.
    async fn serve(&self) -> Record {
        let tunnel = Tunnel::open(self.gateway.proxy(), GOOD_TARGET, &[]).await;
        drop(self.origin.accept().await);
        let own = tunnel.address;
        drop(tunnel);
        self.gateway.only_record_of(own).await
    }

    /// Serves until the good answer is no longer fresh and the name server was asked again.
    async fn serve_until_asked_again(&self) {
        let (before, since) = (self.dns.lookups(GOOD), Instant::now());
        patiently("the name server is asked again", async {
            while self.dns.lookups(GOOD) == before || since.elapsed() < FRESH {
                self.serve().await;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Asks until a tunnel is refused, and returns the record.
    async fn ask_until_refused(&self) -> Record {
        patiently("a name that is not known any more", async {
            loop {
                let mut client = RawClient::connect(self.gateway.proxy()).await;
                client.send(&connect_request(GOOD_TARGET, &[])).await;
                let own = client.address();
                match client.verdict().await {
                    Ok(_) => drop(self.origin.accept().await),
                    Err(answer) => {
                        assert_refusal(&answer, answer.head.status);
                        return self.gateway.only_record_of(own).await;
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_failing_name_servers_are_outlived_with_the_last_good_answer() {
    for trouble in [Reply::Silence, Reply::Failure(ResponseCode::ServFail)] {
        let Some(stage) = OutageStage::new("stale_for = \"1h\"\n").await else { return };
        let series = stage.gateway.metrics().await;
        stage.serve().await;
        stage.dns.script(GOOD, [trouble]);
        stage.serve_until_asked_again().await;
        for _ in 0..5 {
            let record = stage.serve().await;
            let address = format!("{}:443", stage.address);
            record.assert_texts(&[("address", &address), ("verdict", "carried")]);
        }
        let unknown = format!("{}:443", workspace(1));
        stage.dns.script(&workspace(1), [Reply::Silence]);
        let (answer, own) = refused(stage.gateway.proxy(), &unknown, &[]).await;
        assert_refusal(&answer, 504);
        stage.gateway.only_record_of(own).await.assert_texts(&[("reason", "name_timeout")]);
        assert_eq!(stage.gateway.metrics().await.series(), series.series());
        let refused = stage.gateway.metric("la_gateway_connects_total", &[("verdict", "refused")]).await;
        assert_eq!(refused, 1.0, "only the name that was never known");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_answer_is_used_for_a_bounded_time_and_the_next_good_one_at_once() {
    let Some(stage) = OutageStage::new("stale_for = \"2s\"\n").await else { return };
    stage.serve().await;
    stage.dns.script(GOOD, [Reply::Silence]);
    stage.serve_until_asked_again().await;
    let record = stage.ask_until_refused().await;
    record.assert_texts(&[("reason", "name_timeout"), ("fault", "network"), ("address", "")]);
    assert!(!stage.origin.is_called().await, "an address that is not known any more was dialled");
    stage.dns.script(GOOD, [Reply::Addresses(vec![stage.address.into()])]);
    stage.serve().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_gone_is_not_kept_alive() {
    let Some(stage) = OutageStage::new("stale_for = \"1h\"\n").await else { return };
    stage.serve().await;
    stage.dns.script(GOOD, [Reply::Failure(ResponseCode::NXDomain)]);
    let record = stage.ask_until_refused().await;
    record.assert_texts(&[("reason", "name_not_found"), ("fault", "network")]);
    stage.dns.script(GOOD, [Reply::Addresses(vec![stage.address.into()])]);
    stage.serve().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_name_servers_is_enough() {
    let (silent, failing, good) = (FakeDns::start().await, FakeDns::start().await, FakeDns::start().await);
    let address = lonely_address();
    let Some(origin) = bind_443(address).await else { return };
    let names: Vec<String> = (0..4).map(workspace).collect();
    for name in &names {
        silent.script(name, [Reply::Silence]);
        failing.script(name, [Reply::Failure(ResponseCode::ServFail)]);
        good.script(name, [Reply::Addresses(vec![address.into()])]);
    }
    for dead in [silent.address(), failing.address(), refusing()] {
        for servers in [[dead, good.address()], [good.address(), dead]] {
            let list = servers.map(|server| format!("\"{server}\"")).join(", ");
            let text = format!("{ANYONE}[dns]\nservers = [{list}]\n");
            let gateway = Gateway::start(&Config::new(&text)).await;
            for name in &names {
                let tunnel = Tunnel::open(gateway.proxy(), &format!("{name}:443"), &[]).await;
                drop(origin.accept().await);
                let own = tunnel.address;
                drop(tunnel);
                gateway.only_record_of(own).await.assert_texts(&[("verdict", "carried"), ("host", name)]);
            }
        }
    }
}
