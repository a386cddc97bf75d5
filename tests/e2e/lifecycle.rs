//! Starting, wrong configurations, health, and ending.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::net::TcpListener;

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::gateway::run_to_end;
use end_to_end::patience::patiently;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_configuration_it_listens_on_loopback_and_says_the_proxy_value() {
    for taken in ["127.0.0.1:8080", "127.0.0.1:9180"] {
        if TcpListener::bind(taken).is_err() {
            println!("skipped: {taken} is in use");
            return;
        }
    }
    let mut gateway = Gateway::spawn(&[], tempfile::tempdir().expect("a temporary folder"));
    let said = |text: &'static str| {
        let log = gateway.log();
        log.wait_for(text, move |log| log.lines().iter().any(|line| line.contains(text)).then_some(()))
    };
    said("http://127.0.0.1:8080").await;
    said("127.0.0.1:9180").await;
    let proxy: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
    let mut client = RawClient::connect(proxy).await;
    client.send(&connect_request("evil.example:443", &[])).await;
    assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
    gateway.terminate();
    assert_eq!(gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_listener_names_the_proxy_value() {
    let listeners = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let gateway = Gateway::start(&Config::new(&format!("{listeners}{ANYONE}"))).await;
    let records = gateway.log().records();
    let proxies: Vec<_> = records.iter().filter(|record| record.is("kind", "proxy")).collect();
    assert_eq!(proxies.len(), 2);
    for record in proxies {
        assert_eq!(record.number("event_id"), 101);
        assert_eq!(record.text("proxy"), format!("http://{}", record.text("address")));
        let address = record.text("address").parse().expect("a bound address");
        let mut client = RawClient::connect(address).await;
        client.send(&connect_request("evil.example:443", &[])).await;
        assert_eq!(client.refusal().await.expect("an answer").head.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_ends_with_78_and_every_problem_in_its_place() {
    let text = r#"[[listener]]
address = "127.0.0.1"
colour = "blue"
[tunnel]
idle = "soon"
server_name = "perhaps"
[addresses]
allow = ["10.0.0.0/33"]
[role.agents]
cloud = "mars"
bundles = ["log-analytic"]
workspaces = ["not-a-guid"]
"#;
    let problems = problems_of(text).await;
    for line in [2, 3, 5, 6, 8, 10, 11, 12] {
        let start = format!("gateway.toml:{line}:");
        assert!(
            problems.iter().any(|problem| problem.contains(&start)),
            "no problem in line {line}: {problems:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_is_no_toml_ends_with_78_and_its_place() {
    let problems = problems_of("[log]\nformat = \"json\"\n[tunnel\nidle = \"5m\"\n").await;
    assert!(problems.iter().any(|problem| problem.contains("gateway.toml:3:")), "{problems:#?}");
}

/// Runs the program with a wrong configuration and returns the lines with a place.
async fn problems_of(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, text).expect("a configuration file");
    let arguments: [&[&OsStr]; 2] =
        [&["--config".as_ref(), path.as_ref()], &["--config".as_ref(), path.as_ref(), "check".as_ref()]];
    let mut said = Vec::new();
    for arguments in arguments {
        let output = run_to_end(arguments, folder.path()).await;
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("listening"), "a listener was bound");
        said.push(String::from_utf8(output.stderr).expect("UTF-8"));
    }
    let problems = |said: &str| said.rsplit_once("la-gateway: ").expect("a last line").0.to_owned();
    assert_eq!(problems(&said[0]), problems(&said[1]), "`check` and `run` see the same problems");
    let placed = |line: &&str| {
        let place: Vec<&str> =
            line.rsplit("gateway.toml:").next().unwrap_or_default().splitn(3, ':').collect();
        place.len() == 3 && place[..2].iter().all(|number| number.parse::<u32>().is_ok())
    };
    said[0].lines().filter(placed).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_are_on_the_admin_listener_alone() {
    let stage = Stage::good(Config::new(ANYONE)).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(stage.gateway.get(path).await.head.status, 200, "{path}");
        let mut stream = TcpStream::connect(stage.gateway.proxy()).await.expect("a connection");
        wire::send_head(&mut stream, &format!("GET {path}"), &[("Host", "gateway.example")], 0).await;
        assert_eq!(
            wire::read_answer_until_close(&mut stream).await.expect("an answer").head.status,
            405,
            "{path}"
        );
    }
    assert_eq!(stage.gateway.get("/nothing").await.head.status, 404);
    let mut client = RawClient::connect(stage.gateway.admin()).await;
    client.send(&connect_request(GOOD_TARGET, &[])).await;
    assert!(client.refusal().await.is_none_or(|answer| answer.head.status >= 400));
    assert_eq!(stage.azure.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_takes_no_new_work_and_waits_for_open_tunnels() {
    let mut stage = Stage::good(Config::new(ANYONE)).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    stage.gateway.terminate();
    wait_until_closed(stage.gateway.proxy()).await;
    assert_ne!(readiness(stage.gateway.admin()).await, Some(200));
    let answer = wire::exchange(&mut stream, "GET /bytes/100000", &[("Host", GOOD)], b"").await;
    assert_eq!((answer.head.status, answer.body.len()), (200, 100_000));
    stream.shutdown().await.expect("an orderly end");
    drop(stream);
    stage.gateway.record_of(address).await.assert_texts(&[("reason", "finished"), ("verdict", "carried")]);
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_outlives_the_drain_is_cut_and_recorded() {
    let config = Config::new(&format!("{ANYONE}[tunnel]\ndrain = \"1s\"\n"));
    let mut stage = Stage::good(config).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
    stage.gateway.terminate();
    let mut rest = Vec::new();
    let _ = patiently("the tunnel is cut", stream.read_to_end(&mut rest)).await;
    let record = stage.gateway.record_of(address).await;
    record.assert_texts(&[("reason", "drained"), ("verdict", "carried")]);
    assert_eq!(record.number("event_id"), 117);
    assert_eq!(stage.gateway.exit_status().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let config = Config::new(&format!("{ANYONE}[tunnel]\ndrain = \"1h\"\n"));
    let mut stage = Stage::good(config).await;
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    stage.gateway.terminate();
    wait_until_closed(stage.gateway.proxy()).await;
    stage.gateway.terminate();
    stage.gateway.exit_status().await;
    drop(tunnel);
}

/// Waits until the proxy takes no connection any more, or answers that it is draining.
async fn wait_until_closed(proxy: SocketAddr) {
    patiently("the listener is closed", async {
        while let Ok(mut stream) = TcpStream::connect(proxy).await {
            let _ = stream.write_all(&connect_request("evil.example:443", &[])).await;
            let answer = wire::read_head(&mut stream).await;
            if answer.is_none_or(|head| head.status == 503) {
                return;
            }
        }
    })
    .await;
}

/// Returns the status of /readyz, or `None` when nobody answers.
async fn readiness(admin: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let request = b"GET /readyz HTTP/1.1\r\nHost: admin.example\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    Some(wire::read_head(&mut stream).await?.status)
}
