//! Files that are wrong from the start: each error names the file and the mend.

use std::fs;

use super::*;
use crate::config::ClientCertificatePolicy::Optional;
use crate::config::ClientCertificatePolicy::Required;

#[test]
fn wrong_files_are_refused_with_the_file_and_what_to_change() {
    let authority = Authority::new("site CA");
    let other = authority.client("other", 1);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n\
                  -----END RSA PRIVATE KEY-----\n";
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let not_a_list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let cases = [
        ("gw.crt", "", "gw.crt: there is no certificate in it; it must be"),
        ("gw.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n", "gw.crt: is cut off"),
        ("gw.crt", not_der, "gw.crt: invalid peer certificate: BadEncoding; the first certificate"),
        ("gw.crt", other.pem(), "gw.crt: the key in "),
        ("gw.key", &other.key_pem(), "gw.key is not this certificate's; the first certificate and the key"),
        ("gw.key", "", "gw.key: there is no private key in it"),
        ("gw.key", encrypted, "gw.key: the key is encrypted"),
        ("gw.key", legacy, "write it without one, as `openssl pkey"),
        ("gw.key", not_a_key, "gw.key: "),
        ("ca.crt", "", "ca.crt: there is no certificate"),
        ("ca.crt", not_der, "ca.crt: certificate 1 ("),
        ("ca.crt", other.pem(), "ca.crt: certificate 1 (CN=other) is not a CA's"),
        ("ca.crl", "", "ca.crl: there is no revocation list in it"),
        ("ca.crl", not_a_list, "ca.crl: "),
        ("ca.crl", &authority.pem(), "ca.crl: there is no revocation list in it"),
    ];
    for (name, text, complaint) in cases {
        let folder = Folder::new(&authority);
        let settings = folder.revoking(&authority, &authority.revocations(&[]));
        Identity::load(&settings).map(drop).expect("is right");
        folder.write(name, text);
        let error = Identity::load(&settings).map(drop).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{complaint:?} is not in {error:?}");
        fs::remove_file(folder.path().join(name)).expect("is there");
        let error = Identity::load(&settings).map(drop).expect_err(name).to_string();
        assert!(error.contains(&format!("{name}: cannot be read: ")), "{error}");
    }
}

#[test]
fn verifying_without_a_ca_is_refused() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    for policy in [Required, Optional] {
        let settings = Tls { client_certificate: policy, ..folder.settings() };
        let error = Identity::load(&settings).map(drop).expect_err("cannot be verified");
        assert!(matches!(error, TlsError::NoAuthority), "{error}");
    }
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let settings = Tls { key: "/dev/zero".into(), ..folder.settings() };
    let error = Identity::load(&settings).map(drop).expect_err("is endless").to_string();
    assert!(error.starts_with("/dev/zero: is larger than 1 MiB; it must be"), "{error}");
}

#[test]
fn the_deadlines_are_those_of_the_gateways_certificate_the_ca_and_the_list() {
    let authority = Authority::new("site CA");
    let folder = Folder::new(&authority);
    let settings = folder.revoking(&authority, &authority.revocations(&[]));
    let identity = Identity::load(&settings).expect("is right");
    let deadlines: Vec<_> =
        identity.deadlines().into_iter().map(|deadline| (deadline.file, deadline.what)).collect();
    let file = |name| folder.path().join(name);
    let expected = [
        (file("gw.crt"), Expiring::Certificate),
        (file("ca.crt"), Expiring::Authority),
        (file("ca.crl"), Expiring::RevocationList),
    ];
    assert_eq!(deadlines, expected);
}
