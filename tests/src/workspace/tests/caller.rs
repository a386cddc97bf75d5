//! A faithful client, piece by piece.

use std::io::Write;
use std::sync::Arc;
use std::sync::OnceLock;

use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::KeyPair;
use rcgen::PKCS_RSA_SHA256;
use rcgen::SerialNumber;
use rcgen::date_time_ymd;
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::OsRng;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::pki::Pki;
use crate::wire;
use crate::wire::Answer;
use crate::workspace::FakeWorkspaces;
use crate::workspace::Workspace;
use crate::workspace::encoding;

pub(super) const WORKSPACE: &str = "00000000-0000-4000-8000-00000000000a";
pub(super) const OTHER: &str = "00000000-0000-4000-8000-00000000000b";
pub(super) const AGENT: &str = "11111111-1111-4111-8111-111111111111";

/// The fake with two workspaces.
pub(super) struct Stage {
    pub(super) pki: Pki,
    pub(super) fake: FakeWorkspaces,
}

/// An agent's certificate and key.
pub(super) struct Identity {
    pub(super) certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let pki = Pki::new();
        let certificate = Identity::new(WORKSPACE, AGENT).certificate;
        let workspaces = [Workspace::new(WORKSPACE).with_certificate(&certificate), Workspace::new(OTHER)];
        let fake = FakeWorkspaces::start(&pki, &workspaces).await;
        Self { pki, fake }
    }

    pub(super) fn workspace(&self) -> &Workspace {
        &self.fake.workspaces()[0]
    }

    /// Connects to a name with TLS.
    pub(super) async fn connect(
        &self,
        host: &str,
        identity: Option<&Identity>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let shown = identity.map(|identity| {
            let chain = vec![CertificateDer::from(identity.certificate.clone())];
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
            CertifiedKey::from_der(chain, key, &ring::default_provider()).expect("a client certificate")
        });
        self.connect_showing(host, shown).await
    }

    /// The same with this certificate and key, whether they belong together or not.
    pub(super) async fn connect_showing(
        &self,
        host: &str,
        shown: Option<CertifiedKey>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.pki.authority_file()).expect("a certificate");
        roots.add(authority).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("default versions")
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))),
        };
        let socket = TcpStream::connect(self.fake.address()).await?;
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// Sends one request on a connection of its own.
    pub(super) async fn send(
        &self,
        host: &str,
        identity: Option<&Identity>,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.connect(host, identity).await.expect("a handshake");
        let headers: Vec<_> = [("Host", host)].into_iter().chain(headers.iter().copied()).collect();
        wire::exchange(&mut stream, line, &headers, body).await
    }

    /// Onboards an agent.
    pub(super) async fn onboard(&self, identity: &Identity) {
        let (host, key) = (self.workspace().oms(), self.workspace().key.clone());
        let body = topology_body(identity, AGENT);
        let signed = Signed::new(WORKSPACE, &key, body.as_bytes(), 0);
        let answer = self.send(&host, Some(identity), TOPOLOGY, &signed.headers(), body.as_bytes()).await;
        assert_eq!(answer.head.status, 200, "{}", answer.text());
    }

    /// Returns what the last problem was.
    pub(super) fn last_problem(&self) -> String {
        self.fake.problems().pop().map(|problem| problem.text).unwrap_or_default()
    }
}

pub(super) const TOPOLOGY: &str = "POST /AgentService.svc/LinuxAgentTopologyRequest";

impl Identity {
    pub(super) fn new(workspace: &str, agent: &str) -> Self {
        Self::of([workspace, agent], "Linux Monitoring Agent", 2027)
    }

    pub(super) fn of(names: [&str; 2], unit: &str, until: i32) -> Self {
        let key = rsa_key();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        // The second of a kind would take the place of the first.
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), names[1]);
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        params.distinguished_name.push(DnType::OrganizationName, "Microsoft");
        (params.not_before, params.not_after) = (date_time_ymd(until - 1, 6, 1), date_time_ymd(until, 6, 1));
        let random = request_id();
        params.serial_number = Some(SerialNumber::from_slice(&random.as_bytes()[..8]));
        let pair = key_pair(&key);
        let certificate = params.self_signed(&pair).expect("a certificate").der().to_vec();
        Self { certificate, key }
    }

    /// Returns the same certificate with a key that is not its own.
    pub(super) fn stolen(&self) -> CertifiedKey {
        let own = KeyPair::generate().expect("a key").serialize_der();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own));
        let key = ring::default_provider().key_provider.load_private_key(key).expect("a key ring reads");
        CertifiedKey::new(vec![CertificateDer::from(self.certificate.clone())], key)
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        let pair = ::ring::signature::RsaKeyPair::from_pkcs8(&self.key).expect("a key");
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = ::ring::rand::SystemRandom::new();
        let padding = &::ring::signature::RSA_PKCS1_SHA256;
        pair.sign(padding, &random, text.as_bytes(), &mut signature).expect("a signature");
        signature
    }
}

/// One key for all certificates: they take long to find.
fn rsa_key() -> Vec<u8> {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).expect("a key");
        key.to_pkcs8_der().expect("a key in DER").as_bytes().to_vec()
    };
    KEY.get_or_init(make).clone()
}

fn key_pair(der: &[u8]) -> KeyPair {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.to_vec()), &PKCS_RSA_SHA256)
        .expect("a key")
}

/// The fields of a signed topology request.
pub(super) struct Signed {
    pub(super) date: String,
    pub(super) hash: String,
    pub(super) authorization: String,
}

impl Signed {
    pub(super) fn new(workspace: &str, key: &[u8], body: &[u8], minutes: i64) -> Self {
        let now = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        let date = now.strftime("%Y-%m-%dT%H:%M:%S.%9f+00:00").to_string();
        let hash = encoding::base64(&encoding::sha256(body));
        let authorization =
            format!("{workspace}; {}", encoding::signature(key, &format!("{date}\n{hash}\n")));
        Self { date, hash, authorization }
    }

    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        vec![
            ("x-ms-Date", &self.date),
            ("x-ms-version", "August, 2014"),
            ("x-ms-SHA256_Content", &self.hash),
            ("Authorization", &self.authorization),
        ]
    }
}

pub(super) fn topology_body(identity: &Identity, agent: &str) -> String {
    let certificate = encoding::base64(&identity.certificate);
    let (first, second) = certificate.split_at(64);
    format!(
        "<?xml version=\"1.0\"?>\n<AgentTopologyRequest \
         xmlns=\"http://schemas.microsoft.com/WorkloadMonitoring/HealthServiceProtocol/2014/09/\">\
         <FullyQualfiedDomainName>edge7\n</FullyQualfiedDomainName><EntityTypeId>{agent}</EntityTypeId>\
         <AuthenticationCertificate>{first}\n{second}</AuthenticationCertificate><OperatingSystem>\
         <InContainer>False</InContainer><Name>Debian</Name><Version>12</Version><Manufacturer>SPI\
         </Manufacturer><Telemetry></Telemetry><ProcessorArchitecture>x64</ProcessorArchitecture>\
         </OperatingSystem></AgentTopologyRequest>"
    )
}

/// Returns a request ID that did not come before.
pub(super) fn request_id() -> String {
    let mut random = [0; 16];
    ::ring::rand::SecureRandom::fill(&::ring::rand::SystemRandom::new(), &mut random).expect("random bytes");
    let text = encoding::hexadecimal(&random);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

pub(super) fn deflated(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

pub(super) fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}
