//! A private certificate authority, made anew for each test.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ConfigBuilder;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::WantsVerifier;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version;

/// A certificate authority with a folder of its own for the files other programs read.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// PEM files of one certificate and its key.
#[derive(Clone, Debug)]
pub struct PemFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Pki {
    /// Makes an authority and writes its certificate to a folder that goes away with it.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "la-gateway test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("the authority's file");
        Self { issuer, folder }
    }

    /// Returns the file with the authority's certificate, for `curl --cacert`.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes a certificate for these names, and its key, to files.
    pub fn pem_files(&self, stem: &str, names: &[&str]) -> PemFiles {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf_params(names).signed_by(&key, &self.issuer).expect("a certificate");
        let write = |path: &Path, text: String| std::fs::write(path, text).expect("a PEM file");
        let files = PemFiles {
            certificate: self.folder.path().join(format!("{stem}.crt")),
            key: self.folder.path().join(format!("{stem}.key")),
        };
        write(&files.certificate, certificate.pem());
        write(&files.key, key.serialize_pem());
        files
    }

    /// Returns a server's TLS configuration with one certificate a name, chosen by the name in the hello.
    ///
    /// A client certificate of this authority is taken, but not asked for with force.
    pub fn server_config(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_config_for(names, &[&version::TLS13, &version::TLS12])
    }

    /// Returns the same, for TLS 1.2 only.
    pub fn server_config_tls12(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_config_for(names, &[&version::TLS12])
    }

    fn server_config_for(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let mut resolver = ResolvesServerCertUsingSni::new();
        for name in names {
            resolver.add(name, self.certified_key(name)).expect("a certificate for its own name");
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider())
            .allow_unauthenticated()
            .build()
            .expect("a client verifier");
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("protocol versions")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        Arc::new(config)
    }

    /// Returns a client's TLS configuration that trusts this authority alone.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let config = client_builder().with_root_certificates(self.roots()).with_no_client_auth();
        Arc::new(config)
    }

    /// Returns the same, for TLS 1.2 only.
    pub fn client_config_tls12(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&version::TLS12]).expect("a protocol version");
        Arc::new(builder.with_root_certificates(self.roots()).with_no_client_auth())
    }

    /// Returns the same with a client certificate, as the legacy agent presents.
    pub fn client_config_with_certificate(&self, name: &str) -> Arc<ClientConfig> {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf_params(&[name]).signed_by(&key, &self.issuer).expect("a certificate");
        let config = client_builder()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![certificate.der().clone()], key_der(&key))
            .expect("a client certificate");
        Arc::new(config)
    }

    /// Returns a server's certificate for a name, with its key.
    pub fn certified_key(&self, name: &str) -> CertifiedKey {
        self.certified(leaf_params(&[name]))
    }

    /// Returns a server's certificate for a name that ran out years ago, with its key.
    pub fn expired_key(&self, name: &str) -> CertifiedKey {
        let mut params = leaf_params(&[name]);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.certified(params)
    }

    fn certified(&self, params: CertificateParams) -> CertifiedKey {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let signer = provider().key_provider.load_private_key(key_der(&key)).expect("a key ring reads");
        CertifiedKey::new(vec![certificate.der().clone()], signer)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("the authority as a root");
        roots
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

fn client_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("default versions")
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names a certificate can carry");
    params.use_authority_key_identifier_extension = true;
    params
}

fn key_der(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
