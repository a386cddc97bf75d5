//! A client's hello of our own: what a canary says to a destination.

use std::io;
use std::sync::Arc;

use common::host_port::HostName;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::version::TLS13;

use crate::config::MinimumTls;
use crate::crypto;

/// Returns the record of a genuine hello for this name. The session ends with the answer, so nothing is
/// trusted and nothing could be proven.
pub fn client_hello(name: &HostName, minimum: MinimumTls) -> io::Result<Vec<u8>> {
    let versions: &[&SupportedProtocolVersion] = match minimum {
        MinimumTls::Tls12 => &[&TLS12, &TLS13],
        MinimumTls::Tls13 => &[&TLS13],
    };
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::provider()))
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.as_str().to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    session.write_tls(&mut hello)?;
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::TlsVersion;
    use crate::parse::client_hello::ServerName as Asked;
    use crate::parse::client_hello::read;

    #[test]
    fn it_is_a_hello_that_the_gateway_itself_lets_pass() {
        let name: HostName =
            "1234a123-aa1a-123a-aaa1-a1a345aa6789.ods.opinsights.azure.com".parse().expect("a name");
        for minimum in [MinimumTls::Tls12, MinimumTls::Tls13] {
            let bytes = client_hello(&name, minimum).expect("a hello");
            let hello = read(&bytes).expect("TLS").expect("the whole of it");
            assert_eq!(
                (hello.highest_version, hello.server_name),
                (TlsVersion::Tls13, Asked::Name(name.clone()))
            );
        }
    }
}
