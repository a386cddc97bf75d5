//! Genuine TLS hellos for tunnels whose further bytes a test writes itself.

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::pki::Pki;

/// The first flights of one handshake, as bytes.
#[derive(Clone, Debug)]
pub struct Hellos {
    /// The record with the ClientHello.
    pub client: Vec<u8>,
    /// The server's records in answer to it.
    pub server: Vec<u8>,
}

/// Makes a ClientHello for `name` and a TLS 1.3 server's answer.
pub fn hellos(pki: &Pki, name: &str) -> Hellos {
    let client = client_hello(pki.client_config(), name);
    let mut session = ServerConnection::new(pki.server_config(&[name])).expect("a server session");
    session.read_tls(&mut client.as_slice()).expect("a hello read");
    session.process_new_packets().expect("a hello understood");
    let mut server = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut server).expect("records in memory");
    }
    Hellos { client, server }
}

/// Makes the record with which a client of this configuration begins.
pub fn client_hello(config: Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).expect("a host name");
    let mut session = ClientConnection::new(config, name).expect("a client session");
    let mut record = Vec::new();
    session.write_tls(&mut record).expect("a record in memory");
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hellos_are_handshake_records() {
        let hellos = hellos(&Pki::new(), "name.example");
        assert_eq!((hellos.client[0], hellos.client[5]), (0x16, 1));
        assert_eq!((hellos.server[0], hellos.server[5]), (0x16, 2));
    }
}
