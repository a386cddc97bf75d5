//! Row A11: load balancers that say by a PROXY header who the client is.

use std::net::SocketAddr;

use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::content::hash_of;
use end_to_end::curl::curl;
use end_to_end::haproxy::Haproxy;
use end_to_end::proxy_header::LOCAL;
use end_to_end::proxy_header::PROXY;
use end_to_end::proxy_header::TCP4;
use end_to_end::proxy_header::tlv;
use end_to_end::proxy_header::v1;
use end_to_end::proxy_header::v2;
use end_to_end::proxy_header::v2_raw;
use end_to_end::wire;

use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::RawStage;
use crate::stage::Stage;
use crate::stage::assert_refusal;
use crate::stage::lonely_address;
use crate::stage::read_exactly;

/// One role for each network a header may name, and one for the balancer itself.
const ROLES: &str = r#"
[role.site]
anonymous_from = ["198.51.100.0/24"]
[role.site-six]
anonymous_from = ["2001:db8:6::/48"]
[role.balancer]
anonymous_from = ["127.0.0.0/8"]
"#;

fn behind(required: bool, limits: &str) -> Config {
    Config::new(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         proxy_protocol = {{ trusted = [\"127.0.0.1/32\"], required = {required} }}\n{ROLES}{limits}"
    ))
}

/// Returns an address in the network of the role `site`, another one for each number.
fn site(number: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 20_000 + number))
}

/// How the bytes of a client arrive.
#[derive(Clone, Copy, Debug)]
enum Way {
    Fused,
    ByteByByte,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_the_header_names_the_client_and_so_its_role() {
    let stage = RawStage::new(behind(true, "")).await;
    let series = stage.gateway.metrics().await;
    let six: SocketAddr = "[2001:db8:6::7]:4711".parse().expect("an address");
    let longest: SocketAddr = "[2001:db8:6:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
    let other: SocketAddr = "[2001:db8:6:ffff:ffff:ffff:ffff:ffff]:65534".parse().expect("an address");
    let tlvs = [tlv(4, &[0; 3]), tlv(2, b"gateway.example"), tlv(0x20, &[1, 0, 0, 0, 0])].concat();
    let cases = [
        (v1(site(1)), Way::Fused, site(1), "site"),
        (v1(site(2)), Way::ByteByByte, site(2), "site"),
        (v2(site(3), &[]), Way::Fused, site(3), "site"),
        (v2(site(4), &[]), Way::ByteByByte, site(4), "site"),
        (v2(site(5), &tlvs), Way::Fused, site(5), "site"),
        (v2(site(6), &tlvs), Way::ByteByByte, site(6), "site"),
        (v2(site(7), &tlv(4, &[0; 4096 - 12 - 3])), Way::Fused, site(7), "site"),
        (v1(six), Way::Fused, six, "site-six"),
        (v1(longest), Way::ByteByByte, longest, "site-six"),
        (v2(other, &tlvs), Way::Fused, other, "site-six"),
    ];
    for (header, way, client, role) in cases {
        carried(&stage, &header, way).await;
        let record = stage.gateway.only_record_of(client).await;
        record.assert_texts(&[("role", role), ("verdict", "carried")]);
    }
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_a_balancer_that_speaks_for_itself_is_the_client() {
    let stage = RawStage::new(behind(true, "")).await;
    let cases = [
        v2_raw(LOCAL, 0, 0, &[]),
        v2_raw(LOCAL, 0, 7, &tlv(4, &[0; 4])),
        v2_raw(LOCAL, TCP4, 12, &[1; 12]),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 198.51.100.7 192.0.2.1 4711 443\r\n".to_vec(),
    ];
    for header in cases {
        let own = carried(&stage, &header, Way::Fused).await;
        stage.gateway.only_record_of(own).await.assert_texts(&[("role", "balancer")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_wrong_and_missing_headers_are_closed_without_an_answer() {
    let stage = RawStage::new(behind(true, "")).await;
    let series = stage.gateway.metrics().await;
    let text = |line: &str| format!("{line}\r\n").into_bytes();
    let addresses = [198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 0x1f, 0x90];
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 97]].concat();
    assert_eq!(endless.len(), 108);
    let cases = [
        endless,
        text("PROXY TCP4 198.51.100.7 192.0.2.1 99999 443"),
        text("PROXY TCP4 198.51.100.7 192.0.2.1 4711"),
        text("PROXY TCP4 198.51.100.256 192.0.2.1 4711 443"),
        text("PROXY TCP4 2001:db8:6::7 2001:db8::1 4711 443"),
        text("PROXY TCP6 198.51.100.7 192.0.2.1 4711 443"),
        text("PROXY TCP4  198.51.100.7 192.0.2.1 4711 443"),
        text("PROXY UDP4 198.51.100.7 192.0.2.1 4711 443"),
        text("PROXY TCP4 198.51.100.7\0 192.0.2.1 4711 443"),
        text("proxy TCP4 198.51.100.7 192.0.2.1 4711 443"),
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\n".to_vec(),
        v2_raw(PROXY, TCP4, 4, &addresses[..4]),
        v2_raw(PROXY, TCP4, 4097, &[0; 4097]),
        v2_raw(PROXY, TCP4, 17, &[&addresses[..], &[4, 0, 9, 1, 2]].concat()),
        v2_raw(0x11, TCP4, 12, &addresses),
        v2_raw(0x31, TCP4, 12, &addresses),
        v2_raw(0x22, TCP4, 12, &addresses),
        v2_raw(PROXY, 0x31, 216, &[b'/'; 216]),
        v2_raw(PROXY, 0x51, 12, &addresses),
        [&b"\r\n\r\n\0\r\nQUIT\r"[..], &[PROXY, TCP4, 0, 12], &addresses].concat(),
        Vec::new(),
        b"\r\n".to_vec(),
        stage.hellos.client.clone(),
    ];
    for (number, header) in cases.iter().enumerate() {
        assert_closed(&stage, header).await;
        carried(&stage, &v2(site(number as u16), &[]), Way::Fused).await;
        stage.gateway.only_record_of(site(number as u16)).await.assert_texts(&[("role", "site")]);
    }
    let reasons = [("reason", "proxy_header")];
    let refused = stage.gateway.metric("la_gateway_refusals_total", &reasons).await;
    assert_eq!(refused, cases.len() as f64);
    assert_eq!(stage.gateway.metrics().await.series(), series.series());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_a_header_that_ends_early_or_comes_too_late_is_closed() {
    let stage = RawStage::new(behind(true, "[limits]\nhead_timeout = \"1s\"\n")).await;
    let mut silent = Vec::new();
    for header in [v1(site(1)), v2(site(1), &tlv(4, &[0; 40])), v2_raw(PROXY, TCP4, 4000, &[0; 12])] {
        for length in [1, 6, 14, header.len() - 1] {
            for ends in [true, false] {
                let mut client = RawClient::connect(stage.gateway.proxy()).await;
                client.send(&header[..length]).await;
                if ends {
                    client.finish().await;
                }
                silent.push(client);
            }
        }
    }
    for client in silent {
        assert_silence(&stage, client, "a part of a header").await;
    }
    carried(&stage, &v2(site(2), &[]), Way::Fused).await;
    stage.gateway.only_record_of(site(2)).await.assert_texts(&[("role", "site")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_nobody_else_may_name_a_client() {
    let outside = "127.0.0.2".parse().expect("an address");
    for required in [true, false] {
        let stage = RawStage::new(behind(required, "")).await;
        for header in [v1(site(1)), v2(site(1), &[]), v2_raw(LOCAL, 0, 0, &[])] {
            let mut client = RawClient::connect_from(outside, stage.gateway.proxy()).await;
            let own = client.address();
            client.send(&[header, connect_request(GOOD_TARGET, &[])].concat()).await;
            // Without a header being looked for, it is the beginning of a malformed request.
            match client.refusal().await {
                None => assert!(required, "no answer where a header is optional"),
                Some(answer) => {
                    assert!(!required && [400, 505].contains(&answer.head.status), "{answer:?}");
                    assert_refusal(&answer, answer.head.status);
                }
            }
            let record = stage.gateway.only_record_of(own).await;
            record.assert_texts(&[("verdict", "refused"), ("role", ""), ("user", "")]);
            assert!(!stage.origin.is_called().await);
        }
        let mut bare = RawClient::connect_from(outside, stage.gateway.proxy()).await;
        let own = bare.address();
        bare.send(&connect_request(GOOD_TARGET, &[])).await;
        match required {
            true => assert!(bare.refusal().await.is_none(), "an answer without a header"),
            false => drop(bare.tunnel().await),
        }
        let reason = if required { ("reason", "proxy_header") } else { ("role", "balancer") };
        stage.gateway.only_record_of(own).await.assert_texts(&[reason]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_where_headers_are_optional_a_trusted_sender_may_come_without() {
    let stage = RawStage::new(behind(false, "")).await;
    let own = carried(&stage, &[], Way::Fused).await;
    stage.gateway.only_record_of(own).await.assert_texts(&[("role", "balancer")]);
    let own = carried(&stage, &[], Way::ByteByByte).await;
    stage.gateway.only_record_of(own).await.assert_texts(&[("role", "balancer")]);
    for (number, header) in [v1(site(0)), v2(site(1), &[])].iter().enumerate() {
        carried(&stage, header, Way::ByteByByte).await;
        let record = stage.gateway.only_record_of(site(number as u16)).await;
        record.assert_texts(&[("role", "site")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_probe_is_no_error() {
    for required in [true, false] {
        let stage = RawStage::new(behind(required, "")).await;
        for probe in [&[][..], &v2_raw(LOCAL, 0, 0, &[]), &v1(site(1)), b"PROXY UNKNOWN\r\n"] {
            for _ in 0..5 {
                let mut client = RawClient::connect(stage.gateway.proxy()).await;
                client.send(probe).await;
                client.finish().await;
                assert!(client.refusal().await.is_none(), "an answer to a probe");
            }
        }
        end_to_end::origin::reset(RawClient::connect(stage.gateway.proxy()).await.into_stream());
        stage.gateway.wait_for_metric("la_gateway_active_client_connections", &[], 0.0).await;
        let metrics = stage.gateway.metrics().await;
        for name in ["la_gateway_refusals_total", "la_gateway_errors_total", "la_gateway_rejections_total"] {
            assert_eq!(metrics.value(name, &[]), 0.0, "{name}");
        }
        carried(&stage, &v1(site(2)), Way::Fused).await;
        stage.gateway.only_record_of(site(2)).await;
        assert_eq!(stage.gateway.records_once(1).await, 1, "required: {required}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_one_balancer_have_limits_of_their_own() {
    let stage = RawStage::new(behind(true, "[limits]\ntunnels_per_client = 1\n")).await;
    let other = SocketAddr::from(([198, 51, 100, 8], 20_000));
    let mut held = Vec::new();
    for client in [site(0), other] {
        let request = [v2(client, &[]), connect_request(GOOD_TARGET, &[])].concat();
        let mut first = RawClient::connect(stage.gateway.proxy()).await;
        first.send(&request).await;
        held.push(first.tunnel().await);
        let mut second = RawClient::connect(stage.gateway.proxy()).await;
        second.send(&request).await;
        assert_refusal(&second.refusal().await.expect("an answer"), 429);
    }
    stage.gateway.wait_for_metric("la_gateway_connected_clients", &[], 2.0).await;
    drop(held);
    stage.gateway.wait_for_metric("la_gateway_connected_clients", &[], 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_haproxy_tells_the_client_and_its_checks_leave_no_records() {
    for tells in ["send-proxy", "send-proxy-v2"] {
        let stage = Stage::good(behind(true, "")).await;
        let address = SocketAddr::new(lonely_address().into(), 18443);
        let Some(haproxy) = Haproxy::start(address, stage.gateway.proxy(), tells).await else { return };
        haproxy.wait_for_check().await;
        let tunnel = Tunnel::open(haproxy.address(), GOOD_TARGET, &[]).await;
        let own = tunnel.address;
        let mut stream = tunnel.tls(GOOD, stage.pki.client_config()).await;
        let content = Content::new(5, 1_000_000).all();
        let answer = wire::exchange(&mut stream, "POST /hash", &[("Host", GOOD)], &content).await;
        assert_eq!(answer.text(), hash_of(Content::new(5, 1_000_000)));
        drop(stream);
        let record = stage.gateway.only_record_of(own).await;
        record.assert_texts(&[("role", "balancer"), ("verdict", "carried"), ("tls_version", "1.3")]);
        let (authority, proxy) = (stage.pki.authority_file(), format!("http://{address}"));
        let authority = authority.to_str().expect("UTF-8");
        let url = format!("https://{GOOD}/bytes/100000");
        let Some(outcome) = curl(&["-x", &proxy, "--cacert", authority, &url]).await else { return };
        assert_eq!((outcome.exit, outcome.body.len()), (0, 100_000), "{}", outcome.stderr);
        stage.gateway.wait_for_metric("la_gateway_tunnels_active", &[], 0.0).await;
        let refused = stage.gateway.metric("la_gateway_connects_total", &[("verdict", "refused")]).await;
        assert_eq!(refused, 0.0, "a health check was taken for a request");
    }
}

/// Sends a header, a request and a hello so, and asserts that the hello alone reaches the origin.
/// Returns our own address.
async fn carried(stage: &RawStage, header: &[u8], way: Way) -> SocketAddr {
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    let own = client.address();
    let bytes = [header, &connect_request(GOOD_TARGET, &[]), &stage.hellos.client].concat();
    match way {
        Way::Fused => client.send(&bytes).await,
        Way::ByteByByte => client.send_slowly(&bytes).await,
    }
    let tunnel = client.tunnel().await;
    let mut far = stage.origin.accept().await;
    let received = read_exactly(&mut far, stage.hellos.client.len()).await;
    assert_eq!(received, stage.hellos.client, "{way:?} behind {}", header.escape_ascii());
    drop(tunnel);
    own
}

/// Asserts that these first bytes, with a request behind them, are closed in silence.
async fn assert_closed(stage: &RawStage, header: &[u8]) {
    let mut client = RawClient::connect(stage.gateway.proxy()).await;
    client.send(&[header, &connect_request(GOOD_TARGET, &[])].concat()).await;
    assert_silence(stage, client, &header[..header.len().min(120)].escape_ascii().to_string()).await;
}

async fn assert_silence(stage: &RawStage, client: RawClient, sent: &str) {
    let own = client.address();
    assert!(client.refusal().await.is_none(), "an answer to {sent}");
    let record = stage.gateway.only_record_of(own).await;
    record.assert_texts(&[("reason", "proxy_header"), ("verdict", "refused"), ("role", ""), ("host", "")]);
    assert!(!stage.origin.is_called().await, "a connection after {sent}");
}
