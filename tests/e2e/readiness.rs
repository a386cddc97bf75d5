//! Readiness that means it: canaries go the way of a CONNECT, and `/readyz` says where they fall.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::run_to_end;
use end_to_end::origin::RawOrigin;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::record::Log;
use end_to_end::scripted::Play;
use end_to_end::scripted::ScriptedRelay;
use end_to_end::users::basic;
use end_to_end::wire::Answer;
use hickory_proto::op::ResponseCode;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::relays::ESTABLISHED;
use crate::relays::assert_silent;
use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::Stage;
use crate::stage::bind_443;
use crate::stage::lonely_address;

/// Pins [`GOOD`]'s workspace, so that it is the canary of its class, and walks often.
const CANARY: &str = "\n[readiness]\ncanaries = [\"1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com\"]\n\
                      interval = \"50ms\"\nfailures = 2\n";
/// Short deadlines: a silent destination is one soon.
const SHORT: &str = "[tunnel]\nhello = \"1s\"\nconnect = \"1s\"\n";
/// How often a condition is looked at that the gateway does not announce.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What an origin does with a connection.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A handshake in earnest.
    Tls,
    /// Nothing.
    Silent,
    /// Something else than TLS.
    Foreign,
    /// Closes.
    Close,
}

/// What is wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble<'a> {
    /// The name server says this.
    Name(ResponseCode),
    /// The name leads here.
    Address(&'a str),
    /// The origin does this.
    Origin(Act),
}

/// An origin on port 443 that changes its mind, found through a name server that does, too.
struct Uplink {
    dns: FakeDns,
    address: Ipv4Addr,
    act: watch::Sender<Act>,
    pki: Arc<Pki>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Starts with everything well, or says why it cannot.
    async fn start() -> Option<Self> {
        let (dns, address, pki) = (FakeDns::start().await, lonely_address(), Arc::new(Pki::new()));
        let origin = bind_443(address).await?;
        let (act, acting) = watch::channel(Act::Tls);
        let acceptor = TlsAcceptor::from(pki.server_config(&[GOOD]));
        let uplink = Self { dns, address, act, pki, task: tokio::spawn(play(origin, acceptor, acting)) };
        uplink.is_well();
        Some(uplink)
    }

    fn is_well(&self) {
        self.suffers(Trouble::Origin(Act::Tls));
        self.suffers(Trouble::Address(&self.address.to_string()));
    }

    fn suffers(&self, trouble: Trouble<'_>) {
        match trouble {
            Trouble::Name(code) => self.dns.script(GOOD, [Reply::Failure(code)]),
            Trouble::Address(address) => self.dns.script(GOOD, [Reply::address(address)]),
            Trouble::Origin(act) => {
                self.act.send_replace(act);
            }
        }
    }

    fn config(&self, more: &str) -> Config {
        let servers = format!("[dns]\nservers = [\"{}\"]\nstale_for = \"0s\"\n", self.dns.address());
        Config::new(&format!("{ANYONE}{CANARY}{more}{servers}{SHORT}"))
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(origin: RawOrigin, acceptor: TlsAcceptor, acting: watch::Receiver<Act>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(mut stream) = origin.take().await else { return };
        let (act, acceptor) = (*acting.borrow(), acceptor.clone());
        connections.spawn(async move {
            match act {
                Act::Tls => {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let mut data = Vec::new();
                        let _ = stream.read_to_end(&mut data).await;
                    }
                }
                Act::Silent => drop(stream.read_to_end(&mut Vec::new()).await),
                Act::Foreign => {
                    let _ = stream.write_all(b"SSH-2.0-no-tls-here\r\n").await;
                    drop(stream.read_to_end(&mut Vec::new()).await);
                }
                // What is read is no reason for a reset.
                Act::Close => drop(stream.read(&mut [0; 4096]).await),
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Waits until `/readyz` has this status, and returns it.
async fn readyz(gateway: &Gateway, status: u16) -> Answer {
    patiently(&format!("/readyz is {status}"), async {
        loop {
            let answer = gateway.get("/readyz").await;
            if answer.head.status == status {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await
}

/// Breaks something, and asserts that it is named, that the process counts as well all the time, and that
/// the gateway is ready again once it is mended.
async fn assert_named(gateway: &Gateway, trouble: (&str, &str), break_it: impl Fn(), mend_it: impl Fn()) {
    readyz(gateway, 200).await;
    break_it();
    let (station, reason) = trouble;
    let answer = readyz(gateway, 503).await;
    let text = answer.text();
    assert!(text.starts_with("not ready\n"), "{text}");
    let line = text.lines().find(|line| line.starts_with("ingestion")).expect("a line of the class");
    assert!(line.contains(&format!("{GOOD}: {station}: {reason}: ")), "{line}");
    assert_eq!(gateway.get("/healthz").await.head.status, 200);
    assert_eq!(gateway.metric("la_gateway_ready", &[]).await, 0.0);
    let down = [("class", "ingestion"), ("state", "down")];
    assert_eq!(gateway.metric("la_gateway_canaries", &down).await, 1.0);
    let failures = [("class", "ingestion"), ("station", station)];
    assert!(gateway.metric("la_gateway_canary_failures_total", &failures).await >= 2.0);
    mend_it();
    let answer = readyz(gateway, 200).await;
    assert!(answer.text().starts_with("ready\n"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_names_the_station_and_the_reason_and_is_green_again_with_the_first_answer() {
    let Some(uplink) = Uplink::start().await else { return };
    let gateway = Gateway::start(&uplink.config("")).await;
    let series = gateway.metrics().await;
    let nobody = lonely_address().to_string();
    let troubles = [
        ("dns", "name_failed", Trouble::Name(ResponseCode::ServFail)),
        ("dns", "name_not_found", Trouble::Name(ResponseCode::NXDomain)),
        ("address", "address_forbidden", Trouble::Address("169.254.169.254")),
        ("tcp", "connect_refused", Trouble::Address(&nobody)),
        ("tls", "origin_hello_timeout", Trouble::Origin(Act::Silent)),
        ("tls", "origin_not_tls", Trouble::Origin(Act::Foreign)),
        ("tls", "origin_closed", Trouble::Origin(Act::Close)),
    ];
    for (station, reason, trouble) in troubles {
        let break_it = || uplink.suffers(trouble);
        assert_named(&gateway, (station, reason), break_it, || uplink.is_well()).await;
    }
    let count = |log: &Log, id| log.records().iter().filter(|record| record.event_id() == Some(id)).count();
    let every = 2 * troubles.len();
    let log = gateway.log();
    log.wait_for("the last change is told", |log| (count(log, 147) >= every).then_some(())).await;
    assert_eq!((count(log, 145), count(log, 146), count(log, 147)), (every / 2, every / 2, every));

    // Canaries are no clients.
    assert_eq!(gateway.metrics().await.series(), series.series());
    for name in ["active_client_connections", "connected_clients", "setups_in_progress", "connects_total"] {
        assert_eq!(gateway.metric(&format!("la_gateway_{name}"), &[]).await, 0.0, "{name}");
    }
    assert!(gateway.access_records().is_empty());

    // What the canary says is so: a client gets there.
    let tunnel = Tunnel::open(gateway.proxy(), &format!("{GOOD}:443"), &[]).await;
    drop(tunnel.tls(GOOD, uplink.pki.client_config()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_fails_is_named_and_its_password_is_not() {
    let Some(uplink) = Uplink::start().await else { return };
    let to = (uplink.address, 443).into();
    let relay = ScriptedRelay::start(Play::Tunnel(ESTABLISHED.to_vec(), to)).await;
    let config = format!("[relay]\nproxies = [\"http://gateway:s3cr3t-word@{}\"]\n", relay.address());
    let gateway = Gateway::start(&uplink.config(&config)).await;
    let troubles = [
        ("relay_failed", &b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..]),
        ("relay_credentials", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        ("relay_denied", b"HTTP/1.1 403 Forbidden\r\n\r\n"),
    ];
    for (reason, said) in troubles {
        let well = || relay.plays(Play::Tunnel(ESTABLISHED.to_vec(), to));
        let broken = || relay.plays(Play::Close(said.to_vec()));
        assert_named(&gateway, ("relay", reason), broken, well).await;
    }
    relay.plays(Play::Close(troubles[1].1.to_vec()));
    let text = readyz(&gateway, 503).await.text().to_owned();
    let json = gateway.get("/readyz?format=json").await.text().to_owned();
    let token = basic("gateway", "s3cr3t-word").replace("Basic ", "");
    for said in [text, json, gateway.everything_said()] {
        assert_silent(&said, &["s3cr3t-word", &token]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_class_of_two_makes_it_red_or_not_as_the_operator_wants() {
    let own = "[role.more]\nanonymous_from = [\"127.9.0.0/16\"]\nhosts = [\"packages.example\"]\n";
    let lost = "packages.example";
    for (red_when, status) in [("any", 503), ("all", 200), ("never", 200)] {
        let canaries =
            CANARY.replace("]\ninterval", &format!(", \"{lost}\"]\nred_when = \"{red_when}\"\ninterval"));
        let config = Config::new(&format!("{ANYONE}{own}{canaries}{SHORT}"));
        let config = config.hosts(&[lost], end_to_end::origin::refusing());
        let stage = Stage::good(config).await;
        let down = [("class", "hosts"), ("state", "down")];
        stage.gateway.wait_for_metric("la_gateway_canaries", &down, 1.0).await;
        let up = [("class", "ingestion"), ("state", "up")];
        stage.gateway.wait_for_metric("la_gateway_canaries", &up, 1.0).await;
        let answer = stage.gateway.get("/readyz?format=json").await;
        assert_eq!(answer.head.status, status, "{red_when}: {}", answer.text());
        let said: Value = serde_json::from_str(answer.text()).expect("JSON");
        assert_eq!(
            (&said["ready"], &said["red_when"]),
            (&Value::from(status == 200), &Value::from(red_when))
        );
        let hosts = said["canaries"].as_array().expect("canaries").iter().find(|one| one["class"] == "hosts");
        let hosts = hosts.expect("the class");
        assert_eq!((&hosts["host"], &hosts["state"]), (&Value::from(lost), &Value::from("down")));
        assert_eq!(hosts["failure"]["station"], "tcp");
        assert_eq!(hosts["failure"]["reason"], "connect_refused");
        assert_eq!(said["not_probed"], serde_json::json!(["onboarding", "automation", "blob"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_has_reached_nothing_yet_is_not_ready() {
    let hole = RawOrigin::bind().await;
    let config = Config::new(&format!("{ANYONE}{CANARY}[tunnel]\nhello = \"1h\"\nconnect = \"20s\"\n"));
    let gateway = Gateway::start(&config.hosts(&[GOOD], hole.address())).await;
    let mut waiting: TcpStream = hole.accept().await;
    let answer = gateway.get("/readyz").await;
    assert_eq!(answer.head.status, 503);
    assert!(answer.text().contains("not walked yet"), "{}", answer.text());
    assert_eq!(gateway.get("/healthz").await.head.status, 200);
    // The hello of the canary is a genuine one, for the name it asks for.
    let hellos = end_to_end::hello::hellos(&Pki::new(), GOOD);
    let mut first = [0; 6];
    patiently("a hello", waiting.read_exact(&mut first)).await.expect("a hello");
    assert_eq!((first[0], first[5]), (0x16, 1));
    waiting.write_all(&hellos.server).await.expect("an answer");
    readyz(&gateway, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_is_red_whatever_the_canaries_say() {
    let stage = Stage::good(Config::new(&format!("{ANYONE}{CANARY}red_when = \"never\"\n"))).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), &format!("{GOOD}:443"), &[]).await;
    let stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    readyz(&stage.gateway, 200).await;
    stage.gateway.terminate();
    let answer = readyz(&stage.gateway, 503).await;
    assert!(answer.text().starts_with("draining\n"), "{}", answer.text());
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_brings_other_canaries_and_status_shows_them() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    assert_eq!(stage.gateway.status().await["readiness"]["walking"], false);
    assert!(readyz(&stage.gateway, 200).await.text().contains("not probed: `[readiness] interval` is 0s"));
    let walking = Config::new(&format!("{ANYONE}{CANARY}")).hosts(&[GOOD], stage.azure.address());
    stage.gateway.reload(&walking, "applied").await;
    let up = [("class", "ingestion"), ("state", "up")];
    stage.gateway.wait_for_metric("la_gateway_canaries", &up, 1.0).await;
    let canary = stage.gateway.status().await["readiness"]["canaries"][0].clone();
    assert_eq!((&canary["host"], &canary["state"]), (&Value::from(GOOD), &Value::from("up")));
    assert_eq!(canary["failure"], Value::Null);
    readyz(&stage.gateway, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_no_role_may_reach_is_a_wrong_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gateway.toml");
    let text = format!("{ANYONE}[readiness]\ncanaries = [\"{GOOD}\", \"login.example.com\", \"{GOOD}\"]\n");
    std::fs::write(&path, text).expect("a configuration file");
    let output = run_to_end(&["--config".as_ref(), path.as_ref(), "check".as_ref()], folder.path()).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("no role may reach `login.example.com`"), "{said}");
    assert!(said.contains(&format!("`{GOOD}` stands here twice")), "{said}");
}
