//! Client certificates (A12).

use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::SanType;
use rcgen::date_time_ymd;

use super::authority::client_params;
use super::authority::distinguished_name;
use super::*;
use crate::config::ClientCertificatePolicy::Optional;
use crate::config::ClientCertificatePolicy::Required;

#[tokio::test]
async fn a12_the_right_certificate_is_taken_and_gives_its_names() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let mut params = client_params("site-7", 7);
    params.distinguished_name =
        distinguished_name(&[(DnType::OrganizationName, "Example"), (DnType::CommonName, "site-7")]);
    params.subject_alt_names = vec![
        SanType::DnsName("Site-7.example".try_into().expect("ASCII")),
        SanType::URI("spiffe://example/site-7".try_into().expect("ASCII")),
    ];
    let shown = authority.issue(params);
    for policy in [Required, Optional] {
        let identity = Identity::load(&folder.verifying(&authority, policy)).expect("is right");
        for version in rustls::ALL_VERSIONS {
            let met = meet(&identity, client_of(&authority, Some(&shown), &[*version])).await;
            let expected =
                ["CN=site-7", "CN=site-7,O=Example", "DNS:site-7.example", "URI:spiffe://example/site-7"];
            assert_eq!(met.names().expect("a certificate"), expected, "{policy:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn a12_no_certificate_is_refused_where_one_is_required_and_served_where_it_is_optional() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    for version in rustls::ALL_VERSIONS {
        let required = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
        let met = meet(&required, client_of(&authority, None, &[*version])).await;
        assert_eq!(met.refused(), "no_certificate");
        let optional = Identity::load(&folder.verifying(&authority, Optional)).expect("is right");
        assert_eq!(meet(&optional, client_of(&authority, None, &[*version])).await.names(), None);
    }
}

#[tokio::test]
async fn a12_a_certificate_of_another_ca_is_refused_also_where_it_is_optional() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let namesake = Authority::new("site CA");
    let stranger = Authority::new("other CA");
    for policy in [Required, Optional] {
        let identity = Identity::load(&folder.verifying(&authority, policy)).expect("is right");
        for other in [&namesake, &stranger] {
            let shown = other.client("site-7", 7);
            let mut config = client(&authority, None);
            config.client_auth_cert_resolver = always(&shown);
            let refused = meet(&identity, config).await.refused();
            assert!(["certificate_issuer_unknown", "certificate_invalid"].contains(&refused), "{refused}");
        }
    }
}

#[tokio::test]
async fn a12_a_certificate_out_of_its_dates_is_refused() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let cases = [(2000, 2020, "certificate_expired"), (3000, 3010, "certificate_not_valid_yet")];
    for (from, to, expected) in cases {
        let mut params = client_params("site-7", 7);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let shown = authority.issue(params);
        assert_eq!(meet(&identity, client(&authority, Some(&shown))).await.refused(), expected);
    }
}

#[tokio::test]
async fn a12_a_servers_certificate_is_no_clients() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let mut params = client_params("site-7", 7);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let shown = authority.issue(params);
    let met = meet(&identity, client(&authority, Some(&shown))).await;
    assert_eq!(met.refused(), "certificate_purpose");
}

#[tokio::test]
async fn a12_a_common_name_without_alternative_names_is_enough() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let met = meet(&identity, client(&authority, Some(&authority.client("site-7", 7)))).await;
    assert_eq!(met.names().expect("a certificate"), ["CN=site-7"]);
}

#[tokio::test]
async fn a12_a_nul_in_a_name_gives_no_name() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let mut params = client_params("site-7\0.evil.example", 7);
    params.subject_alt_names = vec![
        SanType::DnsName("site-7.example\0.evil.example".try_into().expect("ASCII")),
        SanType::URI("spiffe://example/site-7\0".try_into().expect("ASCII")),
    ];
    let met = meet(&identity, client(&authority, Some(&authority.issue(params)))).await;
    assert_eq!(met.names(), Some(Vec::new()));
}

#[tokio::test]
async fn a12_an_intermediate_that_the_client_sends_along_is_followed_and_one_left_out_is_not() {
    let root = Authority::new("root CA");
    let site = root.intermediate("site CA", 100);
    let folder = Folder::new(&root);
    let identity = Identity::load(&folder.verifying(&root, Required)).expect("is right");
    let whole = site.client("site-7", 7).under(&site);
    assert_eq!(meet(&identity, client(&root, Some(&whole))).await.names().expect("names"), ["CN=site-7"]);
    let mut config = client(&root, None);
    config.client_auth_cert_resolver = always(&site.client("site-7", 7));
    assert_eq!(meet(&identity, config).await.refused(), "certificate_issuer_unknown");
}

#[tokio::test]
async fn a12_a_client_must_hold_the_key_of_its_certificate() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let identity = Identity::load(&folder.verifying(&authority, Required)).expect("is right");
    let (victim, thief) = (authority.client("site-7", 7), authority.client("thief", 8));
    for version in rustls::ALL_VERSIONS {
        let mut config = client_of(&authority, None, &[*version]);
        config.client_auth_cert_resolver = stolen(&victim, &thief);
        assert_eq!(meet(&identity, config).await.refused(), "certificate_invalid");
    }
}

/// Shows a certificate to every server, whatever CAs it lists.
pub(super) fn always(shown: &Issued) -> Arc<dyn rustls::client::ResolvesClientCert> {
    stolen(shown, shown)
}

/// Shows one client's certificate and signs with another's key.
fn stolen(shown: &Issued, signing: &Issued) -> Arc<dyn rustls::client::ResolvesClientCert> {
    let key = provider().key_provider.load_private_key(signing.key_der()).expect("a key");
    Arc::new(Always(Arc::new(rustls::sign::CertifiedKey::new(shown.chain.clone(), key))))
}

#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
