//! The second hello of a client, after a HelloRetryRequest, is judged like the first.

use super::*;

/// HelloRetryRequest of `openssl s_server` 3.0.
const RETRY: &str = "1603030058020000540303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c20c3832dd901a29e1c\
                     7554fbc0ddbb17a09f1c67548074d17b5ea1556bcb5ad49f130200000c002b00020304003300020017";
const CHANGE_CIPHER_SPEC: [u8; 6] = [0x14, 3, 3, 0, 1, 1];

#[tokio::test(start_paused = true)]
async fn a_retry_is_told_from_a_hello_and_its_bytes_are_given_back() {
    let bytes: Vec<u8> =
        (0..RETRY.len()).step_by(2).map(|at| u8::from_str_radix(&RETRY[at..at + 2], 16).unwrap()).collect();
    let said = origin(&mut &bytes[..], BytesMut::new(), LIMIT, From13).await.unwrap();
    assert!(matches!(&said, OriginSaid::Retry(TlsVersion::Tls13, given) if *given == bytes), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn t03_the_hello_after_a_retry_must_ask_for_the_same_host_with_or_without_a_change_cipher_spec_before_it()
 {
    let good = rustls_hello(&[&TLS13], GOOD);
    let evil = rustls_hello(&[&TLS13], "evil.example.org");
    let after = |hello: &[u8]| [&CHANGE_CIPHER_SPEC[..], hello].concat();
    let cases = [
        (good.clone(), None),
        (after(&good), None),
        (evil.clone(), Some(Ending::ServerName)),
        (after(&evil), Some(Ending::ServerName)),
        (after(&after(&good)), Some(Ending::NotTls)),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Some(Ending::NotTls)),
        (CHANGE_CIPHER_SPEC.to_vec(), Some(Ending::NotTls)),
    ];
    for (bytes, expected) in cases {
        let (mut far, mut near) = duplex(3);
        let sending = async {
            far.write_all(&bytes).await.ok();
            drop(far);
        };
        let asking = async {
            let said = client_again(&mut near, LIMIT, rules(host(), MustMatch, From12)).await;
            drop(near);
            said
        };
        let (said, ()) = tokio::join!(asking, sending);
        assert_eq!(said.as_ref().err(), expected.as_ref(), "{:02x?}", &bytes[..6]);
        assert!(said.is_err() || said.is_ok_and(|given| given == bytes));
    }
}
