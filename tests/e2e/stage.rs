//! What most journeys begin with: a certificate authority, a fake Azure, a gateway between.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;

use end_to_end::azure::FakeAzure;
use end_to_end::client::Tunnel;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::hello::Hellos;
use end_to_end::hello::hellos;
use end_to_end::origin::RawOrigin;
use end_to_end::patience::patiently;
use end_to_end::pki::Pki;
use end_to_end::wire::Answer;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A host every journey may reach.
pub(crate) const GOOD: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com";
/// The same as a CONNECT target.
pub(crate) const GOOD_TARGET: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com:443";
/// A role for everybody on loopback.
pub(crate) const ANYONE: &str = r#"
[role.agents]
anonymous_from = ["127.0.0.0/8"]
cloud = "public"
bundles = ["log-analytics"]
"#;
/// More than all buffers of two sockets and of the gateway may hold.
pub(crate) const MORE_THAN_BUFFERS: usize = 64 * 1024 * 1024;
/// A write that makes no progress for so long is stalled.
const STALL: Duration = Duration::from_secs(2);

/// A gateway in front of a fake Azure.
pub(crate) struct Stage {
    /// The authority behind every certificate.
    pub pki: Pki,
    /// The origin of [`GOOD`].
    pub azure: FakeAzure,
    /// The program under test.
    pub gateway: Gateway,
}

impl Stage {
    /// Starts a fake Azure for these names and a gateway that finds it there.
    pub(crate) async fn new(config: Config, names: &[&str]) -> Self {
        let pki = Pki::new();
        let azure = FakeAzure::start(&pki, names).await;
        let gateway = Gateway::start(&config.hosts(names, azure.address())).await;
        Self { pki, azure, gateway }
    }

    /// Starts with [`GOOD`] alone.
    pub(crate) async fn good(config: Config) -> Self {
        Self::new(config, &[GOOD]).await
    }

    /// Opens a tunnel to [`GOOD`] as a good client does, and leaves it.
    pub(crate) async fn serve_a_good_client(&self, headers: &[(&str, &str)]) {
        let before = self.azure.connections();
        drop(Tunnel::open(self.gateway.proxy(), GOOD_TARGET, headers).await);
        self.azure.wait_for_connections(before + 1).await;
    }
}

/// A gateway in front of an origin that the test plays itself.
pub(crate) struct RawStage {
    /// The origin of [`GOOD`].
    pub origin: RawOrigin,
    /// The program under test.
    pub gateway: Gateway,
    /// A genuine handshake's first flights.
    pub hellos: Hellos,
}

impl RawStage {
    /// Starts a bare origin for [`GOOD`] and a gateway that finds it there.
    pub(crate) async fn new(config: Config) -> Self {
        Self::reaching(config, &[GOOD]).await
    }

    /// Starts a bare origin for these names and a gateway that finds it there.
    pub(crate) async fn reaching(config: Config, names: &[&str]) -> Self {
        let origin = RawOrigin::bind().await;
        let gateway = Gateway::start(&config.hosts(names, origin.address())).await;
        Self { origin, gateway, hellos: hellos(&Pki::new(), GOOD) }
    }

    /// Opens a tunnel and exchanges both hellos, so that any bytes may follow.
    ///
    /// Returns the client's end, the origin's end and the client's address.
    pub(crate) async fn open(&self) -> (TcpStream, TcpStream, SocketAddr) {
        self.open_to(GOOD, &self.hellos).await
    }

    /// Does the same for another host, with hellos of its own.
    pub(crate) async fn open_to(&self, host: &str, hellos: &Hellos) -> (TcpStream, TcpStream, SocketAddr) {
        let tunnel = Tunnel::open(self.gateway.proxy(), &format!("{host}:443"), &[]).await;
        let mut near = tunnel.stream;
        let far = self.say_hello(&mut near, hellos).await;
        (near, far, tunnel.address)
    }

    /// Exchanges both hellos through an open tunnel, and returns the origin's end.
    pub(crate) async fn say_hello<S>(&self, near: &mut S, hellos: &Hellos) -> TcpStream
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        near.write_all(&hellos.client).await.expect("a hello sent");
        near.flush().await.expect("a hello sent");
        let mut far = self.origin.accept().await;
        assert_eq!(read_exactly(&mut far, hellos.client.len()).await, hellos.client);
        far.write_all(&hellos.server).await.expect("a hello sent");
        assert_eq!(read_exactly(near, hellos.server.len()).await, hellos.server);
        far
    }
}

/// Reads this many bytes.
pub(crate) async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    patiently("bytes through the tunnel", stream.read_exact(&mut bytes)).await.expect("that many bytes");
    bytes
}

/// Reads until the other side ends in order.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    patiently("the end of a tunnel", stream.read_to_end(&mut bytes)).await.expect("an orderly end");
    bytes
}

/// Writes until the other side takes nothing more, and returns how much it took.
pub(crate) async fn write_until_stalled(stream: &mut TcpStream) -> usize {
    let chunk = vec![0x17; 64 * 1024];
    let mut sent = 0;
    while sent < MORE_THAN_BUFFERS {
        match tokio::time::timeout(STALL, stream.write(&chunk)).await {
            Ok(written) => sent += written.expect("a living connection"),
            Err(_) => break,
        }
    }
    sent
}

/// Returns the name of a workspace of its own, so that no cache helps.
pub(crate) fn workspace(number: usize) -> String {
    format!("{number:08x}-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com")
}

/// Returns a loopback address that no other test and no other run uses.
pub(crate) fn lonely_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Binds port 443 of an address, or says why the test cannot.
pub(crate) async fn bind_443(address: Ipv4Addr) -> Option<RawOrigin> {
    match RawOrigin::bind_at(SocketAddr::new(address.into(), 443)).await {
        Ok(origin) => Some(origin),
        Err(error) => {
            println!("skipped: port 443 of {address} cannot be bound ({error})");
            None
        }
    }
}

/// Asserts what all refusals have in common, and returns the request id.
pub(crate) fn assert_refusal(answer: &Answer, status: u16) -> String {
    judge_refusal(answer, status).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Returns the request id, or what is wrong with this refusal.
pub(crate) fn judge_refusal(answer: &Answer, status: u16) -> Result<String, String> {
    let head = &answer.head;
    let says = |name: &str, begins: &str| {
        head.all(name).first().is_some_and(|value| value.to_ascii_lowercase().starts_with(begins))
    };
    let count = |name: &str| head.all(name).len();
    let demands = [
        ("status", head.status == status),
        ("Connection", says("connection", "close") && count("connection") == 1),
        ("Proxy-Status", says("proxy-status", "la-gateway; error=") && count("proxy-status") == 1),
        ("Content-Type", says("content-type", "text/plain")),
        ("Proxy-Authenticate", count("proxy-authenticate") == usize::from(status == 407)),
        ("challenge", status != 407 || says("proxy-authenticate", "basic realm=\"la-gateway\"")),
        ("Allow", head.header("allow") == (status == 405).then_some("CONNECT")),
        ("Retry-After", count("retry-after") == usize::from(status == 429 || status == 503)),
        ("X-Request-Id", says("x-request-id", "") && count("x-request-id") == 1),
    ];
    match demands.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect::<Vec<_>>() {
        wrong if wrong.is_empty() => Ok(head.header("x-request-id").unwrap_or_default().to_owned()),
        wrong => Err(format!("{} are wrong in a refusal: {head:?}", wrong.join(", "))),
    }
}
