//! The fleet: who came, with how many bytes of what, and who is no longer heard of.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::client::refused;
use end_to_end::config::Config;
use end_to_end::content::Content;
use end_to_end::content::hash_of;
use end_to_end::patience::patiently;
use end_to_end::users::basic;
use end_to_end::users::users_file;
use end_to_end::wire;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::stage::GOOD;
use crate::stage::GOOD_TARGET;
use crate::stage::Stage;
use crate::stage::assert_refusal;

const OTHER: &str = "99999999-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
const BLOB: &str = "exampleaccount.blob.core.windows.net";
const USERS: [(&str, &str); 2] = [("ann", "one"), ("bob", "two")];
const ROLES: &str =
    "[role.agents]\nusers_file = \"users\"\n[role.anonymous]\nanonymous_from = [\"127.0.0.0/8\"]\n";

/// A client: a user, or else an address.
#[derive(Clone, Copy)]
enum Who {
    User(&'static str),
    Address([u8; 4]),
}

impl Who {
    fn id(self) -> String {
        match self {
            Self::User(name) => format!("user:{name}"),
            Self::Address(address) => format!("address:{}", IpAddr::from(address)),
        }
    }

    /// Opens a tunnel with TLS to a host.
    async fn open(self, stage: &Stage, host: &str) -> (TlsStream<TcpStream>, SocketAddr) {
        let source = match self {
            Self::User(_) => [127, 0, 0, 1],
            Self::Address(address) => address,
        };
        let password = |name| USERS.iter().find(|user| user.0 == name).expect("a user").1;
        let headers = match self {
            Self::User(name) => vec![("Proxy-Authorization", basic(name, password(name)))],
            Self::Address(_) => Vec::new(),
        };
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut client = RawClient::connect_from(source.into(), stage.gateway.proxy()).await;
        client.send(&connect_request(&format!("{host}:443"), &headers)).await;
        let tunnel = client.tunnel().await;
        let address = tunnel.address;
        (tunnel.tls(host, stage.pki.client_config()).await, address)
    }
}

async fn fleet(text: &str) -> Stage {
    let config = Config::new(&format!("{ROLES}{text}")).file("users", &users_file(&USERS));
    Stage::new(config, &[GOOD, OTHER, BLOB]).await
}

/// Pushes this many bytes through an open tunnel, and sees them arrive.
async fn push(stream: &mut TlsStream<TcpStream>, host: &str, bytes: u64) {
    let content = Content::new(bytes, bytes).all();
    let answer = wire::exchange(stream, "POST /hash", &[("Host", host)], &content).await;
    assert_eq!(answer.text(), hash_of(Content::new(bytes, bytes)));
}

async fn clients(stage: &Stage, query: &str) -> Value {
    let answer = stage.gateway.get(&format!("/api/clients{query}")).await;
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    assert_eq!(answer.head.header("content-type"), Some("application/json"));
    serde_json::from_str(answer.text()).expect("JSON")
}

/// Returns one client of the API.
async fn client(stage: &Stage, id: &str) -> Value {
    let page = clients(stage, "").await;
    let all = page["clients"].as_array().expect("a list");
    all.iter().find(|client| client["id"] == id).unwrap_or_else(|| panic!("no {id} in {page}")).clone()
}

fn bytes(of: &Value) -> (u64, u64) {
    (of["bytes_up"].as_u64().expect("a number"), of["bytes_down"].as_u64().expect("a number"))
}

/// Bytes up and down by a key.
type Sums = BTreeMap<String, (u64, u64)>;

fn add(sums: &mut Sums, key: &str, (up, down): (u64, u64)) {
    let sum = sums.entry(key.to_owned()).or_default();
    *sum = (sum.0 + up, sum.1 + down);
}

fn read(of: &Value) -> Sums {
    let members = of.as_object().expect("an object");
    members.iter().map(|(key, value)| (key.clone(), bytes(value))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_agrees_with_the_access_records_to_the_byte() {
    let stage = fleet("").await;
    let who =
        [Who::User("ann"), Who::User("bob"), Who::Address([127, 0, 0, 9]), Who::Address([127, 7, 7, 7])];
    let mut wanted: BTreeMap<String, [Sums; 3]> = BTreeMap::new();
    for (at, who) in who.into_iter().enumerate() {
        for (host, family) in [(GOOD, "ods"), (OTHER, "ods"), (BLOB, "blob"), (GOOD, "ods")] {
            let size = 10_000 * (at as u64 + 1) + host.len() as u64;
            let (mut stream, address) = who.open(&stage, host).await;
            push(&mut stream, host, size).await;
            drop(stream);
            let record = stage.gateway.record_of(address).await;
            let moved = (record.number("bytes_up"), record.number("bytes_down"));
            assert!(moved.0 > size && moved.1 > 0, "{record:?}");
            let [all, families, workspaces] = wanted.entry(who.id()).or_default();
            add(all, "all", moved);
            add(families, family, moved);
            if family == "ods" {
                add(workspaces, host.split('.').next().expect("a workspace"), moved);
            }
        }
    }
    let page = clients(&stage, "").await;
    assert_eq!((page["matching"].as_u64(), &page["next"]), (Some(4), &Value::Null));
    for client in page["clients"].as_array().expect("a list") {
        let id = client["id"].as_str().expect("an id");
        let [all, families, workspaces] = &wanted[id];
        assert_eq!(bytes(client), all["all"], "{client}");
        assert_eq!(&read(&client["families"]), families, "{client}");
        assert_eq!(&read(&client["workspaces"]), workspaces, "{client}");
        let is_user = id.starts_with("user:");
        assert_eq!(client["role"], if is_user { "agents" } else { "anonymous" });
        assert_eq!(client["user"].is_string(), is_user);
        assert_eq!((client["tunnels"].as_u64(), client["open_tunnels"].as_u64()), (Some(4), Some(0)));
        assert_eq!(client["state"], "active");
    }
    for (role, first, second) in
        [("agents", "user:ann", "user:bob"), ("anonymous", "address:127.0.0.9", "address:127.7.7.7")]
    {
        let sum = |family: &str| wanted[first][1][family].0 + wanted[second][1][family].0;
        for family in ["ods", "blob"] {
            let labels = [("role", role), ("family", family), ("direction", "up")];
            let counted = stage.gateway.metric("la_gateway_fleet_bytes_total", &labels).await;
            assert_eq!(counted, sum(family) as f64, "{role} {family}");
        }
        stage
            .gateway
            .wait_for_metric("la_gateway_fleet_clients", &[("role", role), ("state", "active")], 2.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_count_while_their_tunnel_is_open_and_refusals_stand_beside_them() {
    let stage = fleet("").await;
    let (mut stream, address) = Who::User("ann").open(&stage, GOOD).await;
    push(&mut stream, GOOD, 50_000).await;
    let open = client(&stage, "user:ann").await;
    assert_eq!(open["open_tunnels"], 1);
    assert!(bytes(&open).0 > 50_000, "{open}");
    push(&mut stream, GOOD, 70_000).await;
    assert!(bytes(&client(&stage, "user:ann").await).0 > 120_000);
    let header = basic("ann", "one");
    let (answer, _) =
        refused(stage.gateway.proxy(), "evil.example:443", &[("Proxy-Authorization", &header)]).await;
    assert_refusal(&answer, 403);
    let (answer, _) =
        refused(stage.gateway.proxy(), GOOD_TARGET, &[("Proxy-Authorization", &basic("bob", "wrong"))]).await;
    assert_refusal(&answer, 407);
    drop(stream);
    let record = stage.gateway.record_of(address).await;
    let closed = client(&stage, "user:ann").await;
    assert_eq!(bytes(&closed), (record.number("bytes_up"), record.number("bytes_down")));
    assert_eq!(closed["open_tunnels"], 0);
    assert_eq!((&closed["refused"], &closed["last_refusal"]), (&1.into(), &"host_denied".into()));
    let page = clients(&stage, "").await;
    assert_eq!(page["matching"], 1, "who has not proven who he is stands in no table: {page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_falls_silent_is_named_and_comes_back() {
    let silent_after = Duration::from_secs(2);
    let stage = fleet("[fleet]\nsilent_after = \"2s\"\n").await;
    drop(Who::Address([127, 0, 0, 5]).open(&stage, GOOD).await);
    let began = Instant::now();
    while began.elapsed() < silent_after * 2 {
        drop(Who::User("bob").open(&stage, GOOD).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let silent =
        stage.gateway.wait_for_record("a silent client", |record| record.event_id() == Some(151)).await;
    silent.assert_texts(&[
        ("id", "user:bob"),
        ("role", "agents"),
        ("level", "WARN"),
        ("address", "127.0.0.1"),
    ]);
    let page = clients(&stage, "?state=silent&role=agents").await;
    assert_eq!((&page["matching"], &page["clients"][0]["id"]), (&1.into(), &"user:bob".into()));
    let silent = [("role", "agents"), ("state", "silent")];
    stage.gateway.wait_for_metric("la_gateway_fleet_clients", &silent, 1.0).await;
    let once = clients(&stage, "?role=anonymous").await;
    assert_eq!(once["clients"][0]["state"], "active", "who was seen once only is not missed");

    drop(Who::User("bob").open(&stage, GOOD).await);
    let back =
        stage.gateway.wait_for_record("a client that is back", |record| record.event_id() == Some(152)).await;
    back.assert_texts(&[("id", "user:bob"), ("level", "INFO")]);
    let named = |event| {
        stage.gateway.log().records().iter().filter(|record| record.event_id() == Some(event)).count()
    };
    assert!(named(151) <= 2 && named(152) == 1, "one record a transition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_clients_is_bounded_told_page_by_page_and_closed_to_strangers() {
    let stage = fleet("[fleet]\nclients = 8\n").await;
    let tunnel = Who::User("ann").open(&stage, GOOD).await;
    for last in 1..=40 {
        drop(Who::Address([127, 9, 0, last]).open(&stage, GOOD).await);
    }
    let page = clients(&stage, "").await;
    assert!(page["matching"].as_u64().expect("a number") <= 8, "{page}");
    client(&stage, "user:ann").await;
    let first = clients(&stage, "?limit=1").await;
    let next = first["next"].as_str().expect("another page").replace(':', "%3A");
    let second = clients(&stage, &format!("?limit=1&after={next}")).await;
    assert_ne!(first["clients"][0]["id"], second["clients"][0]["id"]);
    for wrong in ["?limit=0", "?state=x", "?colour=red", "?limit=1&limit=2", "?role=%ff"] {
        let answer = stage.gateway.get(&format!("/api/clients{wrong}")).await;
        assert_eq!(answer.head.status, 400, "{wrong}: {}", answer.text());
    }
    let mut stranger = RawClient::connect(stage.gateway.proxy()).await;
    stranger.send(b"GET /api/clients HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = patiently("an answer of the proxy's port", stranger.refusal()).await.expect("an answer");
    assert_refusal(&answer, 405);
    drop(tunnel);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_survives_a_reload_without_the_users_it_removed_and_status_shows_it() {
    let stage = fleet("").await;
    for who in [Who::User("ann"), Who::User("bob"), Who::Address([127, 0, 0, 3])] {
        let (mut stream, address) = who.open(&stage, GOOD).await;
        push(&mut stream, GOOD, 5_000).await;
        drop(stream);
        stage.gateway.record_of(address).await;
    }
    let before = client(&stage, "user:ann").await;
    std::fs::write(stage.gateway.folder().join("users"), users_file(&USERS[..1])).expect("written");
    let reload = stage.gateway.command(&["reload"]).await;
    assert!(reload.status.success(), "{reload:?}");
    let page = clients(&stage, "").await;
    let ids: Vec<_> =
        page["clients"].as_array().expect("a list").iter().map(|client| &client["id"]).collect();
    assert_eq!(ids, ["address:127.0.0.3", "user:ann"]);
    let after = client(&stage, "user:ann").await;
    assert_eq!((bytes(&after), &after["tunnels"]), (bytes(&before), &before["tunnels"]));
    let status = stage.gateway.status().await;
    assert_eq!((&status["fleet"]["clients"], &status["fleet"]["silent"]), (&2.into(), &0.into()));
    assert_eq!(bytes(&status["fleet"]["roles"]["agents"]), bytes(&after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_clients_add_no_series_to_those_of_ten() {
    let stage = Stage::good(Config::new(ROLES).file("users", &users_file(&USERS))).await;
    let come = async |clients: std::ops::Range<u16>| {
        for number in clients {
            let [high, low] = number.to_be_bytes();
            let source = IpAddr::from([127, 40, high, low]);
            // One is carried, and what it may not reach is refused.
            for (target, status) in [(GOOD_TARGET, 200), ("evil.example:443", 403)] {
                let mut client = RawClient::connect_from(source, stage.gateway.proxy()).await;
                client.send(&connect_request(target, &[])).await;
                let status_seen = match client.verdict().await {
                    Ok(tunnel) => tunnel.head.status,
                    Err(answer) => answer.head.status,
                };
                assert_eq!(status_seen, status, "{source} {target}");
            }
        }
    };
    come(1..11).await;
    let (few, body) = (stage.gateway.metrics().await, stage.gateway.get("/metrics").await.body.len());
    come(11..311).await;
    assert_eq!(stage.gateway.metrics().await.series(), few.series());
    // Longer numbers, and nothing else.
    assert!(stage.gateway.get("/metrics").await.body.len() < body + body / 10);
    let known: Value = serde_json::from_str(stage.gateway.get("/api/status").await.text()).expect("JSON");
    assert_eq!(known["clients"]["known"], 310);
}
