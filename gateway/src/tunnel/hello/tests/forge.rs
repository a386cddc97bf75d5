//! Hellos: of rustls where it can make them, by hand where it cannot.

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ClientConnection;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::crypto::provider;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HANDSHAKE: u8 = 22;

/// What is special about a client's hello that is made by hand.
pub(super) struct Forged<'a> {
    /// The version in the old field.
    pub(super) legacy: u16,
    /// The versions in the extension, if there is one.
    pub(super) supported: Option<&'a [u16]>,
    /// The names in the extension, if there is one.
    pub(super) names: Option<&'a [&'a [u8]]>,
    /// Further extensions.
    pub(super) others: &'a [(u16, &'a [u8])],
}

impl Default for Forged<'_> {
    fn default() -> Self {
        Self { legacy: 0x0303, supported: None, names: None, others: &[] }
    }
}

impl Forged<'_> {
    /// Returns the hello in one record.
    pub(super) fn wire(&self) -> Vec<u8> {
        record(&self.message())
    }

    /// Returns the hello in records of at most `size` bytes.
    pub(super) fn wire_in_records_of(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(record).collect()
    }

    fn message(&self) -> Vec<u8> {
        let mut extensions: Vec<Vec<u8>> =
            self.others.iter().map(|(kind, content)| extension(*kind, content)).collect();
        if let Some(names) = self.names {
            let entries: Vec<u8> =
                names.iter().flat_map(|name| [&[0], &vector16(name)[..]].concat()).collect();
            extensions.push(extension(0, &vector16(&entries)));
        }
        if let Some(versions) = self.supported {
            let versions: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            extensions.push(extension(43, &[&[versions.len() as u8], &versions[..]].concat()));
        }
        let begin = [&self.legacy.to_be_bytes()[..], &[7; 32], b"\0\0\x02\xc0\x2f\x01\0"].concat();
        message(CLIENT_HELLO, &[begin, list(&extensions)].concat())
    }
}

/// Returns a server's hello that chooses a version, in the old field or in the extension.
pub(super) fn server_hello(legacy: u16, selected: Option<u16>) -> Vec<u8> {
    let extensions: Vec<Vec<u8>> =
        selected.into_iter().map(|version| extension(43, &version.to_be_bytes())).collect();
    let begin = [&legacy.to_be_bytes()[..], &[7; 32], b"\0\xc0\x2f\0"].concat();
    record(&message(SERVER_HELLO, &[begin, list(&extensions)].concat()))
}

/// Returns a client's first handshake message with this body, in records of at most `size` bytes.
pub(super) fn client_records(body: &[u8], size: usize) -> Vec<u8> {
    message(CLIENT_HELLO, body).chunks(size).flat_map(record).collect()
}

pub(super) fn alert(level: u8, description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, level, description]
}

/// Returns a rustls client that speaks these versions and asks for this name.
pub(super) fn rustls_client(versions: &[&'static SupportedProtocolVersion], name: &str) -> ClientConnection {
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap()
}

/// Returns the hello of such a client.
pub(super) fn rustls_hello(versions: &[&'static SupportedProtocolVersion], name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    rustls_client(versions, name).write_tls(&mut wire).unwrap();
    wire
}

/// Returns the first flight of a rustls server of these versions in answer to a client's hello.
pub(super) fn rustls_answer(versions: &[&'static SupportedProtocolVersion], mut hello: &[u8]) -> Vec<u8> {
    let own = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.read_tls(&mut hello).unwrap();
    // A refusal is an answer, too: an alert.
    let _ = server.process_new_packets();
    let mut wire = Vec::new();
    server.write_tls(&mut wire).unwrap();
    wire
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[HANDSHAKE, 3, 1], &vector16(fragment)[..]].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

fn list(extensions: &[Vec<u8>]) -> Vec<u8> {
    if extensions.is_empty() { Vec::new() } else { vector16(&extensions.concat()) }
}

fn vector16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}
