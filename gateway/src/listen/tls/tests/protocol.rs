//! Versions, ALPN and the size of what a client may send in a handshake.

use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

use super::*;
use crate::config::ClientCertificatePolicy::Required;

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    for version in rustls::ALL_VERSIONS {
        let met = meet(&identity, client_of(&authority, None, &[*version])).await;
        let (_, session) = met.client.as_ref().expect("a session").get_ref();
        assert_eq!(session.protocol_version(), Some(version.version));
    }
}

#[tokio::test]
async fn older_versions_get_an_alert() {
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    for (name, minor) in [("SSL 3.0", 0x00), ("TLS 1.0", 0x01), ("TLS 1.1", 0x02)] {
        for (extensions, alert) in [(&[][..], HANDSHAKE_FAILURE), (SIGNATURE_ALGORITHMS, PROTOCOL_VERSION)] {
            let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
            ours.write_all(&old_hello(minor, extensions)).await.expect("a hello");
            let error = identity.acceptor().accept(theirs).await.expect_err("is refused");
            assert_eq!(failure(&error), "tls_version", "{name}: {error}");
            let mut answer = Vec::new();
            ours.read_to_end(&mut answer).await.expect("an answer");
            assert!(
                matches!(answer.as_slice(), [0x15, 0x03, _, 0, 2, 2, told] if *told == alert),
                "{name}: {answer:?}"
            );
        }
    }
}

/// The extension of that name, with RSA and SHA-256, in a list of extensions.
const SIGNATURE_ALGORITHMS: &[u8] = &[0, 8, 0, 13, 0, 4, 0, 2, 4, 1];

/// A ClientHello from before TLS 1.2: two RSA cipher suites, no compression.
fn old_hello(minor: u8, extensions: &[u8]) -> Vec<u8> {
    let mut hello = vec![0x03, minor];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 4, 0x00, 0x2f, 0x00, 0x35, 1, 0]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).expect("is short");
    let mut record = vec![0x16, 0x03, minor.min(1), 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn http_1_1_is_chosen_by_alpn_and_a_client_without_alpn_is_served() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    for (offered, chosen) in [("h2 http/1.1", Some("http/1.1")), ("http/1.1", Some("http/1.1")), ("", None)] {
        let mut config = client(&authority, None);
        config.alpn_protocols = offered.split_whitespace().map(|name| name.as_bytes().to_vec()).collect();
        let met = meet(&identity, config).await;
        let (_, session) = met.client.as_ref().expect("a session").get_ref();
        assert_eq!(session.alpn_protocol(), chosen.map(str::as_bytes));
    }
}

#[tokio::test]
async fn a_client_that_offers_http_2_only_gets_the_alert_no_application_protocol() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.settings()).expect("is right");
    let mut config = client(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let met = meet(&identity, config).await;
    assert_eq!(met.refused(), "no_common_alpn");
    let told = met.client.expect_err("is refused").to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}

#[tokio::test]
async fn a12_a_chain_of_ten_megabytes_is_refused_after_the_first_kilobytes_of_it() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    for version in rustls::ALL_VERSIONS {
        for (certificates, largest) in [(80, 128 * 1024), (10_000, 128 * 1024)] {
            let mut shown = authority.client("site-7", 7);
            let padding = vec![0x30; 1024].into();
            shown.chain.extend(std::iter::repeat_n(padding, certificates));
            let config = client_of(&authority, Some(&shown), &[*version]);
            let (failure, read) = read_in_handshake(&identity, config).await;
            assert_eq!(failure, "message_too_large", "{version:?} {certificates}");
            assert!(read <= largest, "{version:?}: {read} bytes were read of {certificates} KiB");
        }
    }
}

/// Returns why a handshake failed, and how many bytes the server took until then.
async fn read_in_handshake(identity: &Identity, config: ClientConfig) -> (&'static str, usize) {
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Counted { stream: theirs, read: Arc::clone(&read) };
    let connector = TlsConnector::from(Arc::new(config));
    let connecting = tokio::spawn(async move {
        let mut stream = connector.connect(gateway_name(), ours).await?;
        stream.read_exact(&mut [0]).await
    });
    let accepted = timeout(PATIENCE, identity.acceptor().accept(counted)).await.expect("in time");
    let error = accepted.map(drop).expect_err("is refused");
    connecting.await.expect("ends").expect_err("is not served");
    (failure(&error), read.load(Ordering::SeqCst))
}

struct Counted {
    stream: tokio::io::DuplexStream,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read.fetch_add(buffer.filled().len() - before, Ordering::SeqCst);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
