//! Row A12: clients that show certificates, and files that change under the running gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use end_to_end::authority::Authority;
use end_to_end::authority::Subject;
use end_to_end::authority::showing;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::curl::curl;
use end_to_end::patience::patiently;
use end_to_end::pki::PemFiles;
use end_to_end::pki::Pki;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;

const FRONT: &str = "gateway.example";
const USERS: &str = "[role.people]\nusers_file = \"people.users\"\nbundles = [\"log-analytics\"]\n";
const SITES: &str = "[role.sites]\ncertificates = [\"CN=site-7\"]\nbundles = [\"log-analytics\"]\n\
                     [role.named]\ncertificates = [\"DNS:site-8.example\"]\nbundles = [\"log-analytics\"]\n";
/// How often a handshake is tried where the gateway says nothing of a change.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The two authorities of a listener with TLS alone: the servers' and the clients'.
struct Authorities {
    front: Pki,
    clients: Authority,
}

impl Authorities {
    fn new() -> Self {
        Self { front: Pki::new(), clients: Authority::new("clients") }
    }

    /// Configures a listener whose files stand beside the configuration. `policy` may be empty.
    fn listener(&self, policy: &str, revoked: Option<&[u64]>, roles: &str) -> Config {
        let files = self.front.pem_files("gateway", &[FRONT, "127.0.0.1"]);
        let mut keys =
            String::from("certificate = \"gw.crt\", key = \"gw.key\", client_ca = \"clients.pem\"");
        if revoked.is_some() {
            keys.push_str(", client_crl = \"clients.crl\"");
        }
        if !policy.is_empty() {
            keys.push_str(&format!(", client_certificate = \"{policy}\""));
        }
        let listener =
            format!("[[listener]]\naddress = \"127.0.0.1:0\"\nplain = false\ntls = {{ {keys} }}\n");
        let config = Config::new(&format!("{listener}{roles}"))
            .file("gw.crt", &read(&files.certificate))
            .file("gw.key", &read(&files.key))
            .file("clients.pem", &read(&self.clients.file()))
            .file("people.users", &users_file(&[("anna", "p@ss")]));
        match revoked {
            Some(serials) => config.file("clients.crl", &self.clients.revocation_list(1, serials)),
            None => config,
        }
    }

    fn issue(&self, common_name: &str, dns: &[&str], serial: u64) -> PemFiles {
        self.clients.issue(Subject { common_name: Some(common_name), dns, serial, until: 2099 })
    }

    /// Asks for a tunnel with this certificate; returns the status and the open connection, and our
    /// own address. `None` is a handshake that was refused.
    async fn ask(
        &self,
        proxy: SocketAddr,
        shown: Option<&PemFiles>,
        headers: &[(&str, &str)],
    ) -> (Option<(u16, TlsStream<TcpStream>)>, SocketAddr) {
        let client = RawClient::connect(proxy).await;
        let own = client.address();
        let name = ServerName::try_from(FRONT).expect("a host name");
        let connector = TlsConnector::from(showing(&self.front, shown));
        let secured = patiently("a handshake", connector.connect(name, client.into_stream())).await;
        let Ok(mut stream) = secured else { return (None, own) };
        // In TLS 1.3 the client is done before the gateway has seen its certificate.
        let request = connect_request(GOOD_TARGET, headers);
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await;
        let head = wire::read_head(&mut stream).await;
        (head.map(|head| (head.status, stream)), own)
    }

    /// Asks for a tunnel and returns the status alone, 0 for a refused handshake, with our own address.
    async fn status(
        &self,
        proxy: SocketAddr,
        shown: Option<&PemFiles>,
        headers: &[(&str, &str)],
    ) -> (u16, SocketAddr) {
        let (answer, own) = self.ask(proxy, shown, headers).await;
        (answer.map_or(0, |(status, _)| status), own)
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a PEM file")
}

async fn assert_handshake_refused(stage: &Stage, own: SocketAddr) {
    let record = stage.gateway.only_record_of(own).await;
    record.assert_texts(&[("reason", "tls_handshake"), ("verdict", "refused"), ("host", "")]);
    record.assert_texts(&[("user", ""), ("role", ""), ("address", "")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_certificate_gives_the_role_by_its_common_name_or_dns_name_and_beats_a_password() {
    let both = Authorities::new();
    let stage = Stage::good(both.listener("", Some(&[]), &format!("{SITES}{USERS}"))).await;
    let series = stage.gateway.metrics().await;
    let right = basic("anna", "p@ss");
    let wrong = basic("anna", "wrong");
    let cases = [
        (both.issue("site-7", &[], 7), "", "CN=site-7", "sites"),
        (both.issue("whatever", &["other.example", "SITE-8.example"], 8), "", "DNS:site-8.example", "named"),
        (both.issue("site-7", &["x.example"], 9), right.as_str(), "CN=site-7", "sites"),
        (both.issue("site-7", &[], 10), &wrong, "CN=site-7", "sites"),
    ];
    for (files, authorization, user, role) in &cases {
        let headers = [("Proxy-Authorization", *authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers };
        let (status, own) = both.status(stage.gateway.proxy(), Some(files), headers).await;
        assert_eq!(status, 200, "{user}");
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("user", user), ("role", role), ("route", "direct"), ("verdict", "carried")]);
    }
    assert_eq!((stage.azure.connections(), stage.gateway.records_once(4).await), (4, 4));
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_certificate_that_no_role_lists_tells_nothing_and_the_password_decides() {
    let both = Authorities::new();
    let stage = Stage::good(both.listener("", None, &format!("{SITES}{USERS}"))).await;
    let (right, wrong) = (basic("anna", "p@ss"), basic("anna", "wrong"));
    let files = both.issue("site-70", &["site-8.example.evil.example", "xsite-8.example"], 7);
    let cases = [
        (None, 407, "credentials_missing", ""),
        (Some(&wrong), 407, "credentials_rejected", "anna"),
        (Some(&right), 200, "", "anna"),
    ];
    for (authorization, expected, reason, user) in cases {
        let headers: Vec<_> =
            authorization.map(|text| ("Proxy-Authorization", text.as_str())).into_iter().collect();
        let (status, own) = both.status(stage.gateway.proxy(), Some(&files), &headers).await;
        assert_eq!(status, expected);
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("user", user), ("role", if expected == 200 { "people" } else { "" })]);
        assert!(reason.is_empty() || record.is("reason", reason), "{reason}");
        assert_eq!(stage.azure.connections(), u64::from(expected == 200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_certificates_are_required_optional_or_not_asked_for() {
    let both = Authorities::new();
    let known = both.issue("site-7", &[], 7);
    let namesake = Authority::new("clients");
    let subject = Subject { common_name: Some("site-7"), dns: &[], serial: 7, until: 2099 };
    let stranger = namesake.issue(subject);
    let expired = both.clients.issue(Subject { serial: 8, until: 2021, ..subject });
    let roles = format!("{SITES}{ANYONE}");
    // For each policy: the role of one who shows nothing, the known, the stranger's, the expired one.
    let cases = [
        ("", ["", "sites", "", ""]),
        ("required", ["", "sites", "", ""]),
        ("optional", ["agents", "sites", "", ""]),
        ("none", ["agents", "agents", "agents", "agents"]),
    ];
    for (policy, roles_given) in cases {
        let stage = Stage::good(both.listener(policy, None, &roles)).await;
        let series = stage.gateway.metrics().await;
        for (shown, role) in
            [None, Some(&known), Some(&stranger), Some(&expired)].into_iter().zip(roles_given)
        {
            let before = stage.azure.connections();
            let (status, own) = both.status(stage.gateway.proxy(), shown, &[]).await;
            assert_eq!(status, if role.is_empty() { 0 } else { 200 }, "{policy} {role}");
            match role {
                "" => assert_handshake_refused(&stage, own).await,
                _ => stage.gateway.only_record_of(own).await.assert_texts(&[("role", role)]),
            }
            assert_eq!(stage.azure.connections(), before + u64::from(!role.is_empty()));
        }
        assert_eq!(stage.gateway.metrics().await.series(), series.series());
        assert_eq!(both.status(stage.gateway.proxy(), Some(&known), &[]).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_curl_shows_its_certificate_to_the_proxy() {
    let both = Authorities::new();
    let stage = Stage::good(both.listener("", Some(&[13]), &format!("{SITES}{USERS}"))).await;
    let proxy = format!("https://{}", stage.gateway.proxy());
    let (front, origin) = (both.front.authority_file(), stage.pki.authority_file());
    let url = format!("https://{GOOD}/bytes/100000");
    let cases = [
        (Some(both.issue("site-7", &[], 7)), "", Some(200), "CN=site-7", "sites"),
        (Some(both.issue("x", &["site-8.example"], 8)), "", Some(200), "DNS:site-8.example", "named"),
        (Some(both.issue("site-9", &[], 9)), "", Some(407), "", ""),
        (Some(both.issue("site-9", &[], 10)), "anna:p@ss", Some(200), "anna", "people"),
        (Some(both.issue("site-7", &[], 13)), "", None, "", ""),
        (None, "anna:p@ss", None, "", ""),
    ];
    for (count, (shown, user, status, name, role)) in cases.iter().enumerate() {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mut arguments = vec!["-x".to_owned(), proxy.clone(), "--proxy-cacert".to_owned(), text(&front)];
        if let Some(files) = shown {
            arguments.extend(["--proxy-cert".to_owned(), text(&files.certificate)]);
            arguments.extend(["--proxy-key".to_owned(), text(&files.key)]);
        }
        if !user.is_empty() {
            arguments.extend(["-U".to_owned(), (*user).to_owned()]);
        }
        arguments.extend(["--cacert".to_owned(), text(&origin), url.clone()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let Some(outcome) = curl(&arguments).await else { return };
        assert_eq!(outcome.connect_status, status.unwrap_or(0), "{arguments:?} {}", outcome.stderr);
        assert_eq!(outcome.exit == 0, *status == Some(200), "{arguments:?} {}", outcome.stderr);
        let what = format!("record {count}");
        let nth = |_: &end_to_end::record::Log| stage.gateway.access_records().get(count).cloned();
        let record = stage.gateway.log().wait_for(&what, nth).await;
        record.assert_texts(&[("user", name), ("role", role)]);
        assert!(status.is_some() || record.is("reason", "tls_handshake"));
    }
    assert_eq!(stage.gateway.access_records().len(), cases.len());
    assert_eq!(stage.azure.connections(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_revoked_certificate_is_refused_as_soon_as_the_list_on_disk_says_so() {
    let both = Authorities::new();
    let stage = Stage::good(both.listener("", Some(&[13]), SITES)).await;
    let series = stage.gateway.metrics().await;
    let (kept, revoked) = (both.issue("site-7", &[], 7), both.issue("site-7", &[], 13));
    let proxy = stage.gateway.proxy();
    let (status, own) = both.status(proxy, Some(&revoked), &[]).await;
    assert_eq!(status, 0);
    assert_handshake_refused(&stage, own).await;
    assert_eq!(stage.azure.connections(), 0);
    assert_eq!(both.status(proxy, Some(&kept), &[]).await.0, 200);

    let list = stage.gateway.folder().join("clients.crl");
    std::fs::write(&list, "no list at all").expect("a file");
    let is_121 =
        |record: &end_to_end::record::Record| record.is("level", "WARN") && record.number("event_id") == 121;
    stage.gateway.wait_for_record("the wrong list is complained of", is_121).await;
    assert_eq!(both.status(proxy, Some(&kept), &[]).await.0, 200);
    assert_eq!(both.status(proxy, Some(&revoked), &[]).await.0, 0);

    std::fs::write(&list, both.clients.revocation_list(2, &[7])).expect("a file");
    patiently("the new list is in force", async {
        while both.status(proxy, Some(&kept), &[]).await.0 != 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let (status, own) = both.status(proxy, Some(&revoked), &[]).await;
    assert_eq!(status, 200, "it is on the list no more");
    stage.gateway.only_record_of(own).await.assert_texts(&[("user", "CN=site-7"), ("role", "sites")]);
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_server_certificate_is_presented_while_an_open_tunnel_goes_on() {
    let both = Authorities::new();
    let stage = Stage::good(both.listener("", None, SITES)).await;
    let known = both.issue("site-7", &[], 7);
    let proxy = stage.gateway.proxy();
    let (answer, own) = both.ask(proxy, Some(&known), &[]).await;
    let (status, outer) = answer.expect("a handshake");
    assert_eq!(status, 200);
    let before = presented(&outer);
    let name = ServerName::try_from(GOOD).expect("a host name");
    let connecting = TlsConnector::from(stage.pki.client_config()).connect(name, outer);
    let mut inner = patiently("a handshake in the tunnel", connecting).await.expect("a handshake");

    let renewed = both.front.pem_files("renewed", &[FRONT, "127.0.0.1"]);
    for (file, name) in [(&renewed.certificate, "gw.crt"), (&renewed.key, "gw.key")] {
        std::fs::copy(file, stage.gateway.folder().join(name)).expect("a file");
    }
    patiently("the renewed certificate is presented", async {
        loop {
            let (answer, _) = both.ask(proxy, Some(&known), &[]).await;
            let (status, stream) = answer.expect("a handshake, with either certificate");
            assert_eq!(status, 200);
            if presented(&stream) != before {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    let answer = wire::exchange(&mut inner, "POST /hash", &[("Host", GOOD)], b"abc").await;
    assert_eq!(answer.head.status, 200);
    assert!(!stage.gateway.access_records().iter().any(|record| record.is_from(own)), "the tunnel is over");
    drop(inner);
    let record = stage.gateway.only_record_of(own).await;
    record.assert_texts(&[("user", "CN=site-7"), ("role", "sites"), ("verdict", "carried")]);
}

/// Returns the certificate that the gateway showed.
fn presented(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let shown = stream.get_ref().1.peer_certificates().expect("a certificate");
    shown[0].as_ref().to_vec()
}
