//! An authority for clients' certificates, with revocation lists.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertificateRevocationListParams;
use rcgen::CertifiedIssuer;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::KeyIdMethod;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::RevokedCertParams;
use rcgen::SerialNumber;
use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::pki::PemFiles;
use crate::pki::Pki;

/// An authority that vouches for clients, and not for servers.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Whom a certificate names, and how it is called in a revocation list.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The common name, if there is one.
    pub common_name: Option<&'a str>,
    /// The alternative names of kind DNS.
    pub dns: &'a [&'a str],
    /// The serial number.
    pub serial: u64,
    /// The year in which it runs out.
    pub until: i32,
}

impl Authority {
    /// Makes an authority and writes its certificate to a folder that goes away with it.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("clients.pem"), issuer.pem()).expect("the authority's file");
        Self { issuer, folder }
    }

    /// Returns the file with the authority's certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("clients.pem")
    }

    /// Writes a certificate for a client, and its key, to files.
    pub fn issue(&self, subject: Subject<'_>) -> PemFiles {
        let names: Vec<String> = subject.dns.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names a certificate can carry");
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = subject.common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(subject.serial));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(subject.until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |kind: &str| self.folder.path().join(format!("{}.{kind}", subject.serial));
        let files = PemFiles { certificate: path("crt"), key: path("key") };
        let write = |path: &Path, text: String| std::fs::write(path, text).expect("a PEM file");
        write(&files.certificate, certificate.pem());
        write(&files.key, key.serialize_pem());
        files
    }

    /// Returns a revocation list with these serial numbers.
    pub fn revocation_list(&self, number: u64, revoked: &[u64]) -> String {
        let revoked_certs = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a revocation list").pem().expect("a revocation list in PEM")
    }
}

/// Returns the TLS configuration of a client that trusts `servers` and shows this certificate, if any.
pub fn showing(servers: &Pki, shown: Option<&PemFiles>) -> Arc<ClientConfig> {
    let read = |file: &Path| CertificateDer::from_pem_file(file).expect("a certificate in PEM");
    let mut roots = RootCertStore::empty();
    roots.add(read(&servers.authority_file())).expect("the authority as a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("default versions")
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key in PEM");
            builder.with_client_auth_cert(vec![read(&files.certificate)], key).expect("a client certificate")
        }
    };
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_shows_the_certificate_that_was_issued_for_it() {
        let authority = Authority::new("clients");
        let subject =
            Subject { common_name: Some("site-7"), dns: &["site-7.example"], serial: 7, until: 2099 };
        let files = authority.issue(subject);
        assert!(showing(&Pki::new(), Some(&files)).client_auth_cert_resolver.has_certs());
        assert!(!showing(&Pki::new(), None).client_auth_cert_resolver.has_certs());
        assert!(authority.revocation_list(1, &[7]).starts_with("-----BEGIN X509 CRL-----"));
    }
}
