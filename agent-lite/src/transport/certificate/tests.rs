use super::*;
use rsa::rand_core::OsRng;
use std::io::ErrorKind;
use std::io::Write;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::Encode;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

const WORKSPACE: &str = "1234a123-aa1a-123a-aaa1-a1a345aa6789";
const NOW: Timestamp = Timestamp(1_767_600_000_999_999);

#[test]
fn the_certificate_is_what_the_service_knows() {
    let made = create(WORKSPACE, Uuid::from_u128(7), NOW, &mut OsRng).unwrap();
    let certificate = parsed(&made.certificate);
    let inside = certificate.tbs_certificate();
    let names: Vec<_> = inside
        .subject()
        .iter()
        .map(|part| (part.oid.to_string(), str::from_utf8(part.value.value()).unwrap().to_owned()))
        .collect();
    let agent = Uuid::from_u128(7).to_string();
    let expected = [
        ("2.5.4.3", WORKSPACE),
        ("2.5.4.3", agent.as_str()),
        ("2.5.4.11", "Linux Monitoring Agent"),
        ("2.5.4.10", "Microsoft"),
    ];
    assert_eq!(names, expected.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
    assert_eq!(inside.issuer(), inside.subject());
    let (begin, end) = (inside.validity().not_before, inside.validity().not_after);
    assert_eq!(begin.to_unix_duration(), Duration::from_secs(1_767_600_000));
    assert_eq!(end.to_unix_duration() - begin.to_unix_duration(), Duration::from_secs(365 * 86_400));
    let serial = inside.serial_number().as_bytes().iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
    assert!((1..=65_534).contains(&serial), "{serial}");
    assert!(inside.extensions().unwrap().iter().all(|extension| !extension.critical));
    let (_, basic) = inside.get_extension::<BasicConstraints>().unwrap().unwrap();
    let (_, subject) = inside.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
    let (_, authority) = inside.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
    assert!(basic.ca && basic.path_len_constraint.is_none());
    assert_eq!(authority.key_identifier.unwrap(), subject.0);
    verify_by_ring(&certificate);
    verify_by_openssl(&made);
}

/// Reads a certificate in PEM.
pub(in crate::transport) fn parsed(pem: &str) -> Certificate {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    Certificate::from_der(&STANDARD.decode(lines.collect::<String>()).unwrap()).unwrap()
}

fn verify_by_ring(certificate: &Certificate) {
    let inside = certificate.tbs_certificate();
    let public = inside.subject_public_key_info().subject_public_key.as_bytes().unwrap();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(&inside.to_der().unwrap(), certificate.signature().as_bytes().unwrap()).unwrap();
}

fn verify_by_openssl(made: &KeyAndCertificate) {
    let Some(text) = openssl(&["x509", "-noout", "-text", "-nameopt", "RFC2253"], &made.certificate) else {
        return println!("skipped: openssl is not installed");
    };
    for expected in [
        "Version: 3 (0x2)",
        "Signature Algorithm: sha256WithRSAEncryption",
        "Public-Key: (2048 bit)",
        "Subject: O=Microsoft,OU=Linux Monitoring Agent,CN=00000000-0000-0000-0000-000000000007,CN=1234a123-",
        "CA:TRUE",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("critical"), "{text}");
    let public = openssl(&["x509", "-noout", "-pubkey"], &made.certificate);
    assert_eq!(public, openssl(&["rsa", "-pubout"], made.key.expose()));
    assert!(made.key.expose().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
}

fn openssl(arguments: &[&str], input: &str) -> Option<String> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        child => child.unwrap(),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn small_numbers_have_their_shortest_form() {
    for (value, bytes) in
        [(1, &[1][..]), (127, &[127]), (128, &[0, 128]), (256, &[1, 0]), (65_534, &[0, 255, 254])]
    {
        assert_eq!(unsigned(value), bytes);
    }
}
