//! Rows T01 to T08: what a tunnel's first bytes may be, cut and delayed in every way.

mod forge;
mod retry;

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::io::duplex;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::version::TLS13;

use self::forge::Forged;
use self::forge::alert;
use self::forge::rustls_hello;
use self::forge::server_hello;
use super::*;
use crate::config::MinimumTls::Tls12 as From12;
use crate::config::MinimumTls::Tls13 as From13;
use crate::config::ServerNamePolicy::Ignore;
use crate::config::ServerNamePolicy::MayBeAbsent;
use crate::config::ServerNamePolicy::MustMatch;

const GOOD: &str = "a.ods.opinsights.azure.com";
const LIMIT: Duration = Duration::from_secs(10);

type Judged = Result<TlsVersion, Ending>;

#[tokio::test(start_paused = true)]
async fn t01_t08_a_hello_byte_by_byte_passes_and_every_byte_is_given_back() {
    let cases = [
        (rustls_hello(&[&TLS13], GOOD), TlsVersion::Tls13),
        (rustls_hello(&[&TLS12], GOOD), TlsVersion::Tls12),
    ];
    for (hello, version) in cases {
        let (mut far, mut near) = duplex(1);
        let asking = client(&mut near, BytesMut::new(), LIMIT, rules(host(), MustMatch, From12));
        let (found, sent) = tokio::join!(asking, far.write_all(&hello));
        sent.unwrap();
        let (found, bytes) = found.unwrap();
        assert!(found == version && bytes == hello, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t01_t08_a_hello_that_came_early_in_whole_or_in_part_is_not_waited_for_and_not_lost() {
    let hello = rustls_hello(&[&TLS13, &TLS12], GOOD);
    for cut in 0..=hello.len() {
        let (early, rest) = hello.split_at(cut);
        // The far end stays open: what is there must do.
        let (mut far, mut near) = duplex(4096);
        far.write_all(rest).await.unwrap();
        let asking = client(&mut near, early.into(), LIMIT, rules(host(), MustMatch, From12));
        let (version, bytes) = asking.await.unwrap();
        assert!(version == TlsVersion::Tls13 && bytes == hello, "cut at {cut}: {version:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn t08_however_the_bytes_arrive_none_is_lost_changed_or_doubled(
        pipe in 1..600_usize,
        cut in any::<prop::sample::Index>(),
        record in 1..300_usize,
        later in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let forged = Forged { supported: Some(&[0x0304]), names: Some(&[GOOD.as_bytes()]), ..Forged::default() };
        let sent = [forged.wire_in_records_of(record), later].concat();
        let (early, rest) = sent.split_at(cut.index(sent.len()));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let found = runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let (mut far, mut near) = duplex(pipe);
            let sending = async {
                far.write_all(rest).await.unwrap();
                drop(far);
            };
            let asking = async {
                let asked = client(&mut near, early.into(), LIMIT, rules(host(), MustMatch, From13)).await;
                let mut bytes = asked.unwrap().1.to_vec();
                near.read_to_end(&mut bytes).await.unwrap();
                bytes
            };
            tokio::join!(asking, sending).0
        });
        prop_assert!(found == sent);
    }
}

#[tokio::test(start_paused = true)]
async fn t02_a_version_below_the_minimum_ends_the_tunnel_and_what_is_no_tls_record_is_no_tls() {
    let old = |legacy| Forged { legacy, names: Some(&[GOOD.as_bytes()]), ..Forged::default() }.wire();
    let supports = |versions: &[u16]| {
        Forged { supported: Some(versions), names: Some(&[GOOD.as_bytes()]), ..Forged::default() }.wire()
    };
    let too_old = Err(Ending::TlsVersion);
    let cases = [
        (rustls_hello(&[&TLS13], GOOD), From12, Ok(TlsVersion::Tls13)),
        (rustls_hello(&[&TLS13], GOOD), From13, Ok(TlsVersion::Tls13)),
        (rustls_hello(&[&TLS12], GOOD), From12, Ok(TlsVersion::Tls12)),
        (rustls_hello(&[&TLS12], GOOD), From13, too_old),
        (rustls_hello(&[&TLS12, &TLS13], GOOD), From13, Ok(TlsVersion::Tls13)),
        (supports(&[0x2a2a, 0x0303, 0x0304]), From13, Ok(TlsVersion::Tls13)),
        (supports(&[0x0302, 0x0303]), From12, Ok(TlsVersion::Tls12)),
        (supports(&[0x0301, 0x0302]), From12, too_old),
        (old(0x0303), From12, Ok(TlsVersion::Tls12)),
        (old(0x0302), From12, too_old),
        (old(0x0301), From12, too_old),
        (old(0x0300), From12, too_old),
        (b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10".to_vec(), From12, Err(Ending::NotTls)),
    ];
    for (hello, minimum, expected) in cases {
        assert_eq!(ask(&hello, MustMatch, minimum).await, expected, "{minimum:?}, {hello:02x?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t03_each_policy_judges_a_name_that_matches_differs_is_missing_or_is_none() {
    let named = |names| Forged { names: Some(names), ..Forged::default() }.wire();
    let long = vec![b'a'; 16 * 1024];
    let no = Err(Ending::ServerName);
    let ok = Ok(TlsVersion::Tls12);
    let cases: [(&str, Vec<u8>, [Judged; 3]); 14] = [
        ("match", named(&[GOOD.as_bytes()]), [ok, ok, ok]),
        ("upper case", named(&[b"A.ODS.OpInsights.AZURE.com"]), [ok, ok, ok]),
        ("absent", Forged::default().wire(), [no, ok, ok]),
        ("absent, rustls", rustls_hello(&[&TLS12], "20.1.2.3"), [no, ok, ok]),
        ("another", named(&[b"evil.example"]), [no, no, ok]),
        ("another, rustls", rustls_hello(&[&TLS12], "b.ods.opinsights.azure.com"), [no, no, ok]),
        ("below", named(&[b"x.a.ods.opinsights.azure.com"]), [no, no, ok]),
        ("above", named(&[b"ods.opinsights.azure.com"]), [no, no, ok]),
        ("address", named(&[b"20.1.2.3"]), [no, no, ok]),
        ("dot", named(&[b"a.ods.opinsights.azure.com."]), [no, no, ok]),
        ("NUL", named(&[b"a.ods.opinsights.azure.com\0.evil.example"]), [no, no, ok]),
        ("two", named(&[GOOD.as_bytes(), b"evil.example"]), [no, no, ok]),
        ("empty", named(&[]), [no, no, ok]),
        (
            "16 KiB",
            Forged { names: Some(&[&long]), ..Forged::default() }.wire_in_records_of(9000),
            [no, no, ok],
        ),
    ];
    for (what, hello, expected) in cases {
        for (policy, expected) in [MustMatch, MayBeAbsent, Ignore].into_iter().zip(expected) {
            assert_eq!(ask(&hello, policy, From12).await, expected, "{what}, {policy:?}");
        }
    }
    let both = Forged { legacy: 0x0301, names: Some(&[b"evil.example"]), ..Forged::default() }.wire();
    assert_eq!(
        ask(&both, Ignore, From12).await,
        Err(Ending::TlsVersion),
        "no policy lets an old version pass"
    );
}

#[tokio::test(start_paused = true)]
async fn t04_a_large_hello_of_a_modern_browser_passes_in_any_number_of_records_and_pieces() {
    let key_share = [&b"\x04\xc4\x11\xec\x04\xc0"[..], &[9; 1216]].concat();
    let forged = Forged {
        supported: Some(&[0x8a8a, 0x0304, 0x0303]),
        names: Some(&[GOOD.as_bytes()]),
        others: &[(0x0a0a, b""), (0xfe0d, &[0; 186]), (51, &key_share), (21, &[0; 3000])],
        ..Forged::default()
    };
    for (record, pipe) in [(1 << 14, 1400), (700, 1), (700, 536), (100, 1 << 14), (1, 1 << 16)] {
        let hello = forged.wire_in_records_of(record);
        let (mut far, mut near) = duplex(pipe);
        let asking = client(&mut near, BytesMut::new(), LIMIT, rules(host(), MustMatch, From13));
        let (found, sent) = tokio::join!(asking, far.write_all(&hello));
        let (version, bytes) = found.unwrap();
        sent.unwrap();
        assert!(version == TlsVersion::Tls13 && bytes == hello, "records of {record}, pipe of {pipe}");
    }
}

#[tokio::test(start_paused = true)]
async fn t04_a_hello_that_goes_on_beyond_the_bound_is_given_up_and_the_rest_is_not_read() {
    let (announced, crumbs) =
        (forge::client_records(&[0; 40_000], 1 << 14), forge::client_records(&[0; 30_000], 1));
    for (what, endless, most) in
        [("announced", announced, 2 * USUAL_HELLO), ("crumbs", crumbs, LONGEST_HELLO)]
    {
        let mut rest = &endless[..];
        let found = client(&mut rest, BytesMut::new(), LIMIT, rules(host(), Ignore, From12)).await;
        assert_eq!(found.err(), Some(Ending::NotTls), "{what}");
        assert!(endless.len() - rest.len() <= most, "{what}: {} bytes were read", endless.len() - rest.len());
    }
}

#[tokio::test(start_paused = true)]
async fn t05_both_hellos_have_one_deadline_however_the_bytes_trickle() {
    let (hello, answer) = (rustls_hello(&[&TLS12], GOOD), server_hello(0x0303, None));
    // All of it but the last byte within the time, and one that is never sent at all.
    for (pause, count) in [(LIMIT / 100, hello.len() - 1), (LIMIT / 5, hello.len()), (LIMIT, 0)] {
        for ours in [true, false] {
            let (mut far, mut near) = duplex(64);
            let bytes = if ours { hello.clone() } else { answer.clone() };
            let count = count.min(bytes.len() - 1);
            tokio::spawn(async move {
                for byte in &bytes[..count] {
                    sleep(pause).await;
                    far.write_u8(*byte).await.ok();
                }
                sleep(LIMIT * 100).await;
            });
            let began = Instant::now();
            let ending = match ours {
                true => {
                    client(&mut near, BytesMut::new(), LIMIT, rules(host(), MustMatch, From12)).await.err()
                }
                false => origin(&mut near, BytesMut::new(), LIMIT, From12).await.err(),
            };
            let late = if ours { Ending::HelloTimeout } else { Ending::OriginHelloTimeout };
            assert_eq!((ending, began.elapsed()), (Some(late), LIMIT), "every {pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t05_a_slow_hello_within_the_deadline_passes() {
    let hello = rustls_hello(&[&TLS12], GOOD);
    let (mut far, mut near) = duplex(64);
    let (sent, pause) = (hello.clone(), LIMIT * 9 / 10 / hello.len() as u32);
    tokio::spawn(async move {
        for byte in sent {
            sleep(pause).await;
            far.write_u8(byte).await.unwrap();
        }
        sleep(LIMIT).await;
    });
    let found = client(&mut near, BytesMut::new(), LIMIT, rules(host(), MustMatch, From12)).await;
    assert_eq!(found.unwrap().1, hello);
}

#[tokio::test(start_paused = true)]
async fn t06_another_protocol_is_known_at_once_early_or_not_and_the_end_of_a_stream_is_no_hello() {
    let began = Instant::now();
    let foreign: [&[u8]; 5] =
        [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.7\r\n", b"\0", b"\x17\x03\x03\0\x20", &alert(2, 40)];
    for bytes in foreign {
        for early in [0, 1, bytes.len()] {
            // The far end stays open: the first byte must do.
            let (mut far, mut near) = duplex(64);
            far.write_all(&bytes[early..]).await.unwrap();
            let asking = client(&mut near, bytes[..early].into(), LIMIT, rules(host(), Ignore, From12));
            assert_eq!(asking.await.err(), Some(Ending::NotTls), "{bytes:02x?}, {early} early");
        }
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "it waited for more");
    let hello = rustls_hello(&[&TLS13], GOOD);
    for end in 0..hello.len() {
        assert_eq!(ask(&hello[..end], Ignore, From12).await, Err(Ending::NotTls), "ends after {end}");
    }
}

#[tokio::test(start_paused = true)]
async fn t06_a_stream_that_breaks_within_a_hello_is_the_breaking_sides() {
    let hello = rustls_hello(&[&TLS13], GOOD);
    for end in [0, 1, 50, hello.len() - 1] {
        let mut stream = (&hello[..end]).chain(Broken);
        let asking = client(&mut stream, BytesMut::new(), LIMIT, rules(host(), MustMatch, From12));
        assert_eq!(asking.await.err(), Some(Ending::ClientReset), "after {end}");
        let answer = server_hello(0x0303, None);
        let mut stream = (&answer[..end.min(answer.len() - 1)]).chain(Broken);
        assert_eq!(
            origin(&mut stream, BytesMut::new(), LIMIT, From12).await.err(),
            Some(Ending::OriginReset),
            "after {end}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn t07_the_version_an_origin_chooses_is_judged_and_its_bytes_are_given_back() {
    let too_old = Err(Ending::OriginTlsVersion);
    let foreign = Err(Ending::OriginNotTls);
    let (warning, tls12) = (alert(1, 112), server_hello(0x0303, None));
    let endless = alert(1, 112).repeat(LONGEST_HELLO);
    let cases = [
        (server_hello(0x0303, Some(0x0304)), From12, Ok("Tls13")),
        (server_hello(0x0303, Some(0x0304)), From13, Ok("Tls13")),
        (tls12.clone(), From12, Ok("Tls12")),
        (tls12.clone(), From13, too_old),
        ([&warning[..], &tls12].concat(), From12, Ok("Tls12")),
        (server_hello(0x0302, None), From12, too_old),
        (server_hello(0x0301, None), From12, too_old),
        (server_hello(0x0300, None), From12, too_old),
        (server_hello(0x0303, Some(0x0303)), From12, foreign),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), From12, foreign),
        (b"220 mail.example ESMTP\r\n".to_vec(), From12, foreign),
        (endless, From12, foreign),
        (alert(2, 70), From12, Ok("Alert")),
        (alert(2, 40), From13, Ok("Alert")),
        (alert(1, 0), From12, Ok("Alert")),
        (Vec::new(), From12, Ok("Closed")),
        (tls12[..20].to_vec(), From12, Ok("Closed")),
        (warning, From12, Ok("Closed")),
    ];
    for (bytes, minimum, expected) in cases {
        let shown = bytes.get(..40).unwrap_or(&bytes);
        let (mut far, mut near) = duplex(3);
        let sending = async {
            // What is not TLS is not read to its end.
            far.write_all(&bytes).await.ok();
            drop(far);
        };
        let asking = async {
            let said = origin(&mut near, BytesMut::new(), LIMIT, minimum).await;
            drop(near);
            said
        };
        let (said, ()) = tokio::join!(asking, sending);
        let given = said.map(|said| match said {
            OriginSaid::Hello(version, given) => (format!("{version:?}"), given),
            OriginSaid::Retry(_, given) => ("Retry".to_owned(), given),
            OriginSaid::Alert(given) => ("Alert".to_owned(), given),
            OriginSaid::Closed(given) => ("Closed".to_owned(), given),
        });
        let expected = expected.map(|what| (what.to_owned(), BytesMut::from(&bytes[..])));
        assert_eq!(given, expected, "{minimum:?}, {shown:02x?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t07_t08_a_real_servers_answer_passes_and_what_follows_its_hello_stays_in_order() {
    let cases = [(&TLS13, TlsVersion::Tls13), (&TLS12, TlsVersion::Tls12)];
    for (chosen, version) in cases {
        let hello = rustls_hello(&[&TLS13, &TLS12], GOOD);
        let answer = forge::rustls_answer(&[chosen], &hello);
        let mut rest = &answer[..];
        let said = origin(&mut rest, BytesMut::new(), LIMIT, From12).await.unwrap();
        let OriginSaid::Hello(found, bytes) = said else { panic!("{said:?}") };
        assert!(found == version && [&bytes[..], rest].concat() == answer, "{found:?}");
    }
    let refusal = forge::rustls_answer(&[&TLS13], &rustls_hello(&[&TLS12], GOOD));
    let said = origin(&mut &refusal[..], BytesMut::new(), LIMIT, From12).await.unwrap();
    assert!(matches!(&said, OriginSaid::Alert(bytes) if *bytes == refusal), "{said:?}");
}

fn host() -> &'static HostName {
    static HOST: std::sync::LazyLock<HostName> = std::sync::LazyLock::new(|| GOOD.parse().unwrap());
    &HOST
}

fn rules(host: &HostName, server_name: ServerNamePolicy, minimum: MinimumTls) -> Rules<'_> {
    Rules { host, server_name, minimum }
}

/// Asks about bytes that are there at once, with nothing behind them.
async fn ask(mut bytes: &[u8], server_name: ServerNamePolicy, minimum: MinimumTls) -> Judged {
    let sent = bytes;
    let asked = client(&mut bytes, BytesMut::new(), LIMIT, rules(host(), server_name, minimum)).await;
    asked.map(|(version, given)| {
        assert!(given == sent, "{} of {} bytes given back", given.len(), sent.len());
        version
    })
}

/// A stream that is broken.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}
