//! Real handshakes over loopback sockets, with certificates made anew for each test.

mod authority;
mod clients;
mod failure;
mod files;
mod protocol;
#[cfg(unix)]
mod refresh;
mod revocation;
mod tools;

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::server;

use self::authority::Authority;
use self::authority::Folder;
use self::authority::Issued;
use self::failure::failure;
use super::*;

/// Longest that one handshake may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ends of a handshake. The client's includes one byte from the server, for a client of TLS 1.3
/// is done before the server has looked at its certificate.
struct Met {
    server: io::Result<server::TlsStream<TcpStream>>,
    client: io::Result<client::TlsStream<TcpStream>>,
}

impl Met {
    /// Returns why the server refused.
    fn refused(&self) -> &'static str {
        assert!(self.client.is_err(), "the client was served");
        failure(self.server.as_ref().expect_err("a refusal"))
    }

    /// Returns the names of the client's certificate; the handshake must have succeeded.
    fn names(&self) -> Option<Vec<String>> {
        assert!(self.client.is_ok(), "{:?}", self.client);
        let server = self.server.as_ref().expect("a handshake");
        client_certificate(server).map(|certificate| certificate.names)
    }
}

/// Lets a client of this configuration meet a listener of this identity.
async fn meet(identity: &Identity, config: impl Into<Arc<ClientConfig>>) -> Met {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = async {
        let (socket, _) = listener.accept().await?;
        let mut stream = identity.acceptor().accept(socket).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok(stream)
    };
    let connector = TlsConnector::from(config.into());
    let connected = async {
        let socket = TcpStream::connect(address).await?;
        let mut stream = connector.connect(gateway_name(), socket).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    let (server, client) =
        timeout(PATIENCE, async { tokio::join!(served, connected) }).await.expect("in time");
    Met { server, client }
}

fn gateway_name() -> ServerName<'static> {
    ServerName::try_from("gw.example").expect("a name")
}

/// Returns a client that trusts the gateway's certificate, and shows this one.
fn client(authority: &Authority, shown: Option<&Issued>) -> ClientConfig {
    client_of(authority, shown, rustls::ALL_VERSIONS)
}

fn client_of(
    authority: &Authority,
    shown: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    match shown {
        Some(shown) => {
            builder.with_client_auth_cert(shown.chain.clone(), shown.key_der()).expect("a client certificate")
        }
        None => builder.with_no_client_auth(),
    }
}
