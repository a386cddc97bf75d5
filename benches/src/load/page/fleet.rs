//! A gateway, an origin, and clients that hold tunnels through it.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use anyhow::ensure;
use benches::HOST;
use benches::TARGET;
use end_to_end::client::RawClient;
use end_to_end::client::connect_request;
use end_to_end::config::Config;
use end_to_end::gateway::Gateway;
use end_to_end::hello::Hellos;
use end_to_end::hello::hellos;
use end_to_end::origin::RawOrigin;
use end_to_end::pki::Pki;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Where clients' addresses begin.
const FIRST: u32 = u32::from_be_bytes([127, 30, 0, 1]);
/// No limit on how fast they come, and no end to a tunnel at rest.
const CONFIG: &str = "[admin]\naddress = \"127.0.0.1:0\"\n\
     [limits]\nconnects_per_second = 100000\nburst = 100000\nrequests_per_second_per_address = 100000\n\
     request_burst_per_address = 100000\nhead_timeout = \"20s\"\n\
     [tunnel]\nhello = \"20s\"\nidle = \"1h\"\nconnect = \"20s\"\ndrain = \"1s\"\n\
     [role.agents]\nanonymous_from = [\"127.0.0.0/8\"]\nbundles = [\"log-analytics\"]\n";

/// See above. Each tunnel stays open and at rest, with its two ends.
pub(super) struct Fleet {
    pub(super) gateway: Gateway,
    origin: RawOrigin,
    hellos: Hellos,
    tunnels: Vec<(TcpStream, TcpStream)>,
}

impl Fleet {
    pub(super) async fn begin(program: &Path) -> Self {
        let origin = RawOrigin::bind().await;
        let config = Config::new(CONFIG).hosts(&[HOST], origin.address());
        let gateway = Gateway::start_copy(program, &config).await;
        Self { gateway, origin, hellos: hellos(&Pki::new(), HOST), tunnels: Vec::new() }
    }

    /// Opens tunnels until so many are open, of so many clients in turn.
    pub(super) async fn grow(&mut self, clients: usize, tunnels: usize) -> anyhow::Result<()> {
        while self.tunnels.len() < tunnels {
            let number = u32::try_from(self.tunnels.len() % clients)?;
            let source = IpAddr::from(Ipv4Addr::from_bits(FIRST + number));
            let tunnel = open(self.gateway.proxy(), &self.origin, &self.hellos, source).await;
            self.tunnels.push(tunnel.with_context(|| format!("tunnel {}", self.tunnels.len()))?);
        }
        Ok(())
    }

    /// Says whether every tunnel still carries a byte.
    pub(super) async fn still_open(&mut self) -> anyhow::Result<()> {
        for (near, far) in &mut self.tunnels {
            near.write_all(b"!").await?;
            ensure!(far.read_u8().await? == b'!', "another byte came out");
        }
        Ok(())
    }
}

async fn open(
    proxy: SocketAddr,
    origin: &RawOrigin,
    hellos: &Hellos,
    source: IpAddr,
) -> anyhow::Result<(TcpStream, TcpStream)> {
    let mut client = RawClient::connect_from(source, proxy).await;
    client.send(&connect_request(TARGET, &[])).await;
    let mut near = client.tunnel().await.stream;
    near.write_all(&hellos.client).await?;
    let mut far = origin.accept().await;
    pass(&mut far, hellos.client.len()).await?;
    far.write_all(&hellos.server).await?;
    pass(&mut near, hellos.server.len()).await?;
    Ok((near, far))
}

/// Reads and forgets so many bytes.
async fn pass(stream: &mut TcpStream, length: usize) -> std::io::Result<()> {
    stream.read_exact(&mut vec![0; length]).await.map(drop)
}
