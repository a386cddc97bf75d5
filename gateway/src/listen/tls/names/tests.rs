use rcgen::CertificateParams;
use rcgen::CustomExtension;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::DnValue;
use rcgen::KeyPair;
use rcgen::SanType;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::*;

const SUBJECT_ALTERNATIVE_NAME: &[u64] = &[2, 5, 29, 17];

type Subject<'a> = &'a [(DnType, DnValue)];

fn names_of(params: CertificateParams) -> Vec<String> {
    let key = KeyPair::generate().expect("a key");
    names(params.self_signed(&key).expect("a certificate").der())
}

fn subject(parts: Subject<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in parts {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    params
}

fn text(value: &str) -> DnValue {
    DnValue::Utf8String(value.to_owned())
}

#[test]
fn a_subject_gives_its_common_name_and_itself_as_rfc_4514_writes_it() {
    let printable = |value: &str| DnValue::PrintableString(value.try_into().expect("printable"));
    let cases: [(Subject<'_>, &[&str]); 8] = [
        (&[(DnType::CommonName, text("site-7"))], &["CN=site-7"]),
        (&[(DnType::CommonName, printable("site-7"))], &["CN=site-7"]),
        (
            &[
                (DnType::CountryName, printable("DE")),
                (DnType::StateOrProvinceName, text("Bavaria")),
                (DnType::LocalityName, text("Fürth")),
                (DnType::OrganizationName, text("Example")),
                (DnType::OrganizationalUnitName, text("Sites")),
                (DnType::CommonName, text("site-7")),
            ],
            &["CN=site-7", "CN=site-7,OU=Sites,O=Example,L=Fürth,ST=Bavaria,C=DE"],
        ),
        (&[(DnType::OrganizationName, text("Example"))], &["O=Example"]),
        (
            &[
                (DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 25]), text("example")),
                (DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 1]), text("7")),
            ],
            &["UID=7,DC=example"],
        ),
        (
            &[
                (DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]), text("a@b.example")),
                (DnType::CustomDnType(vec![2, 5, 4, 5]), text("1")),
                (DnType::CustomDnType(vec![2, 5, 4, 9]), text("Road")),
            ],
            &["STREET=Road,serialNumber=1,emailAddress=a@b.example"],
        ),
        (
            &[(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, 1]), text("x"))],
            &["1.3.6.1.4.1.99999.1=#0c0178"],
        ),
        (&[], &[]),
    ];
    for (parts, expected) in cases {
        assert_eq!(names_of(subject(parts)), expected);
    }
}

#[test]
fn a_common_name_cannot_pass_for_a_whole_subject() {
    let cases = [
        ("site-7,O=Example", "CN=site-7\\,O=Example"),
        ("site-7+O=Example", "CN=site-7\\+O=Example"),
        ("site-7\\,O=Example", "CN=site-7\\\\\\,O=Example"),
        ("a;b<c>\"d\"", "CN=a\\;b\\<c\\>\\\"d\\\""),
        ("#a", "CN=\\#a"),
        (" site-7 ", "CN=\\ site-7\\ "),
        ("DNS:site-7.example", "CN=DNS:site-7.example"),
    ];
    for (value, expected) in cases {
        assert_eq!(names_of(subject(&[(DnType::CommonName, text(value))])), [expected]);
    }
}

#[test]
fn of_several_common_names_none_counts_alone() {
    let second = DnType::CustomDnType(vec![2, 5, 4, 3]);
    let params = subject(&[(DnType::CommonName, text("site-7")), (second, text("site-8"))]);
    assert_eq!(names_of(params), ["CN=site-8,CN=site-7"]);
}

#[test]
fn a12_a_value_that_is_not_plain_text_gives_no_name_and_is_never_cut_short() {
    let bmp = DnValue::BmpString("site-7".try_into().expect("BMP"));
    let teletex = DnValue::TeletexString("site-7".try_into().expect("Teletex"));
    let values = [
        text("site-7\0.evil"),
        text("\0"),
        text("site-7\n"),
        text("site\u{7f}"),
        text("a\u{85}b"),
        text(""),
        bmp,
        teletex,
    ];
    for value in values {
        assert!(names_of(subject(&[(DnType::CommonName, value.clone())])).is_empty(), "{value:?}");
        let params =
            subject(&[(DnType::OrganizationName, value.clone()), (DnType::CommonName, text("site-7"))]);
        assert_eq!(names_of(params), ["CN=site-7"], "{value:?}");
    }
}

#[test]
fn a_common_name_that_is_not_utf_8_gives_no_name() {
    let key = KeyPair::generate().expect("a key");
    let certificate =
        subject(&[(DnType::CommonName, text("site-7"))]).self_signed(&key).expect("a certificate");
    let mut der = certificate.der().to_vec();
    let places: Vec<usize> =
        der.windows(6).enumerate().filter(|(_, w)| *w == b"site-7").map(|(at, _)| at).collect();
    assert_eq!(places.len(), 2, "issuer and subject");
    places.iter().for_each(|at| der[at + 4] = 0xff);
    assert!(names(&der).is_empty());
}

#[test]
fn alternative_names_are_those_of_dns_in_lower_case_and_uris() {
    let ascii = |value: &str| value.try_into().expect("ASCII");
    let mut params = subject(&[]);
    params.subject_alt_names = vec![
        SanType::DnsName(ascii("Site-7.EXAMPLE")),
        SanType::DnsName(ascii("*.sites.example")),
        SanType::URI(ascii("spiffe://example/Site-7")),
        SanType::Rfc822Name(ascii("site-7@example.org")),
        SanType::IpAddress([10, 0, 0, 7].into()),
    ];
    assert_eq!(
        names_of(params),
        ["DNS:*.sites.example", "DNS:site-7.example", "URI:spiffe://example/Site-7"]
    );
}

#[test]
fn a12_one_bad_alternative_name_does_not_hide_the_good_ones() {
    let value = |tag: u8, text: &[u8]| {
        let mut value = vec![tag, u8::try_from(text.len()).expect("is short")];
        value.extend(text);
        value
    };
    let values = [
        value(0x82, b"a.example\0.evil.example"),
        value(0x82, b"b\xff.example"),
        value(0x82, b""),
        value(0x82, b"c d.example"),
        value(0x82, "ü.example".as_bytes()),
        value(0x86, b"spiffe://example/a\nb"),
        // Constructed, as no DNS name is.
        value(0xa2, &value(0x16, b"d.example")),
        value(0x82, b"good.example"),
    ];
    let content = values.concat();
    let mut params = subject(&[]);
    let extension = CustomExtension::from_oid_content(SUBJECT_ALTERNATIVE_NAME, value(0x30, &content[..]));
    params.custom_extensions = vec![extension.clone()];
    assert_eq!(names_of(params.clone()), ["DNS:good.example"]);
    params.custom_extensions = vec![extension.clone(), extension];
    assert!(names_of(params).is_empty(), "the extension stands there twice");
}

#[test]
fn bytes_that_are_no_certificate_give_no_names() {
    for bytes in [&b""[..], b"\x30\x00", &[0xff; 64]] {
        assert!(names(bytes).is_empty());
    }
}

/// What `openssl x509 -noout -subject -nameopt RFC2253,-esc_msb` prints may be written into a configuration.
#[test]
fn the_whole_subject_is_what_openssl_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| match std::process::Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: openssl cannot be run: {error}");
            None
        }
    };
    let subjects = [
        "/C=DE/ST=Bavaria/L=Fürth/O=Example/OU=Sites/CN=site-7",
        "/DC=org/DC=example/CN=site-7+UID=7+serialNumber=1/emailAddress=a@b.example",
        "/O=Example, Inc. \\+ \"Sons\" <x>; #1/OU=#first/CN= site\\\\7 ",
    ];
    for subject in subjects {
        let (key, certificate) = (file("site.key"), file("site.crt"));
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"];
        let Some(made) =
            openssl(&[&new[..], &["-subj", subject, "-keyout", &key, "-out", &certificate]].concat())
        else {
            return;
        };
        assert!(made.status.success(), "{made:?}");
        let print = ["x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb", "-in", &certificate];
        let printed = openssl(&print).expect("could be run before").stdout;
        let printed = String::from_utf8(printed).expect("text");
        let printed = printed.strip_prefix("subject=").expect("a subject").trim_end_matches('\n');
        let der = CertificateDer::from_pem_file(&certificate).expect("a certificate");
        assert!(names(&der).contains(&printed.to_owned()), "{printed:?} is not in {:?}", names(&der));
    }
}
