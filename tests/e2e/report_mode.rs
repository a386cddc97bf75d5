//! Report mode: what only a role's hosts and pins stand against is let through, counted and recorded; nothing else is.

use std::net::IpAddr;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::pki::Pki;
use end_to_end::wire;

use crate::stage::GOOD;
use crate::stage::assert_refusal;

const OTHER_WORKSPACE: &str = "99999999-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
const OTHER_ACCOUNT: &str = "otherlogs.blob.core.windows.net";
const ELSEWHERE: &str = "packages.example.org";
const NAMES: [&str; 4] = [GOOD, OTHER_WORKSPACE, OTHER_ACCOUNT, ELSEWHERE];

/// A role in report mode for one address, and an enforced one with the same rules for another.
const ROLES: &str = r#"
[role.trial]
mode = "report"
anonymous_from = ["127.0.0.1/32"]
workspaces = ["1234a123-aa1a-123a-aaa1-a1a345aa6789"]
storage_accounts = ["goodlogs"]

[role.enforced]
anonymous_from = ["127.0.0.2/32"]
workspaces = ["1234a123-aa1a-123a-aaa1-a1a345aa6789"]
storage_accounts = ["goodlogs"]
"#;

const INSIDE: &str = "inside.example.org";
const ITSELF: &str = "itself.example.org";

struct Stage {
    pki: Pki,
    azure: FakeAzure,
    gateway: Gateway,
}

impl Stage {
    async fn new() -> Self {
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, &NAMES).await;
        let inside = "10.1.2.3:443".parse().expect("an address");
        let config = Config::new(ROLES).hosts(&NAMES, azure.address()).host(INSIDE, &[inside]);
        let gateway = Gateway::start(&config).await;
        Self { pki, azure, gateway }
    }

    /// Opens a tunnel, fetches something through TLS in it, and returns the client's address.
    async fn fetch(&self, host: &str) -> std::net::SocketAddr {
        let tunnel = Tunnel::open(self.gateway.proxy(), &format!("{host}:443"), &[]).await;
        let address = tunnel.address;
        let mut stream = tunnel.tls(host, self.pki.client_config()).await;
        let answer = wire::exchange(&mut stream, "GET /bytes/1000", &[("Host", host)], b"").await;
        assert_eq!((answer.head.status, answer.body.len()), (200, 1000), "{host}");
        address
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rules_or_pins_do_not_allow_is_let_through_and_counted_and_recorded_with_its_reason() {
    let stage = Stage::new().await;
    let cases = [
        (ELSEWHERE, "host_denied"),
        (OTHER_WORKSPACE, "workspace_denied"),
        (OTHER_ACCOUNT, "storage_account_denied"),
    ];
    for (host, reason) in cases {
        let client = stage.fetch(host).await;
        let record = stage.gateway.only_record_of(client).await;
        let texts = [
            ("verdict", "carried"),
            ("would_refuse", reason),
            ("rule", ""),
            ("role", "trial"),
            ("level", "WARN"),
        ];
        record.assert_texts(&texts);
        assert_eq!(record.event_id(), Some(141), "{host}");
        assert!(record.number("bytes_down") > 1000, "{host}");
        let labels = [("role", "trial"), ("reason", reason)];
        assert_eq!(stage.gateway.metric("la_gateway_would_refuse_total", &labels).await, 1.0, "{host}");
    }
    let client = stage.fetch(GOOD).await;
    let record = stage.gateway.only_record_of(client).await;
    record.assert_texts(&[("would_refuse", ""), ("level", "INFO")]);
    assert_eq!((record.event_id(), record.text("rule").is_empty()), (Some(107), false));
    assert_eq!(stage.gateway.metric("la_gateway_would_refuse_total", &[]).await, 3.0);
    assert_eq!(stage.gateway.metric("la_gateway_refusals_total", &[]).await, 0.0);
    assert_eq!(stage.gateway.metric("la_gateway_roles_in_report_mode", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enforced_role_beside_it_is_refused_as_ever() {
    let stage = Stage::new().await;
    let from: IpAddr = "127.0.0.2".parse().expect("an address");
    for (host, reason) in [(ELSEWHERE, "host_denied"), (OTHER_WORKSPACE, "workspace_denied")] {
        let mut client = RawClient::connect_from(from, stage.gateway.proxy()).await;
        client.send(&connect_request(&format!("{host}:443"), &[])).await;
        let address = client.address();
        assert_refusal(&client.refusal().await.expect("an answer"), 403);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("verdict", "refused"), ("reason", reason), ("would_refuse", "")]);
    }
    assert_eq!(stage.gateway.metric("la_gateway_would_refuse_total", &[]).await, 0.0);
    assert_eq!(stage.azure.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_addresses_other_ports_and_literals_are_refused_all_the_same() {
    let stage = Stage::new().await;
    let cases = [
        (format!("{INSIDE}:443"), 403, "address_forbidden", "host_denied"),
        (format!("{ELSEWHERE}:8443"), 403, "port_denied", ""),
        ("127.0.0.1:443".to_owned(), 403, "address_literal", ""),
    ];
    for (target, status, reason, would_refuse) in cases {
        let (answer, address) = refused(stage.gateway.proxy(), &target, &[]).await;
        assert_refusal(&answer, status);
        let record = stage.gateway.record_of(address).await;
        record.assert_texts(&[("verdict", "refused"), ("reason", reason), ("would_refuse", would_refuse)]);
    }
    assert_eq!(stage.azure.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_the_gateway_itself_is_refused_all_the_same() {
    let itself = format!("[dns]\nhosts = {{ \"{ITSELF}\" = [\"127.0.0.1\"] }}\n[addresses]\nallow = []\n");
    let gateway = Gateway::start(&Config::new(&format!("{ROLES}{itself}"))).await;
    let (answer, address) = refused(gateway.proxy(), &format!("{ITSELF}:443"), &[]).await;
    assert_refusal(&answer, 403);
    gateway.record_of(address).await.assert_texts(&[("reason", "address_forbidden")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hellos_are_judged_all_the_same() {
    let stage = Stage::new().await;
    let target = format!("{ELSEWHERE}:443");
    let tunnel = Tunnel::open(stage.gateway.proxy(), &target, &[]).await;
    let address = tunnel.address;
    let name = tokio_rustls::rustls::pki_types::ServerName::try_from(GOOD).expect("a name");
    let connecting = tokio_rustls::TlsConnector::from(stage.pki.client_config()).connect(name, tunnel.stream);
    assert!(connecting.await.is_err(), "another server name went through");
    stage
        .gateway
        .record_of(address)
        .await
        .assert_texts(&[("reason", "server_name"), ("would_refuse", "host_denied")]);

    let mut tunnel = Tunnel::open(stage.gateway.proxy(), &target, &[]).await;
    tokio::io::AsyncWriteExt::write_all(&mut tunnel.stream, b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let record = stage.gateway.record_of(tunnel.address).await;
    record.assert_texts(&[("reason", "not_tls"), ("would_refuse", "host_denied")]);
    assert_eq!(record.event_id(), Some(141), "whatever ended it");
}
