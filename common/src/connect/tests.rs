//! The handshake over streams of a few bytes. Row numbers are those of the relay's attack table.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use tokio::io::ReadBuf;
use tokio::io::duplex;

use super::ConnectError::*;
use super::*;

const TARGET: &str = "a.ods.opinsights.azure.com:443";

fn target() -> HostPort {
    TARGET.parse().expect("a target")
}

/// Plays a proxy that sends `answer` and closes. The pipe holds `width` bytes at a time.
async fn asked(answer: &[u8], width: usize) -> Result<Bytes, ConnectError> {
    let (mut ours, theirs) = duplex(width);
    let proxy = async {
        let (mut from, mut to) = tokio::io::split(theirs);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(from.read_buf(&mut request).await.expect("a request"), 0);
        }
        // The client may stop reading in the middle.
        let _ = to.write_all(answer).await;
        let _ = to.shutdown().await;
    };
    let client = async {
        let outcome = connect(&mut ours, &target(), None, None).await;
        drop(ours);
        outcome
    };
    tokio::join!(client, proxy).0
}

async fn every_width(answer: &[u8], check: impl Fn(Result<Bytes, ConnectError>) -> bool) {
    let finest = answer.len() / 1000;
    for width in [1, 2, 3, 7, 64, 100_000].into_iter().filter(|width| *width >= finest) {
        let outcome = asked(answer, width).await;
        let shown = format!("{outcome:?}");
        let text = String::from_utf8_lossy(answer.get(..60).unwrap_or(answer));
        assert!(check(outcome), "{text:?} in pieces of {width}: {shown}");
    }
}

#[tokio::test]
async fn r08_r09_the_request_is_these_bytes_and_no_others() {
    let credentials = Secret::new("Basic dTpw".to_owned());
    let cases = [
        (None, None, ""),
        (Some(&credentials), None, "Proxy-Authorization: Basic dTpw\r\n"),
        (None, Some("1.1 us"), "Via: 1.1 us\r\n"),
        (Some(&credentials), Some("1.1 us"), "Proxy-Authorization: Basic dTpw\r\nVia: 1.1 us\r\n"),
    ];
    for (authorization, via, fields) in cases {
        let mut stream = scripted(b"HTTP/1.1 200 OK\r\n\r\n");
        connect(&mut stream, &target(), authorization, via).await.expect("a tunnel");
        let expected = format!("CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\n{fields}\r\n");
        assert_eq!(String::from_utf8_lossy(&stream.written), expected);
    }
}

#[tokio::test]
async fn r09_a_value_that_would_break_the_request_is_not_sent() {
    for evil in ["1.1 us\r\nX: y", "a\nb", "a\0b", "\u{7f}", "\u{e9}"] {
        let mut stream = scripted(b"HTTP/1.1 200 OK\r\n\r\n");
        let secret = Secret::new(evil.to_owned());
        let as_via = connect(&mut stream, &target(), None, Some(evil)).await;
        let as_secret = connect(&mut stream, &target(), Some(&secret), None).await;
        for outcome in [as_via, as_secret] {
            assert!(matches!(outcome, Err(Io(error)) if error.kind() == io::ErrorKind::InvalidInput));
        }
        assert_eq!(stream.written, b"", "{evil:?}");
    }
}

#[tokio::test]
async fn r01_bytes_that_come_with_the_200_belong_to_the_tunnel() {
    let mut stream = scripted(b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03HTTP/1.1 403 no\r\n\r\n");
    let early = connect(&mut stream, &target(), None, None).await.expect("a tunnel");
    assert_eq!(early.as_ref(), b"\x16\x03\x03HTTP/1.1 403 no\r\n\r\n");
}

#[tokio::test]
async fn r01_what_was_not_read_with_the_200_is_still_in_the_stream() {
    let sent: Vec<u8> = (0..=255).cycle().take(3 * LARGEST_HEAD).collect();
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &sent].concat();
    for width in [1, 18, 19, 20, 21, 4096, 100_000] {
        let (mut ours, mut theirs) = duplex(width.max(100));
        let client = async {
            let mut all = connect(&mut ours, &target(), None, None).await.expect("a tunnel").to_vec();
            ours.read_to_end(&mut all).await.expect("the rest");
            all
        };
        let proxy = async {
            for piece in answer.chunks(width) {
                theirs.write_all(piece).await.expect("room");
            }
            drop(theirs);
        };
        assert!(tokio::join!(client, proxy).0 == sent, "in pieces of {width}");
    }
}

#[tokio::test]
async fn r02_a_length_announced_with_a_200_does_not_count() {
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: x", "Content-Length: 0"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
        every_width(answer.as_bytes(), |outcome| outcome.is_ok_and(|early| early.is_empty())).await;
    }
}

#[tokio::test]
async fn r03_every_form_of_success_is_understood_byte_by_byte() {
    let answers = [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 299 fine\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\nA: b\nC: d\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nA: \u{e9}\r\n\r\n",
        "HTTP/1.1 100 \n\nHTTP/1.1 102 \r\n\r\nHTTP/1.1 103 \r\n\r\nHTTP/1.1 199 \r\n\r\nHTTP/1.0 200 \r\n\r\n",
    ];
    for answer in answers {
        every_width(answer.as_bytes(), |outcome| outcome.is_ok_and(|early| early.is_empty())).await;
    }
}

#[tokio::test]
async fn r03_r04_interim_answers_are_few_and_bounded_together() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let five = format!("{}HTTP/1.1 200 OK\r\n\r\n", interim.repeat(MOST_INTERIM + 1));
    every_width(five.as_bytes(), |outcome| matches!(outcome, Err(TooLong))).await;
    let long = format!("HTTP/1.1 103 \r\nA: {}\r\n\r\n", "a".repeat(LARGEST_HEAD / 2));
    let two = format!("{}HTTP/1.1 200 OK\r\n\r\n", long.repeat(2));
    every_width(two.as_bytes(), |outcome| matches!(outcome, Err(TooLong))).await;
}

#[tokio::test]
async fn r04_what_is_no_http_is_garbage() {
    let answers: [&[u8]; 15] = [
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
    ];
    for answer in answers {
        every_width(answer, |outcome| matches!(outcome, Err(Garbage))).await;
    }
}

#[tokio::test]
async fn r04_an_endless_head_is_read_up_to_its_bound_and_no_further() {
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(2 * LARGEST_HEAD));
    every_width(endless.as_bytes(), |outcome| matches!(outcome, Err(TooLong))).await;
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS + 1));
    every_width(fields.as_bytes(), |outcome| matches!(outcome, Err(TooLong))).await;
    let lines = "\r\n".repeat(LARGEST_HEAD);
    every_width(lines.as_bytes(), |outcome| matches!(outcome, Err(TooLong))).await;
    let mut stream = scripted(endless.as_bytes());
    assert!(matches!(connect(&mut stream, &target(), None, None).await, Err(TooLong)));
    assert_eq!(stream.read, LARGEST_HEAD);
}

#[tokio::test]
async fn r04_the_largest_head_passes() {
    let frame = "HTTP/1.1 200 OK\r\nA: \r\n\r\n";
    let answer = frame.replace("A: ", &format!("A: {}", "a".repeat(LARGEST_HEAD - frame.len())));
    assert_eq!(answer.len(), LARGEST_HEAD);
    every_width(answer.as_bytes(), |outcome| outcome.is_ok()).await;
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_FIELDS));
    every_width(fields.as_bytes(), |outcome| outcome.is_ok()).await;
}

#[tokio::test]
async fn r05_r06_any_other_status_is_an_error_and_its_body_is_nothing() {
    let cases = [
        ("HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno", 407),
        ("HTTP/1.1 403 Forbidden 200 OK\r\nContent-Type: text/html\r\n\r\n<html>200</html>", 403),
        ("HTTP/1.1 503 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 503),
        ("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", 302),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 101),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 \r\n\r\n", 502),
        ("HTTP/1.1 000 \r\n\r\n", 0),
        ("HTTP/1.1 999 \r\n\r\n", 999),
    ];
    for (answer, expected) in cases {
        every_width(
            answer.as_bytes(),
            |outcome| matches!(outcome, Err(Status(status)) if status == expected),
        )
        .await;
    }
}

#[tokio::test]
async fn r07_an_end_before_the_answer_is_a_close() {
    for answer in ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r", "HTTP/1.1 100 \r\n\r\n"] {
        every_width(answer.as_bytes(), |outcome| matches!(outcome, Err(Closed))).await;
    }
    let mut stream = scripted(b"HTTP/1.1 200 OK\r\n");
    stream.end = Some(io::ErrorKind::UnexpectedEof);
    assert!(matches!(connect(&mut stream, &target(), None, None).await, Err(Closed)));
    stream.end = Some(io::ErrorKind::ConnectionReset);
    assert!(matches!(connect(&mut stream, &target(), None, None).await, Err(Io(_))));
}

/// A stream with a fixed answer, that keeps what is written and counts what is read.
struct Scripted<'a> {
    answer: &'a [u8],
    end: Option<io::ErrorKind>,
    read: usize,
    written: Vec<u8>,
}

fn scripted(answer: &[u8]) -> Scripted<'_> {
    Scripted { answer, end: None, read: 0, written: Vec::new() }
}

impl AsyncRead for Scripted<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (now, later) = this.answer.split_at(this.answer.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.answer = later;
        this.read += now.len();
        match this.end {
            Some(kind) if now.is_empty() => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Scripted<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
