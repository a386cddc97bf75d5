//! The admin listener: who may read what, over what.

use std::sync::Arc;

use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use end_to_end::wire::Answer;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::agent_only_way::Network;
use crate::stage::ANYONE;

const REFUSALS: &str = "la_gateway_admin_refusals_total";
const NAME: &str = "gateway.example.com";
/// Most admin connections of one network.
const SHARE: usize = 32;

/// An admin listener with TLS, a user `ann` with the password `secret`, and these keys.
fn guarded(pki: &Pki, tls: &str, keys: &str) -> Config {
    let files = pki.pem_files("admin", &[NAME, "127.0.0.1"]);
    let (certificate, key) = (files.certificate.display(), files.key.display());
    Config::new(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"{certificate}\", key = \"{key}\"{tls} }}\n\
         users_file = \"admin.users\"\n{keys}\n{ANYONE}"
    ))
    .file("admin.users", &users_file(&[("ann", "secret")]))
}

/// Asks over TLS.
async fn ask(
    gateway: &Gateway,
    client: &Arc<ClientConfig>,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    let socket = TcpStream::connect(gateway.admin()).await.expect("a connection");
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, socket).await.ok()?;
    let headers = [&[("Host", NAME), ("Connection", "close")], headers].concat();
    wire::send_head(&mut stream, &format!("GET {path}"), &headers, 0).await;
    wire::read_answer_until_close(&mut stream).await
}

async fn refusals(gateway: &Gateway, client: &Arc<ClientConfig>, reason: &str) -> f64 {
    let answer = ask(gateway, client, "/metrics", &[]).await.expect("an answer");
    end_to_end::metrics::Metrics::parse(answer.text()).value(REFUSALS, &[("reason", reason)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_and_what_is_open_is_shown_without() {
    let pki = Pki::new();
    let config = guarded(&pki, "", &format!("open = [\"metrics\"]\nnames = [\"{NAME}\"]"));
    let gateway = Gateway::start(&config).await;
    let client = pki.client_config();
    let status = async |path: &str, headers: &[(&str, &str)]| {
        ask(&gateway, &client, path, headers).await.expect("an answer").head.status
    };
    assert_eq!(status("/metrics", &[]).await, 200);
    for path in ["/", "/api/clients", "/healthz", "/readyz", "/nothing"] {
        let answer = ask(&gateway, &client, path, &[]).await.expect("an answer");
        let challenge = answer.head.header("www-authenticate").expect("a challenge");
        assert!(answer.head.status == 401 && challenge.starts_with("Basic realm="), "{path}");
    }
    let right = basic("ann", "secret");
    for authorization in
        [basic("ann", "wrong"), basic("bob", "secret"), "Basic".to_owned(), "Bearer x".to_owned()]
    {
        assert_eq!(
            status("/api/clients", &[("Authorization", &authorization)]).await,
            401,
            "{authorization}"
        );
    }
    let twice = [("Authorization", right.as_str()), ("Authorization", right.as_str())];
    assert_eq!(status("/api/clients", &twice).await, 401);
    // Nobody at the proxy is somebody here, and the field of a proxy counts for nothing.
    assert_eq!(status("/api/clients", &[("Proxy-Authorization", &right)]).await, 401);
    assert_eq!(status("/api/clients", &twice[..1]).await, 200);
    assert_eq!(refusals(&gateway, &client, "credentials_missing").await, 6.0);
    assert_eq!(refusals(&gateway, &client, "credentials_rejected").await, 5.0);
    let record =
        gateway.wait_for_record("a wrong password", |record| record.is("reason", "credentials_rejected"));
    assert_eq!(record.await.number("event_id"), 110);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_is_barred_and_is_not_told_when_a_guess_is_right() {
    let pki = Pki::new();
    let limits = "[limits]\nfailed_logins_per_minute = 3\n";
    let gateway = Gateway::start(&guarded(&pki, "", &format!("names = [\"{NAME}\"]\n{limits}"))).await;
    let client = pki.client_config();
    let right = basic("ann", "secret");
    let known = [("Authorization", right.as_str())];
    assert_eq!(ask(&gateway, &client, "/metrics", &known).await.expect("an answer").head.status, 200);
    let mut last = None;
    for guess in 0..8 {
        let wrong = basic("ann", &guess.to_string());
        last = ask(&gateway, &client, "/metrics", &[("Authorization", &wrong)]).await;
    }
    let last = last.expect("an answer").head;
    assert!(last.status == 429 && last.header("retry-after").is_some(), "{}", last.status);
    assert_eq!(ask(&gateway, &client, "/metrics", &known).await.expect("an answer").head.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_a_reload_switches_off_is_shown_to_nobody_although_its_socket_is_bound() {
    let gateway = Gateway::start(&Config::new(ANYONE)).await;
    let mut kept = TcpStream::connect(gateway.admin()).await.expect("a connection");
    let headers = [("Host", "127.0.0.1"), ("Connection", "close")];
    Config::new(&format!("[admin]\naddress = \"off\"\n{ANYONE}")).write(gateway.folder());
    gateway.hang_up();
    let taken = |record: &end_to_end::record::Record| record.event_id() == Some(130);
    gateway.wait_for_record("a reload", taken).await;
    wire::send_head(&mut kept, "GET /metrics", &headers, 0).await;
    assert_eq!(wire::read_answer_until_close(&mut kept).await.expect("an answer").head.status, 403);
    let mut other = TcpStream::connect(gateway.admin()).await.expect("a connection");
    wire::send_head(&mut other, "GET /metrics", &headers, 0).await;
    assert!(wire::read_answer_until_close(&mut other).await.is_none(), "closed without a word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_that_is_listed_needs_no_password_and_another_does() {
    let pki = Pki::new();
    let authority = pki.authority_file();
    let tls = format!(", client_ca = \"{}\", client_certificate = \"optional\"", authority.display());
    let keys = format!("certificates = [\"DNS:operator.example\"]\nnames = [\"{NAME}\"]");
    let gateway = Gateway::start(&guarded(&pki, &tls, &keys)).await;
    for (name, expected) in [("operator.example", 200), ("agent.example", 401)] {
        let client = pki.client_config_with_certificate(name);
        let answer = ask(&gateway, &client, "/api/clients", &[]).await.expect("an answer");
        assert_eq!(answer.head.status, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_written_is_not_answered_and_every_answer_is_strict() {
    let gateway = Gateway::start(&Config::new(ANYONE)).await;
    let by_name = async |host: &str, path: &str| {
        let mut stream = TcpStream::connect(gateway.admin()).await.expect("a connection");
        let headers = [("Host", host), ("Connection", "close")];
        wire::send_head(&mut stream, &format!("GET {path}"), &headers, 0).await;
        wire::read_answer_until_close(&mut stream).await.expect("an answer").head
    };
    for (host, path, expected) in [
        ("rebound.example:9180", "/api/clients", 421),
        ("rebound.example", "/nothing", 421),
        ("localhost:9180", "/api/clients", 200),
        ("127.0.0.1", "/api/clients", 200),
        ("gateway.corp.example:9180", "/metrics", 421),
        // Probes name what they like.
        ("probe", "/readyz", 200),
    ] {
        let head = by_name(host, path).await;
        assert_eq!(head.status, expected, "{host} {path}");
        for (field, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(head.header(field), Some(value), "{host} {path}");
        }
        let policy = head.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    }
    assert_eq!(gateway.metric(REFUSALS, &[("reason", "host_denied")]).await, 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_loopback_metrics_alone_are_shown_in_the_clear_and_to_listed_networks_only() {
    let Some(network) = Network::new().await else { return };
    let near = network.near;
    let config = |keys: &str| Config::new(&format!("[admin]\naddress = \"{near}:0\"\n{keys}\n{ANYONE}"));
    let gateway = Gateway::start(&config(&format!("from = [\"{near}/32\"]\nopen = [\"metrics\"]"))).await;
    assert_eq!(gateway.get("/metrics").await.head.status, 200);
    for path in ["/", "/page.js", "/api/clients", "/api/events", "/readyz"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.head.status, 403, "{path}");
        assert!(
            answer.text().contains("needs `tls`, and `users_file` or `certificates`"),
            "{}",
            answer.text()
        );
    }
    // A password in the clear would help whoever listens on the way, and nobody else.
    config(&format!("from = [\"{near}/32\"]")).write(gateway.folder());
    gateway.hang_up();
    gateway.wait_for_record("a refused reload", |record| record.event_id() == Some(131)).await;
    assert!(gateway.everything_said().contains("has no TLS and no password"));
    assert_eq!(gateway.get("/api/clients").await.head.status, 403);
    config("from = [\"192.0.2.9/32\"]\nopen = [\"metrics\"]").write(gateway.folder());
    gateway.hang_up();
    gateway.wait_for_record("a reload", |record| record.event_id() == Some(130)).await;
    let mut stranger = TcpStream::connect(gateway.admin()).await.expect("a connection");
    wire::send_head(&mut stranger, "GET /metrics", &[("Host", "127.0.0.1")], 0).await;
    assert!(wire::read_answer_until_close(&mut stranger).await.is_none(), "closed without a word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_takes_half_of_the_admin_connections_and_no_more() {
    let gateway = Gateway::start(&Config::new(ANYONE)).await;
    let from = async |last: u8| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, last], 0).into()).expect("an address of ours");
        socket.connect(gateway.admin()).await.expect("a connection")
    };
    let ask = async |stream: &mut TcpStream| {
        let headers = [("Host", "127.0.0.1"), ("Connection", "close")];
        wire::send_head(stream, "GET /metrics", &headers, 0).await;
        wire::read_answer_until_close(stream).await
    };
    let mut greedy = Vec::new();
    for _ in 0..SHARE {
        greedy.push(from(7).await);
    }
    assert!(ask(&mut from(7).await).await.is_none(), "one more is closed without a word");
    let other = ask(&mut from(8).await).await.expect("an answer");
    let metrics = end_to_end::metrics::Metrics::parse(other.text());
    assert_eq!(metrics.value(REFUSALS, &[("reason", "busy")]), 1.0);
    // Who waited is answered, and whoever goes makes room.
    assert_eq!(ask(&mut greedy.remove(0)).await.expect("an answer").head.status, 200);
    patiently("there is room again", async { while ask(&mut from(7).await).await.is_none() {} }).await;
}
