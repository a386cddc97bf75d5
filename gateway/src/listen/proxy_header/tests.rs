use super::*;
use tokio::io::AsyncWriteExt;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header that arrives a byte at a time, and what follows it.
async fn verdict(bytes: &[u8]) -> (Result<Option<String>, ProxyHeaderError>, Vec<u8>) {
    let (mut near, mut far) = tokio::io::duplex(1);
    let sent = bytes.to_vec();
    let writer = tokio::spawn(async move {
        // The reader may turn away early.
        let _ = near.write_all(&sent).await;
    });
    let found = read(&mut far).await.map(|client| client.map(|client| client.to_string()));
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.expect("a duplex does not fail");
    writer.await.expect("the writer ends");
    (found, rest)
}

fn v2(command: u8, family: u8, length: u16, body: &[u8]) -> Vec<u8> {
    [V2, &[0x20 | command, family], &length.to_be_bytes(), body].concat()
}

const IPV4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90];

#[tokio::test]
async fn a11_good_headers_give_the_exact_client_and_leave_what_follows_untouched() {
    let tlv = [IPV4, &[0x04, 0, 3, 1, 2, 3]].concat();
    let v6 =
        [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7].as_slice(), &[0; 16], &[0x9c, 0x40, 0, 1]]
            .concat();
    let cases = [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 8080\r\n".to_vec(), Some("203.0.113.9:40000")),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 8080\r\n".to_vec(), Some("[2001:db8::7]:40000")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (v2(1, 0x11, 12, IPV4), Some("203.0.113.9:40000")),
        (v2(1, 0x11, 18, &tlv), Some("203.0.113.9:40000")),
        (v2(1, 0x21, 36, &v6), Some("[2001:db8::7]:40000")),
        (v2(0, 0x00, 0, b""), None),
        (v2(0, 0x11, 12, IPV4), None),
    ];
    for (header, client) in cases {
        let request = b"CONNECT a.example:443 HTTP/1.1\r\n\r\n";
        let (found, rest) = verdict(&[header.as_slice(), request].concat()).await;
        assert_eq!(found, Ok(client.map(str::to_owned)), "{header:?}");
        assert_eq!(rest, request, "{header:?}");
    }
}

#[tokio::test]
async fn a11_bad_headers_are_refused_within_their_bounds() {
    use ProxyHeaderError::*;
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    let exact = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat();
    let cases = [
        (b"".to_vec(), Nothing),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n".to_vec(), Missing),
        (b"\x16\x03\x01".to_vec(), Missing),
        (b"POST / HTTP/1.1\r\n\r\n".to_vec(), Missing),
        (b"\r\n\r\nCONNECT a.example:443 HTTP/1.1\r\n\r\n".to_vec(), Missing),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 99999 8080\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 40000\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 ::1 ::1 40000 8080\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 8080\n".to_vec(), Malformed),
        (b"PROXY TCP4 203.0.113.9".to_vec(), Malformed),
        (endless, Malformed),
        (exact, Malformed),
        (v2(1, 0x11, 500, IPV4), Malformed),
        (v2(1, 0x11, 8, &IPV4[..8]), Malformed),
        (v2(1, 0x11, 15, &[IPV4, &[4, 0, 9]].concat()), Malformed),
        (v2(1, 0x11, 13, &[IPV4, &[4]].concat()), Malformed),
        (v2(1, 0x31, 216, &[0; 216]), Malformed),
        (v2(1, 0x00, 0, b""), Malformed),
        (v2(1, 0x11, 5000, &[0; 5000]), Malformed),
        (v2(3, 0x11, 12, IPV4), Malformed),
        (V2[..11].to_vec(), Malformed),
    ];
    for (bytes, expected) in cases {
        let (found, _) = verdict(&bytes).await;
        assert_eq!(found, Err(expected), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]));
    }
}

#[tokio::test]
async fn a_version_1_header_of_exactly_107_bytes_passes() {
    let header = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91], b"\r\n"].concat();
    assert_eq!(header.len(), LONGEST_V1);
    assert_eq!(verdict(&header).await.0, Ok(None));
}
