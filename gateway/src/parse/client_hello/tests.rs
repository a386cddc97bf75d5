use super::*;
use crate::crypto::provider;
use crate::parse::LONGEST_HELLO;
use crate::parse::forge;
use proptest::prelude::*;
use std::sync::Arc;
use tokio_rustls::rustls;

const GOOD: &str = "a.ods.opinsights.azure.com";

/// Made by `openssl s_client` 3.0 with one cipher suite, one group and this `-servername`.
const OPENSSL_13: &str = "16030100d1010000cd030377d4259f4964744eb93c2eb7f08714f49ff0ae42b159c24e6f1b58388e
    63f1e020795c092dddfd5b2897d24a59beafe9294ddb7f76d45b3581d90211b8d992fe1b0004130100ff010000800000001f001d
    00001a612e6f64732e6f70696e7369676874732e617a7572652e636f6d000b000403000102000a00040002001d00230000001600
    0000170000000d0006000408040401002b0003020304002d00020101003300260024001d002040f731697cdfc18ab7c32062e5a1
    4865ec11e59d6c6be17f477b86e380118c7c";
const OPENSSL_12: &str = "160301007a0100007603039c73a958982f7dad688d9e94faee7f349457345a572d848d3b923edc273a
    5604000004c02f00ff010000490000001f001d00001a612e6f64732e6f70696e7369676874732e617a7572652e636f6d000b0004
    03000102000a00040002001d002300000016000000170000000d0006000408040401";
const OPENSSL_11: &str = "16030100600100005c03025646cc056a742ec4268c0de61056edf7efb20c0a3f65294128005b576f0c
    1be5000004002f00ff0100002f0000001f001d00001a612e6f64732e6f70696e7369676874732e617a7572652e636f6d00230000
    0016000000170000";
const OPENSSL_10_WITHOUT_NAME: &str = "160301003d01000039030187aad6933cfd1a3b35ee7513cf04c689e3c2ec9537d1463
    994e3b1492b192fd7000004002f00ff0100000c002300000016000000170000";

#[test]
fn t01_t02_hellos_of_real_clients_are_read_once_whole_and_not_before() {
    use TlsVersion::*;
    let cases = [
        (forge::hex(OPENSSL_13), hello(Tls13, name(GOOD))),
        (forge::hex(OPENSSL_12), hello(Tls12, name(GOOD))),
        (forge::hex(OPENSSL_11), hello(Tls11, name(GOOD))),
        (forge::hex(OPENSSL_10_WITHOUT_NAME), hello(Tls10, ServerName::Absent)),
        (rustls_hello(&rustls::version::TLS13, GOOD), hello(Tls13, name(GOOD))),
        (rustls_hello(&rustls::version::TLS12, GOOD), hello(Tls12, name(GOOD))),
        (rustls_hello(&rustls::version::TLS12, "10.0.0.7"), hello(Tls12, ServerName::Absent)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(forge::settle(read, &bytes), (bytes.len(), Ok(Some(expected))), "{bytes:02x?}");
    }
}

#[test]
fn t01_t02_the_highest_version_is_that_of_supported_versions_else_the_legacy_one() {
    use TlsVersion::*;
    let unknown = HelloError::Malformed("no known version is offered");
    let cases = [
        (0x0303, Some(vec![0x0304]), Ok(Tls13)),
        (0x0303, Some(vec![0x1a1a, 0x0303, 0x0304, 0x0302]), Ok(Tls13)),
        (0x0303, Some(vec![0x0302, 0x0303]), Ok(Tls12)),
        (0x0303, Some(vec![0x0302]), Ok(Tls11)),
        (0x0301, Some(vec![0x0304]), Ok(Tls13)),
        (0x0303, Some(vec![0x0300]), Ok(Ssl3)),
        (0x0303, Some(vec![0x0305, 0x7f1c, 0xfefd, 0x0302]), Ok(Tls11)),
        (0x0303, Some(vec![0x0a0a, 0x0305]), Err(unknown)),
        (0x0303, Some(vec![]), Err(unknown)),
        (0x0304, None, Ok(Tls12)),
        (0xffff, None, Ok(Tls12)),
        (0x0303, None, Ok(Tls12)),
        (0x0302, None, Ok(Tls11)),
        (0x0301, None, Ok(Tls10)),
        (0x0300, None, Ok(Ssl3)),
        (0x0002, None, Err(HelloError::Malformed("a version older than SSL 3.0"))),
    ];
    for (legacy, supported, expected) in cases {
        let extensions: Vec<_> = supported.as_deref().map(versions).into_iter().collect();
        let bytes = wire(&body(legacy, &extensions));
        let expected = expected.map(|version| Some(hello(version, ServerName::Absent)));
        assert_eq!(forge::settle(read, &bytes), (bytes.len(), expected), "{legacy:04x} {supported:04x?}");
    }
}

#[test]
fn t03_only_one_proper_host_name_is_a_server_name() {
    let host = |text: &'static str| (HOST_NAME, text.as_bytes());
    let long = vec![b'a'; 16 * 1024];
    let bad = ServerName::Unusable;
    let symbol = bad("the server name has a character other than letters, digits, hyphens and dots");
    let cases = [
        (vec![host("A.ODS.OpInsights.Azure.COM")], name(GOOD)),
        (vec![host("other.example")], name("other.example")),
        (vec![], bad("the list of server names is empty")),
        (vec![host(GOOD), host(GOOD)], bad("there are several server names")),
        (vec![host(GOOD), (1, b"x")], bad("there are several server names")),
        (vec![(1, b"x")], bad("the server name is of an unknown type")),
        (vec![host("")], bad("the server name is empty")),
        (vec![host("a.ods.opinsights.azure.com.")], bad("the server name ends with a dot")),
        (vec![host(".")], bad("the server name has an empty label")),
        (vec![host("a..com")], bad("the server name has an empty label")),
        (vec![host("evil.example\0.azure.com")], bad("the server name has a NUL byte")),
        (vec![(HOST_NAME, b"\xff.azure.com")], bad("the server name is not ASCII")),
        (vec![host("b\u{fc}cher.example")], bad("the server name is not ASCII")),
        (vec![host("20.1.2.3")], bad("the server name is an IP address")),
        (vec![host("::1")], bad("the server name is an IP address")),
        (vec![host("[::1]")], bad("the server name is an IP address")),
        (vec![host("0x7f.1")], bad("the server name ends in a number")),
        (vec![host("a_b.azure.com")], symbol.clone()),
        (vec![host("azure.com:443")], symbol),
        (vec![(HOST_NAME, &long)], bad("the server name is longer than 253 bytes")),
    ];
    for (entries, expected) in cases {
        let bytes = wire(&body(0x0303, &[names(&entries)]));
        let shown = String::from_utf8_lossy(entries.first().map_or(b"", |(_, name)| name)).into_owned();
        assert_eq!(read(&bytes), Ok(Some(hello(TlsVersion::Tls12, expected))), "{shown:.40}");
        assert_eq!(read(&bytes[..bytes.len() - 1]), Ok(None), "{shown:.40}");
    }
}

#[test]
fn t04_a_post_quantum_hello_with_grease_and_ech_reads_the_same_from_records_of_every_size() {
    let key_share = forge::vector16(&[b"\x11\xec", &forge::vector16(&[9; 1216])[..]].concat());
    let extensions = [
        forge::extension(0x0a0a, b""),
        names(&[(HOST_NAME, GOOD.as_bytes())]),
        forge::extension(0xfe0d, &[0; 186]),
        forge::extension(51, &key_share),
        versions(&[0x8a8a, 0x0304, 0x0303]),
        forge::extension(0xfafa, b"\x00"),
    ];
    let message = forge::message(CLIENT_HELLO, &body(0x0303, &extensions));
    let expected = Ok(Some(hello(TlsVersion::Tls13, name(GOOD))));
    for size in 1..=message.len() {
        let bytes = forge::records(&message, size);
        assert_eq!(read(&bytes), expected, "records of {size} bytes");
        assert_eq!(read(&bytes[..bytes.len() - 1]), Ok(None), "records of {size} bytes");
    }
    let bytes = forge::records(&message, 700);
    assert_eq!(forge::settle(read, &bytes), (bytes.len(), expected));
}

#[test]
fn t04_a_hello_that_never_ends_is_given_up() {
    let endless = forge::records(&forge::message(CLIENT_HELLO, &[0; 40_000]), 1 << 14);
    assert_eq!(forge::settle(read, &endless[..100]), (9, Err(HelloError::TooLong)));
    let crumbs = forge::records(&forge::message(CLIENT_HELLO, &[0; 20_000]), 1);
    assert_eq!(read(&crumbs[..LONGEST_HELLO]), Err(HelloError::TooLong));
}

#[test]
fn t06_what_is_not_tls_is_known_by_its_first_byte() {
    let sslv2 = b"\x80\x2e\x01\x03\x01";
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"\x15\x03\x03\0\x02", b"\x14", sslv2] {
        assert_eq!(forge::settle(read, bytes), (1, Err(HelloError::NotTls)), "{bytes:02x?}");
    }
    assert_eq!(read(b""), Ok(None));
}

#[test]
fn a_body_whose_fields_do_not_add_up_is_malformed() {
    let good = body(0x0303, &[names(&[(HOST_NAME, GOOD.as_bytes())]), versions(&[0x0304])]);
    let without_extensions = body(0x0303, &[]).len();
    for end in (0..good.len()).filter(|end| *end != without_extensions) {
        assert!(matches!(read(&wire(&good[..end])), Err(HelloError::Malformed(_))), "ends at {end}");
    }
    let twice = body(0x0303, &[versions(&[0x0304]), versions(&[0x0304])]);
    let start = [&[3, 3][..], &[7; 32]].concat();
    let cases: [(&[&[u8]], &str); 9] = [
        (&[&good, b"\0"], "bytes after the last field"),
        (&[&twice], "an extension stands twice"),
        (&[&start, b"\x21", &[0; 33], b"\0\x02\x13\x01\x01\0"], "a session id longer than 32 bytes"),
        (&[&start, b"\0\0\0\x01\0"], "a list of cipher suites that is empty or torn"),
        (&[&start, b"\0\0\x03\x13\x01\x13\x01\0"], "a list of cipher suites that is empty or torn"),
        (&[&start, b"\0\0\x02\x13\x01\0"], "no compression method"),
        (&[&body(0x0303, &[forge::extension(43, b"\x01\x03")])], "a field reaches beyond its end"),
        (&[&body(0x0303, &[forge::extension(43, b"\x02\x03\x04\x03")])], "bytes after the last field"),
        (&[&body(0x0303, &[forge::extension(0, b"\0\x04\0\0\x01a\0")])], "bytes after the last field"),
    ];
    for (parts, rule) in cases {
        assert_eq!(read(&wire(&parts.concat())), Err(HelloError::Malformed(rule)));
    }
}

proptest! {
    #[test]
    fn t06_a_mutated_hello_gets_one_answer_and_keeps_it(
        sample in prop::sample::select(vec![OPENSSL_13, OPENSSL_12, OPENSSL_10_WITHOUT_NAME]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = forge::hex(sample);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.extend(tail);
        let _ = forge::settle(read, &bytes);
    }

    #[test]
    fn t06_a_body_of_random_bytes_never_panics(random in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&wire(&random));
        let _ = read_body(&random);
        let _ = only_name(&random);
        let _ = highest_of(&random);
    }
}

fn name(text: &str) -> ServerName {
    ServerName::Name(text.parse().expect("a host name"))
}

fn hello(highest_version: TlsVersion, server_name: ServerName) -> ClientHello {
    ClientHello { highest_version, server_name }
}

fn body(version: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
    let tail = if extensions.is_empty() { Vec::new() } else { forge::vector16(&extensions.concat()) };
    let session_id = forge::vector8(&[5; 32]);
    [&version.to_be_bytes()[..], &[7; 32], &session_id, b"\0\x04\x0a\x0a\x13\x01\x01\0", &tail].concat()
}

fn wire(body: &[u8]) -> Vec<u8> {
    forge::records(&forge::message(CLIENT_HELLO, body), 1 << 14)
}

fn versions(numbers: &[u16]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    forge::extension(SUPPORTED_VERSIONS, &forge::vector8(&numbers))
}

fn names(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let entries = entries.iter().map(|(kind, name)| [&[*kind], &forge::vector16(name)[..]].concat());
    forge::extension(SERVER_NAME, &forge::vector16(&entries.collect::<Vec<_>>().concat()))
}

fn rustls_hello(version: &'static rustls::SupportedProtocolVersion, server: &str) -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[version])
        .expect("a version of the provider")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let server = server.to_string().try_into().expect("a server name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), server).expect("a client");
    let mut wire = Vec::new();
    client.write_tls(&mut wire).expect("a vector takes all bytes");
    wire
}
