//! A private certificate authority, and the files it writes.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertificateRevocationListParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyIdMethod;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::RevokedCertParams;
use rcgen::SerialNumber;
use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::config::ClientCertificatePolicy;
use crate::config::Tls;

pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with the intermediate ones above it, and its key.
pub(super) struct Issued {
    pub(super) chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    pem: String,
}

impl Authority {
    /// A root.
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(authority_params(name), key).expect("an authority") }
    }

    /// An authority under this one, with a serial number of its own.
    pub(super) fn intermediate(&self, name: &str, serial: u64) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = authority_params(name);
        params.serial_number = Some(SerialNumber::from(serial));
        Self { issuer: CertifiedIssuer::signed_by(params, key, &self.issuer).expect("an authority") }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { chain: vec![certificate.der().clone()], pem: certificate.pem(), key }
    }

    /// Issues a client's certificate with nothing but a common name.
    pub(super) fn client(&self, name: &str, serial: u64) -> Issued {
        self.issue(client_params(name, serial))
    }

    /// Returns a revocation list, PEM, that is good for years.
    pub(super) fn revocations(&self, revoked: &[u64]) -> String {
        self.revocations_between(revoked, 2026, 3000)
    }

    /// Returns a revocation list of these years.
    pub(super) fn revocations_between(&self, revoked: &[u64], from: i32, to: i32) -> String {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(from, 1, 1),
            next_update: date_time_ymd(to, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

impl Issued {
    /// Adds the certificate of the authority above, as a client of an intermediate sends it.
    pub(super) fn under(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.der());
        self.pem += &authority.pem();
        self
    }

    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&[(DnType::CommonName, name)]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn client_params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&[(DnType::CommonName, name)]);
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(super) fn distinguished_name(parts: &[(DnType, &str)]) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    parts.iter().for_each(|(kind, value)| name.push(kind.clone(), *value));
    name
}

/// The files of one identity.
pub(super) struct Folder(TempDir);

impl Folder {
    /// Writes a certificate for `gw.example` of this authority, and its key.
    pub(super) fn new(authority: &Authority) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.renew(authority);
        folder
    }

    /// Writes another certificate of the gateway, and its key.
    pub(super) fn renew(&self, authority: &Authority) {
        let params =
            CertificateParams::new(["gw.example".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let own = authority.issue(params);
        self.write("gw.crt", own.pem());
        self.write("gw.key", own.key_pem());
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, text).expect("a file");
        file
    }

    /// An identity that asks no client for a certificate.
    pub(super) fn settings(&self) -> Tls {
        Tls {
            certificate: self.0.path().join("gw.crt"),
            key: self.0.path().join("gw.key"),
            client_ca: None,
            client_crl: None,
            client_certificate: ClientCertificatePolicy::None,
        }
    }

    /// An identity that verifies certificates of this authority.
    pub(super) fn verifying(&self, authority: &Authority, policy: ClientCertificatePolicy) -> Tls {
        let client_ca = Some(self.write("ca.crt", authority.pem()));
        Tls { client_ca, client_certificate: policy, ..self.settings() }
    }

    /// An identity that requires certificates of this authority, and looks into this revocation list.
    pub(super) fn revoking(&self, authority: &Authority, list: &str) -> Tls {
        let client_crl = Some(self.write("ca.crl", list));
        Tls { client_crl, ..self.verifying(authority, ClientCertificatePolicy::Required) }
    }
}
