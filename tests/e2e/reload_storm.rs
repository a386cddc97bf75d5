//! Ten reloads a second under load (S12): nothing is dropped.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

const RELOADS: u32 = 40;
/// Ten a second.
const BETWEEN: Duration = Duration::from_millis(100);
const CLIENTS: usize = 4;
const LASTING: usize = 4;
const BYTES: u64 = 40_000;

/// What the clients share.
struct Load {
    proxy: SocketAddr,
    pki: Pki,
    ann: String,
    over: AtomicBool,
    exchanges: AtomicU32,
}

impl Load {
    async fn open(&self) -> TlsStream<TcpStream> {
        let headers = [("Proxy-Authorization", self.ann.as_str())];
        let tunnel = Tunnel::open(self.proxy, GOOD_TARGET, &headers).await;
        tunnel.tls(GOOD, self.pki.client_config()).await
    }

    async fn exchange(&self, stream: &mut TlsStream<TcpStream>) {
        let request = format!("GET /bytes/{BYTES}");
        let answer = wire::exchange(stream, &request, &[("Host", GOOD)], b"").await;
        assert_eq!(answer.head.status, 200);
        assert!(answer.body == Content::new(0, BYTES).all(), "{} bytes came", answer.body.len());
        self.exchanges.fetch_add(1, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// Writes a configuration beside the one in use and puts it in its place in one step.
fn replace(config: &Config, folder: &std::path::Path) {
    fs::write(folder.join("new"), config.text()).expect("written");
    fs::rename(folder.join("new"), folder.join("gateway.toml")).expect("replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_ten_reloads_a_second_drop_no_request_and_no_tunnel() {
    let text = "[reload]\nend_tunnels = \"denied\"\n[role.users]\nusers_file = \"users\"\n";
    let stage = Stage::good(Config::new(text).file("users", &users_file(&[("ann", "one")]))).await;
    let load = Arc::new(Load {
        proxy: stage.gateway.proxy(),
        pki: stage.pki,
        ann: basic("ann", "one"),
        over: AtomicBool::new(false),
        exchanges: AtomicU32::new(0),
    });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let load = Arc::clone(&load);
        clients.push(tokio::spawn(async move {
            while load.goes_on() {
                load.exchange(&mut load.open().await).await;
            }
        }));
    }
    for _ in 0..LASTING {
        let load = Arc::clone(&load);
        clients.push(tokio::spawn(async move {
            let mut stream = load.open().await;
            while load.goes_on() {
                load.exchange(&mut stream).await;
            }
        }));
    }
    let (address, folder) = (stage.azure.address(), stage.gateway.folder());
    for turn in 0..RELOADS {
        // Another role comes and goes, and every third configuration is wrong.
        let rest = ["", ANYONE, "[role.agents]\nbundles = [\"nothing\"]\n"][turn as usize % 3];
        replace(&Config::new(&format!("{text}{rest}")).hosts(&[GOOD], address), folder);
        // Half of them are found by themselves.
        if turn % 2 == 0 || turn > RELOADS / 2 {
            stage.gateway.hang_up();
        }
        tokio::time::sleep(BETWEEN).await;
    }
    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("nothing was refused, cut or spoilt");
    }
    let reloads = stage.gateway.reloads("applied").await + stage.gateway.reloads("refused").await;
    let exchanges = load.exchanges.load(Ordering::Relaxed);
    println!("{exchanges} exchanges, {reloads} reloads that changed or refused something");
    assert!(exchanges > 0 && reloads > 10.0, "{exchanges} exchanges, {reloads} reloads");
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("la_gateway_connects_total", &[("verdict", "refused")]), 0.0);
    assert_eq!(metrics.value("la_gateway_tunnel_endings_total", &[("reason", "revoked")]), 0.0);
    assert_eq!(metrics.value("la_gateway_password_checks_total", &[("result", "wrong")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_hundred_thousand_rules_are_taken_while_the_gateway_serves() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let hosts: String = (0..100_000).map(|number| format!("\"h{number}.packages.example\",\n")).collect();
    let many = Config::new(&format!("{ANYONE}hosts = [\n{hosts}]\n"));
    let many = many.hosts(&[GOOD, "h99999.packages.example"], stage.azure.address());
    let before = stage.gateway.reloads("applied").await;
    many.write(stage.gateway.folder());
    stage.gateway.hang_up();
    let mut served = 0;
    while stage.gateway.reloads("applied").await == before {
        stage.serve_a_good_client(&[]).await;
        served += 1;
    }
    println!("{served} clients were served meanwhile");
    drop(Tunnel::open(stage.gateway.proxy(), "h99999.packages.example:443", &[]).await);
}
