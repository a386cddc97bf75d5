//! A new program takes the listening sockets over, and clients notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::send;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::proxy_header;
use end_to_end::record::Record;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

/// Clients that come one connection after the other.
const CLIENTS: usize = 4;
/// Requests that must go through between two events.
const SOME: u64 = 40;

/// Clients in tight loops. Each connection is a tunnel with TLS and a request inside; a client whose request
/// fails panics.
struct Crowd {
    clients: Vec<JoinHandle<()>>,
    ends: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
}

impl Crowd {
    fn come(stage: &Stage) -> Self {
        let (ends, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let proxy = stage.gateway.proxy();
        let clients = (0..CLIENTS).map(|_| {
            let (ends, served, tls) = (Arc::clone(&ends), Arc::clone(&served), stage.pki.client_config());
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let tunnel = Tunnel::open(proxy, GOOD_TARGET, &[]).await;
                    let mut stream = tunnel.tls(GOOD, Arc::clone(&tls)).await;
                    let answer = wire::exchange(&mut stream, "GET /bytes/5000", &[("Host", GOOD)], b"").await;
                    assert_eq!((answer.head.status, answer.body.len()), (200, 5000));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { clients: clients.collect(), ends, served }
    }

    /// Waits until this many more requests went through.
    async fn some_more(&self) {
        let enough = self.served.load(Ordering::Relaxed) + SOME;
        patiently("requests go through", async {
            while self.served.load(Ordering::Relaxed) < enough {
                assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client failed");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Ends all clients; none of them failed.
    async fn go(self) {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            patiently("a client ends", client).await.expect("no request failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_clients_notices_nothing_of_hand_overs_by_take_over() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    let crowd = Crowd::come(&stage);
    for _ in 0..3 {
        crowd.some_more().await;
        let predecessor = stage.gateway.pid();
        let successor = stage.gateway.another(&["run", "--take-over"]).await;
        assert_eq!((successor.proxy(), successor.admin()), (stage.gateway.proxy(), stage.gateway.admin()));
        let mut before = std::mem::replace(&mut stage.gateway, successor);
        crowd.some_more().await;
        assert_eq!(before.exit_status().await.code(), Some(0), "{}", before.everything_said());
        assert_eq!(last(&before, 102).await.number("successor"), u64::from(stage.gateway.pid()));
        let follows = stage.gateway.wait_for_record("whom it follows", |record| {
            record.event_id() == Some(136) && record.text("message").contains("accepts from now on")
        });
        assert_eq!(follows.await.number("predecessor"), u64::from(predecessor));
        assert_eq!(stage.gateway.status().await["pid"], stage.gateway.pid());
        assert_eq!(stage.gateway.get("/readyz").await.head.status, 200);
    }
    crowd.go().await;
    let refused = stage.gateway.access_records().into_iter().find(|record| !record.is("verdict", "carried"));
    assert!(refused.is_none(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_clients_notices_nothing_of_hand_overs_by_signal() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    let crowd = Crowd::come(&stage);
    stage.gateway.signal("USR2");
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0), "{}", stage.gateway.everything_said());
    crowd.some_more().await;
    for round in 1..3 {
        let present = stage.gateway.status().await["pid"].as_u64().expect("a process");
        assert_eq!(Some(&u32::try_from(present).expect("a process")), stage.gateway.successors().last());
        send("USR2", u32::try_from(present).expect("a process"));
        let over = |record: &&Record| record.event_id() == Some(102);
        stage
            .gateway
            .log()
            .wait_for("the next one is gone", |log| {
                (log.records().iter().filter(over).count() > round).then_some(())
            })
            .await;
        crowd.some_more().await;
    }
    crowd.go().await;
    let refused = stage.gateway.access_records().into_iter().find(|record| !record.is("verdict", "carried"));
    assert!(refused.is_none(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_opened_before_go_on_through_the_old_program_and_are_counted_when_cut() {
    let config = Config::new(&format!("{ANYONE}[tunnel]\ndrain = \"3s\"\n"));
    let mut stage = Stage::good(config).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let (address, tls) = (tunnel.address, stage.pki.client_config());
    let mut old = tunnel.tls(GOOD, Arc::clone(&tls)).await;
    let mut never = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await.tls(GOOD, tls).await;
    let successor = stage.gateway.another(&["run", "--take-over"]).await;
    last(&successor, 101).await;
    let answer = wire::exchange(&mut old, "GET /bytes/5000", &[("Host", GOOD)], b"").await;
    assert_eq!((answer.head.status, answer.body.len()), (200, 5000));
    old.shutdown().await.expect("an orderly end");
    drop(old);
    stage.gateway.record_of(address).await.assert_texts(&[("reason", "finished")]);
    let _ = patiently("the tunnel is cut", never.read_to_end(&mut Vec::new())).await;
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(last(&stage.gateway, 102).await.number("cut"), 1);
    assert_eq!(successor.status().await["tunnels"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_program_with_a_wrong_configuration_leaves_the_old_one_serving() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    let crowd = Crowd::come(&stage);
    let file = stage.gateway.folder().join("gateway.toml");
    let right = std::fs::read_to_string(&file).expect("a configuration");
    // Wrong at once, and wrong only when the sockets are there already.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let also_taken =
        format!("{right}\n[[listener]]\naddress = \"{}\"\n", taken.local_addr().expect("an address"));
    for wrong in ["[tunnel\n", also_taken.as_str()] {
        std::fs::write(&file, wrong).expect("written");
        let before = failures(&stage.gateway);
        stage.gateway.signal("USR2");
        stage
            .gateway
            .log()
            .wait_for("the failure is said", |_| (failures(&stage.gateway) > before).then_some(()))
            .await;
        crowd.some_more().await;
    }
    std::fs::write(&file, right).expect("written");
    assert_eq!(stage.gateway.status().await["pid"], stage.gateway.pid());
    assert_eq!(stage.gateway.status().await["state"], "serving");
    crowd.go().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_are_new_are_bound_and_those_that_are_gone_are_closed() {
    let two = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.2:0\"\n";
    let mut stage = Stage::good(Config::new(&format!("{two}{ANYONE}"))).await;
    let file = stage.gateway.folder().join("gateway.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace("127.0.0.2:0", "127.0.0.3:0")).expect("written");
    let status = stage.gateway.status().await;
    let gone = status["listeners"][1]["address"].as_str().expect("an address").to_owned();
    assert!(gone.starts_with("127.0.0.2:"), "{gone}");
    let successor = stage.gateway.another(&["run", "--take-over"]).await;
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    let status = successor.status().await;
    assert_eq!(status["listeners"][0]["address"], stage.gateway.proxy().to_string());
    let new = status["listeners"][1]["address"].as_str().expect("an address").to_owned();
    assert!(new.starts_with("127.0.0.3:"), "{new}");
    tokio::net::TcpStream::connect(&new).await.expect("the new listener accepts");
    assert!(tokio::net::TcpStream::connect(&gone).await.is_err(), "the old listener is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_successors_at_once_one_takes_over_and_the_other_says_why_not() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    // A successor that never becomes ready: the test itself.
    let mut slow = tokio::net::UnixStream::connect(stage.gateway.control()).await.expect("a control socket");
    slow.write_all(b"{\"version\":1,\"order\":\"hand-over\"}\n").await.expect("sent");
    stage.gateway.wait_for_record("the sockets are passed", |record| record.event_id() == Some(136)).await;
    let second = stage.gateway.command(&["run", "--take-over"]).await;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another hand-over is under way"), "{second:?}");
    // The first dies; then there is room for another.
    drop(slow);
    let text = "this gateway goes on";
    stage.gateway.wait_for_record(text, |record| record.text("message").contains(text)).await;
    let third = stage.gateway.another(&["run", "--take-over"]).await;
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
    assert_eq!(third.status().await["pid"], third.pid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_with_tls_and_with_proxy_headers_go_over_with_what_they_speak() {
    let front = Pki::new();
    let files = front.pem_files("gateway", &["gateway.example"]);
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let listeners = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nplain = false\ntls = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = {{ trusted = [\"127.0.0.0/8\"] }}\n"
    );
    let stage = Stage::good(Config::new(&format!("{listeners}{ANYONE}"))).await;
    let successor = stage.gateway.another(&["run", "--take-over"]).await;
    let status = successor.status().await;
    let at = |number: usize| -> SocketAddr {
        status["listeners"][number]["address"].as_str().expect("an address").parse().expect("an address")
    };
    assert_eq!(at(0), stage.gateway.proxy());
    let name = ServerName::try_from("gateway.example").expect("a host name");
    let stream = tokio::net::TcpStream::connect(at(0)).await.expect("a connection");
    let mut secured =
        TlsConnector::from(front.client_config()).connect(name, stream).await.expect("a handshake");
    secured.write_all(&connect_request(GOOD_TARGET, &[])).await.expect("sent");
    assert_eq!(wire::read_head(&mut secured).await.expect("an answer").status, 200);
    let mut balanced = tokio::net::TcpStream::connect(at(1)).await.expect("a connection");
    let client: SocketAddr = "127.8.8.8:1234".parse().expect("an address");
    balanced.write_all(&proxy_header::v1(client)).await.expect("sent");
    balanced.write_all(&connect_request(GOOD_TARGET, &[])).await.expect("sent");
    assert_eq!(wire::read_head(&mut balanced).await.expect("an answer").status, 200);
    drop((secured, balanced));
    successor.record_of(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_was_replaced_or_is_gone_is_found_in_its_place_or_missed() {
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("la-gateway");
    std::fs::copy(end_to_end::gateway::program(), &program).expect("a copy");
    let mut gateway = Gateway::start_copy(&program, &Config::new(ANYONE)).await;
    std::fs::remove_file(&program).expect("removed");
    gateway.signal("USR2");
    let text = "cannot be started";
    gateway.wait_for_record(text, |record| record.text("message").contains(text)).await;
    assert_eq!(gateway.status().await["pid"], gateway.pid());
    // What replaces a program that runs is another file.
    std::fs::copy(end_to_end::gateway::program(), place.path().join("new")).expect("a copy");
    std::fs::rename(place.path().join("new"), &program).expect("renamed");
    gateway.signal("USR2");
    assert_eq!(gateway.exit_status().await.code(), Some(0));
    let successor = *gateway.successors().last().expect("a successor");
    let running = std::fs::read_link(format!("/proc/{successor}/exe")).expect("it runs");
    assert_eq!(running, program.canonicalize().expect("it is there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_launcher_ends_with_its_gateway_and_survives_signals_to_all() {
    let mut gateway = Gateway::start(&Config::new(ANYONE)).await;
    let children = || {
        let list = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", gateway.pid()));
        list.map_or(Vec::new(), |list| {
            list.split_whitespace().map(|pid| pid.parse::<u32>().expect("a process")).collect()
        })
    };
    let [launcher] = children()[..] else { panic!("{:?} is not one launcher", children()) };
    for signal in ["HUP", "INT", "USR2"] {
        send(signal, launcher);
    }
    gateway.signal("USR2");
    assert_eq!(gateway.exit_status().await.code(), Some(0), "the launcher still works");
    patiently("the launcher ends", async {
        while std::path::Path::new(&format!("/proc/{launcher}")).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_keeps_its_connection_never_sees_red() {
    let mut stage = Stage::good(Config::new(&format!("{ANYONE}[tunnel]\ndrain = \"1h\"\n"))).await;
    let mut probe = tokio::net::TcpStream::connect(stage.gateway.admin()).await.expect("a connection");
    let head = wire::exchange(&mut probe, "GET /readyz", &[("Host", "a")], b"").await.head;
    assert_eq!(head.status, 200);
    // Until this tunnel ends the old program is there.
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let tunnel = tunnel.tls(GOOD, stage.pki.client_config()).await;
    let successor = stage.gateway.another(&["run", "--take-over"]).await;
    // It asks again and again; an idle connection would be closed in any case.
    patiently("the kept connection is closed", async {
        while probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await.is_ok() {
            let mut answer = [0; 1024];
            match probe.read(&mut answer).await {
                Ok(length @ 1..) => assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{answer:?}"),
                _ => return,
            }
        }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(successor.get("/readyz").await.head.status, 200);
    }
    drop(tunnel);
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nobody_to_take_over_from_the_program_says_so_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(ANYONE).write(folder.path());
    let arguments = ["--config".as_ref(), config.as_os_str(), "run".as_ref(), "--take-over".as_ref()];
    let output = end_to_end::gateway::run_to_end(&arguments, folder.path()).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no gateway answers on"), "{output:?}");
}

fn failures(gateway: &Gateway) -> usize {
    let failed = |record: &&Record| {
        record.event_id() == Some(136) && record.text("message").contains("the successor ended")
    };
    gateway.log().records().iter().filter(failed).count()
}

/// Waits for an event and returns its record.
async fn last(gateway: &Gateway, event: u64) -> Record {
    gateway.wait_for_record("an event", |record| record.event_id() == Some(event)).await
}
