//! Every family of Azure Monitor hosts in every cloud, with real TLS inside the tunnel.

use std::collections::BTreeSet;

use end_to_end::client;
use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::curl::curl;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::record::Record;
use end_to_end::wire;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::Stage;
use crate::stage::assert_refusal;

const WORKSPACE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";

/// One call an agent makes.
struct Call {
    host: String,
    line: &'static str,
    headers: &'static [(&'static str, &'static str)],
    certificate: ClientCertificate,
    status: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientCertificate {
    Shown,
    None,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_of_the_public_cloud_is_reached() {
    let blob = "account.blob.core.windows.net";
    every_family_is_reached("public", "com", blob, "azure-automation.net", "login.microsoftonline.com").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_of_the_government_cloud_is_reached() {
    let blob = "account.blob.core.usgovcloudapi.net";
    every_family_is_reached("us-government", "us", blob, "azure-automation.us", "login.microsoftonline.us")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_of_the_china_cloud_is_reached() {
    let blob = "account.blob.core.chinacloudapi.cn";
    let login = "login.partner.microsoftonline.cn";
    every_family_is_reached("china", "cn", blob, "azure-automation.cn", login).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_another_cloud_are_refused() {
    let stage = Stage::new(config("us-government"), &["name.example"]).await;
    for call in
        calls("com", "account.blob.core.windows.net", "azure-automation.net", "login.microsoftonline.com")
    {
        let target = format!("{}:443", call.host);
        let (answer, address) = client::refused(stage.gateway.proxy(), &target, &[]).await;
        assert_refusal(&answer, 403);
        stage
            .gateway
            .record_of(address)
            .await
            .assert_texts(&[("reason", "host_denied"), ("host", &call.host)]);
    }
    assert_eq!(stage.azure.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_over_tls_carries_tls_within_tls() {
    let pki = Pki::new();
    let files = pki.pem_files("gateway", &["127.0.0.1"]);
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nplain = true\ntls = {{ certificate = {:?}, key = {:?} }}\n",
        files.certificate, files.key
    );
    let stage = Stage::good(Config::new(&format!("{listener}{}", ANYONE))).await;
    let (proxy_authority, authority) = (pki.authority_file(), stage.pki.authority_file());
    let url = format!("https://{}/bytes/100000", GOOD);
    for scheme in ["https", "http"] {
        let proxy = format!("{scheme}://{}", stage.gateway.proxy());
        let arguments = [
            "-x",
            &proxy,
            "--proxy-cacert",
            proxy_authority.to_str().expect("UTF-8"),
            "--cacert",
            authority.to_str().expect("UTF-8"),
            &url,
        ];
        let Some(outcome) = curl(&arguments).await else { return };
        assert_eq!(
            (outcome.exit, outcome.connect_status, outcome.status),
            (0, 200, 200),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.body.len(), 100_000);
    }
}

async fn every_family_is_reached(cloud: &str, suffix: &str, blob: &str, automation: &str, login: &str) {
    let calls = calls(suffix, blob, automation, login);
    let names: BTreeSet<&str> = calls.iter().map(|call| call.host.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let stage = Stage::new(config(cloud), &names).await;
    let mut records = Vec::new();
    for call in &calls {
        records.push(make(&stage, call).await);
    }
    let Some(last) = call_with_curl(&stage, &calls[0]).await else { return };
    records.push(last);
    assert_eq!(stage.gateway.records_once(records.len()).await, records.len(), "one record a tunnel");
    assert_eq!(stage.azure.connections(), records.len() as u64, "one connection a tunnel");
    assert_metrics(&stage, &records).await;
}

fn config(cloud: &str) -> Config {
    Config::new(&format!(
        r#"
[role.agents]
anonymous_from = ["127.0.0.0/8"]
cloud = "{cloud}"
bundles = ["log-analytics", "azure-monitor-agent", "logs-ingestion"]
"#
    ))
}

fn calls(suffix: &str, blob: &str, automation: &str, login: &str) -> Vec<Call> {
    let opinsights = |kind: &str| format!("{WORKSPACE}.{kind}.opinsights.azure.{suffix}");
    let monitor = |name: &str| format!("{name}.monitor.azure.{suffix}");
    let call = |host: String, line, status| Call {
        host,
        line,
        headers: &[],
        certificate: ClientCertificate::None,
        status,
    };
    let topology = "POST /AgentService.svc/LinuxAgentTopologyRequest";
    let streams = "POST /dataCollectionRules/dcr-1/streams/Custom-T";
    let bearer: &[(&str, &str)] = &[("Authorization", "Bearer a-token-of-the-fake")];
    vec![
        call(opinsights("ods"), "POST /OperationalData.svc/PostJsonDataItems", 200),
        call(opinsights("ods"), "POST /api/logs", 200),
        call(opinsights("oms"), topology, 403),
        Call { certificate: ClientCertificate::Shown, ..call(opinsights("oms"), topology, 200) },
        call(blob.to_owned(), "PUT /container/block", 201),
        call(format!("{WORKSPACE}.agentsvc.{automation}"), "GET /accounts", 200),
        call(monitor("global.handler.control"), "GET /locations/eastus/agents", 200),
        call(monitor("eastus.handler.control"), "GET /locations/eastus/agents", 200),
        call(monitor("dce-1.eastus-1.ingest"), streams, 401),
        Call { headers: bearer, ..call(monitor("dce-1.eastus-1.ingest"), streams, 204) },
        call(login.to_owned(), "POST /tenant/oauth2/v2.0/token", 200),
    ]
}

async fn make(stage: &Stage, call: &Call) -> Record {
    let config = match call.certificate {
        ClientCertificate::Shown => stage.pki.client_config_with_certificate("agent.example"),
        ClientCertificate::None => stage.pki.client_config(),
    };
    let tunnel = Tunnel::open(stage.gateway.proxy(), &format!("{}:443", call.host), &[]).await;
    let address = tunnel.address;
    let mut stream = tunnel.tls(&call.host, config).await;
    let headers = [&[("Host", call.host.as_str())], call.headers].concat();
    let answer = wire::exchange(&mut stream, call.line, &headers, b"{}").await;
    assert_eq!(answer.head.status, call.status, "{} {}", call.host, call.line);
    stream.shutdown().await.expect("an orderly end");
    let mut rest = Vec::new();
    patiently("the end of the session", stream.read_to_end(&mut rest)).await.expect("an orderly end");
    drop(stream);
    let record = stage.gateway.record_of(address).await;
    assert_carried(stage, &record, &call.host);
    record.assert_texts(&[("reason", "finished"), ("fault", "")]);
    let seen = stage.azure.requests().pop().expect("a request");
    assert_eq!((seen.server_name.as_str(), seen.line.as_str()), (call.host.as_str(), call.line));
    assert_eq!(seen.client_certificate, call.certificate == ClientCertificate::Shown);
    record
}

async fn call_with_curl(stage: &Stage, call: &Call) -> Option<Record> {
    let authority = stage.pki.authority_file();
    let (method, path) = call.line.split_once(' ').expect("a method and a path");
    let (proxy, url) = (stage.gateway.proxy_url(), format!("https://{}{path}", call.host));
    let authority = authority.to_str().expect("UTF-8");
    let outcome = curl(&["-x", &proxy, "--cacert", authority, "-X", method, "-d", "{}", &url]).await?;
    assert_eq!(
        (outcome.exit, outcome.connect_status, outcome.status),
        (0, 200, call.status),
        "{}",
        outcome.stderr
    );
    let earlier = stage.azure.connections() as usize - 1;
    let what = "the access record of curl";
    let last = stage
        .gateway
        .log()
        .wait_for(what, |log| log.records().into_iter().filter(Record::is_access).nth(earlier));
    let record = last.await;
    assert_carried(stage, &record, &call.host);
    // curl closes without reading the origin's last TLS alert; its kernel then may send a reset.
    assert!(["finished", "client_reset"].contains(&record.text("reason")), "{record:?}");
    Some(record)
}

fn assert_carried(stage: &Stage, record: &Record, host: &str) {
    record.assert_texts(&[
        ("verdict", "carried"),
        ("user", ""),
        ("role", "agents"),
        ("host", host),
        ("route", "direct"),
        ("address", &stage.azure.address().to_string()),
        ("tls_version", "1.3"),
    ]);
    assert_eq!((record.number("port"), record.number("status"), record.number("event_id")), (443, 200, 107));
    assert!(record.number("bytes_up") > 200 && record.number("bytes_down") > 200, "{record:?}");
    assert!(record.number("setup_ms") <= record.number("duration_ms"), "{record:?}");
    assert!(!record.text("rule").is_empty() && !record.text("request_id").is_empty(), "{record:?}");
}

async fn assert_metrics(stage: &Stage, records: &[Record]) {
    let count = records.len() as f64;
    stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
    stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
    let metrics = stage.gateway.metrics().await;
    assert_eq!(metrics.value("la_gateway_connects_total", &[("verdict", "carried")]), count);
    assert_eq!(metrics.value("la_gateway_connects_total", &[("verdict", "refused")]), 0.0);
    let endings = |reason| metrics.value("la_gateway_tunnel_endings_total", &[("reason", reason)]);
    assert_eq!(endings("finished") + endings("client_reset"), count);
    assert_eq!(metrics.value("la_gateway_setup_seconds_count", &[]), count);
    assert_eq!(metrics.value("la_gateway_rejections_total", &[]), 0.0);
    for (direction, field) in [("up", "bytes_up"), ("down", "bytes_down")] {
        let sum: u64 = records.iter().map(|record| record.number(field)).sum();
        let total = metrics.value("la_gateway_tunnel_bytes_total", &[("direction", direction)]);
        assert_eq!(total, sum as f64, "{direction}");
    }
}
