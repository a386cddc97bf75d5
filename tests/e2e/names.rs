//! Rows D01 to D12: from names to addresses, with a name server that says what the row needs.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use end_to_end::azure::FakeAzure;
use end_to_end::client::RawClient;
use end_to_end::client::Tunnel;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::dns::FakeDns;
use end_to_end::dns::Reply;
use end_to_end::gateway::Gateway;
use end_to_end::origin::BlackHole;
use end_to_end::pki::Pki;
use end_to_end::record::Record;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::stage::ANYONE;
use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::assert_refusal;
use crate::stage::bind_443;
use crate::stage::lonely_address;
use crate::stage::workspace;

const LOOPBACK_ALLOWED: &str = "[addresses]\nallow = [\"127.0.0.0/8\"]\n";
const DEFAULT_ADDRESSES: &str = "[addresses]\n";

/// A gateway that asks a name server of the test's.
struct NameStage {
    dns: FakeDns,
    gateway: Gateway,
}

impl NameStage {
    async fn new(addresses: &str) -> Self {
        let dns = FakeDns::start().await;
        let text = format!("{ANYONE}{addresses}[dns]\nservers = [\"{}\"]\ntimeout = \"1s\"\n", dns.address());
        let gateway = Gateway::start(&Config::new(&text)).await;
        Self { dns, gateway }
    }

    /// Asks for a name that must be refused, and returns the status and the record.
    async fn refused(&self, name: &str) -> (u16, Record) {
        let (answer, address) = refused(self.gateway.proxy(), &format!("{name}:443"), &[]).await;
        assert_refusal(&answer, answer.head.status);
        (answer.head.status, self.gateway.record_of(address).await)
    }

    async fn assert_refused(&self, name: &str, status: u16, reason: &str, row: &str) {
        let (answered, record) = self.refused(name).await;
        assert_eq!((answered, record.text("reason")), (status, reason), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_a_decision_asks_once_and_dials_what_it_vetted() {
    let (first, second) = (lonely_address(), lonely_address());
    let Some(origin) = bind_443(first).await else { return };
    let Some(other) = bind_443(second).await else { return };
    let stage = NameStage::new(&format!("[addresses]\nallow = [\"{first}/32\"]\n")).await;
    stage.dns.script(GOOD, [Reply::Addresses(vec![first.into()]), Reply::Addresses(vec![second.into()])]);
    let tunnel = Tunnel::open(stage.gateway.proxy(), GOOD_TARGET, &[]).await;
    drop(origin.accept().await);
    assert_eq!(stage.dns.lookups(GOOD), 1);
    drop(tunnel.stream);
    let record = stage.gateway.record_of(tunnel.address).await;
    record.assert_texts(&[("address", &format!("{first}:443")), ("verdict", "carried")]);
    let mut again = RawClient::connect(stage.gateway.proxy()).await;
    again.send(&connect_request(GOOD_TARGET, &[])).await;
    stage.gateway.record_of(again.address()).await;
    assert!(!other.is_called().await, "the gateway dialled an address it may not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_d03_private_and_special_ipv4_addresses_are_not_dialled() {
    let addresses = [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
    ];
    assert_none_is_dialled("d02, d03", &addresses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_private_and_special_ipv6_addresses_are_not_dialled() {
    let addresses = [
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "100::1",
    ];
    assert_none_is_dialled("d04", &addresses).await;
}

async fn assert_none_is_dialled(row: &str, addresses: &[&str]) {
    let stage = NameStage::new(DEFAULT_ADDRESSES).await;
    for (number, address) in addresses.iter().enumerate() {
        let name = workspace(number);
        stage.dns.script(&name, [Reply::address(address)]);
        let (status, record) = stage.refused(&name).await;
        let expected = (403, "address_forbidden", 113);
        assert_eq!((status, record.text("reason"), record.number("event_id")), expected, "{row}: {address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_one_forbidden_address_refuses_the_whole_answer() {
    let stage = NameStage::new(LOOPBACK_ALLOWED).await;
    let allowed = lonely_address().to_string();
    let mixtures =
        [[allowed.as_str(), "10.0.0.1"], ["169.254.169.254", &allowed], [&allowed, "fd00:ec2::254"]];
    for (number, mixture) in mixtures.into_iter().enumerate() {
        let addresses = mixture.map(|address| address.parse().expect("an address"));
        stage.dns.script(&workspace(number), [Reply::Addresses(addresses.to_vec())]);
        let (status, record) = stage.refused(&workspace(number)).await;
        // The second family may come too late to be judged; then it is not dialled either.
        let late = number == 2 && status == 502 && record.is("reason", "connect_refused");
        assert!(
            late || (status == 403 && record.is("reason", "address_forbidden")),
            "d05: {mixture:?}: {record:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_monstrous_and_malformed_answers_end_in_an_error() {
    let stage = NameStage::new(LOOPBACK_ALLOWED).await;
    let nobody = u32::from(Ipv4Addr::new(127, 0, 16, 0));
    let many = |count: u32| (0..count).map(|i| IpAddr::V4(Ipv4Addr::from(nobody + i))).collect();
    let name_length = workspace(0).len() as u8;
    let replies = [
        Reply::Addresses(many(100)),
        Reply::Addresses(many(4000)),
        Reply::Malformed(vec![0xc0, 12 + name_length + 2 + 4]),
        Reply::Malformed(vec![0xff, 0xff]),
        Reply::Malformed([&[65][..], &[b'a'; 65], &[0]].concat()),
        Reply::Malformed([&[90][..], &[b'a'; 90], &[0]].concat()),
        Reply::Malformed(vec![63, b'a']),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        stage.dns.script(&workspace(number), [reply.clone()]);
        let (status, record) = stage.refused(&workspace(number)).await;
        assert!([502, 504].contains(&status), "d06: {status} for {reply:?}");
        record.assert_texts(&[("fault", "network")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_aliases_are_followed_to_a_bound_and_the_last_address_is_judged() {
    let stage = NameStage::new(DEFAULT_ADDRESSES).await;
    let alias = |target: &str| [Reply::Alias(target.to_owned())];
    stage.dns.script(&workspace(0), alias("unlisted.example"));
    stage.dns.script("unlisted.example", [Reply::address("10.0.0.1")]);
    stage
        .assert_refused(&workspace(0), 403, "address_forbidden", "d07: an alias for a private address")
        .await;

    stage.dns.script(&workspace(1), alias("loop-1.example"));
    stage.dns.script("loop-1.example", alias("loop-2.example"));
    stage.dns.script("loop-2.example", alias("loop-1.example"));
    stage.dns.script(&workspace(2), alias(&workspace(2)));
    for number in [1, 2] {
        let (status, record) = stage.refused(&workspace(number)).await;
        assert!([502, 504].contains(&status), "d07: {status} for a loop");
        record.assert_texts(&[("fault", "network")]);
    }

    stage.dns.script(&workspace(3), alias("chain-1.example"));
    for link in 1..20 {
        stage.dns.script(&format!("chain-{link}.example"), alias(&format!("chain-{}.example", link + 1)));
    }
    stage.dns.script("chain-20.example", [Reply::address("10.0.0.1")]);
    let (status, _) = stage.refused(&workspace(3)).await;
    assert!([403, 502, 504].contains(&status), "d07: {status} for a chain of 20");
    assert!(stage.dns.queries().len() < 400, "{} questions for four names", stage.dns.queries().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_failures_of_names_have_reasons_of_their_own() {
    let stage = NameStage::new(DEFAULT_ADDRESSES).await;
    let cases = [
        (vec![], 502, "name_not_found"),
        (vec![Reply::Failure(ResponseCode::NXDomain)], 502, "name_not_found"),
        (vec![Reply::Addresses(Vec::new())], 502, "name_not_found"),
        (vec![Reply::Failure(ResponseCode::ServFail)], 502, "name_failed"),
        (vec![Reply::Failure(ResponseCode::Refused)], 502, "name_failed"),
        (vec![Reply::Silence], 504, "name_timeout"),
    ];
    for (number, (replies, status, reason)) in cases.into_iter().enumerate() {
        let row = format!("d08: {replies:?}");
        if !replies.is_empty() {
            stage.dns.script(&workspace(number), replies);
        }
        stage.assert_refused(&workspace(number), status, reason, &row).await;
    }
    stage.dns.script(&workspace(99), [Reply::Silence, Reply::address("10.0.0.1")]);
    let (status, _) = stage.refused(&workspace(99)).await;
    assert!([403, 504].contains(&status), "d08: {status} after one lost answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d09_the_gateway_does_not_connect_to_itself() {
    let own = SocketAddr::new(lonely_address().into(), 18080);
    let listener = format!("[[listener]]\naddress = \"{own}\"\n");
    let admin = SocketAddr::new(own.ip(), 19180);
    let admin_listener = format!("[admin]\naddress = \"{admin}\"\n");
    let names = [workspace(1), workspace(2)];
    let config = Config::new(&format!("{listener}{admin_listener}{ANYONE}"))
        .host(&names[0], &[own])
        .host(&names[1], &[admin]);
    let gateway = Gateway::start(&config).await;
    for name in &names {
        let mut client = RawClient::connect(gateway.proxy()).await;
        let address = client.address();
        client.send(&connect_request(&format!("{name}:443"), &[])).await;
        assert_refusal(&client.refusal().await.expect("an answer"), 403);
        gateway.record_of(address).await.assert_texts(&[("reason", "self_connection"), ("fault", "policy")]);
    }
    assert_eq!(gateway.records_once(2).await, 2, "the gateway heard itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_a_black_hole_does_not_keep_the_next_address_waiting() {
    let (hole, pki) = (BlackHole::new(), Pki::new());
    let azure = FakeAzure::start(&pki, &[GOOD]).await;
    let config = Config::new(ANYONE).host(GOOD, &[hole.address(), azure.address()]);
    let gateway = Gateway::start(&config).await;
    let tunnel = Tunnel::open(gateway.proxy(), GOOD_TARGET, &[]).await;
    let address = tunnel.address;
    drop(tunnel.tls(GOOD, pki.client_config()).await);
    let record = gateway.record_of(address).await;
    record.assert_texts(&[("address", &azure.address().to_string()), ("verdict", "carried")]);
    assert!(record.number("setup_ms") < 5000, "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_a_name_is_asked_for_exactly_as_it_was_requested() {
    let stage = NameStage::new(DEFAULT_ADDRESSES).await;
    stage.assert_refused(&workspace(1), 502, "name_not_found", "d12").await;
    let queries = stage.dns.queries();
    assert!(!queries.is_empty());
    for (name, kind) in queries {
        assert_eq!(name, workspace(1), "d12: another name was asked for");
        assert!([RecordType::A, RecordType::AAAA].contains(&kind), "d12: {kind} was asked for");
    }
}
