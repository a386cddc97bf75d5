//! What hyper gets of a client's stream: it reads, but may not answer before there is a request.
//!
//! hyper answers a head it cannot read by itself, with a bare 400 that has no request id. [`Head`] throws
//! that answer away, so that the gateway can give its own. It also watches the line ends, which hyper
//! takes too lightly: a lone LF ends a line for hyper (RFC 9112 section 2.2 lets it), and for few others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use memchr::memchr;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::interval;

use crate::stream::Stream;

/// How often it is looked whether a client whose request waits is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What is known of the request head, shared with the service that answers it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    may_answer: AtomicBool,
    lone_line_feed: AtomicBool,
    waits: AtomicBool,
    begins_to_wait: Notify,
}

impl Seen {
    /// Has the connection watched: its request waits for its turn, and a client that goes away gives it up.
    pub fn wait(&self) {
        self.0.waits.store(true, Ordering::Relaxed);
        self.0.begins_to_wait.notify_one();
    }

    /// Ends the watch.
    pub fn go_on(&self) {
        self.0.waits.store(false, Ordering::Relaxed);
    }

    /// Never ends; has its task look at the connection every now and then once its request waits.
    pub async fn watch(&self) {
        self.0.begins_to_wait.notified().await;
        let mut clock = interval(LOOK_AGAIN);
        loop {
            clock.tick().await;
        }
    }

    /// Lets answers through from now on.
    pub fn answer(&self) {
        self.0.may_answer.store(true, Ordering::Relaxed);
    }

    /// Returns whether a line of the head ended in LF without CR.
    pub fn lone_line_feed(&self) -> bool {
        self.0.lone_line_feed.load(Ordering::Relaxed)
    }
}

/// A stream that is silent until [`Seen::answer`], and breaks when the client goes while its request waits.
pub struct Head {
    stream: Stream,
    seen: Seen,
    lines: Lines,
}

impl Head {
    /// Wraps a stream before its first byte.
    pub fn new(stream: Stream, seen: Seen) -> Self {
        Self { stream, seen, lines: Lines::default() }
    }

    /// Returns the stream as it was.
    pub fn into_inner(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Head {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if this.lines.lone_line_feed(new) {
            this.seen.0.lone_line_feed.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Head {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.seen.0.may_answer.load(Ordering::Relaxed) {
            true => Pin::new(&mut this.stream).poll_write(cx, bytes),
            false => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes whenever it is polled. It does not read meanwhile, so it would not see the client go.
        if this.seen.0.waits.load(Ordering::Relaxed) && this.stream.is_gone() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Follows the lines of one head, in whichever pieces it comes, to the empty line that ends it.
#[derive(Debug, Default)]
struct Lines {
    begun: bool,
    ended: bool,
    carriage_return: bool,
    filled: bool,
}

impl Lines {
    /// Takes the next bytes; says whether an LF of the head among them has no CR before it.
    fn lone_line_feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut found = false;
        while !self.ended && !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if line.iter().any(|byte| *byte != b'\r') {
                (self.begun, self.filled) = (true, true);
            }
            if let Some(last) = line.last() {
                self.carriage_return = *last == b'\r';
            }
            if end.is_some() {
                found |= !std::mem::take(&mut self.carriage_return);
                self.ended = self.begun && !std::mem::take(&mut self.filled);
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_line_feeds_are_seen_in_the_head_and_nowhere_else() {
        let cases: [(&[u8], bool); 7] = [
            (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", false),
            (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\nearly\nbytes", false),
            (b"\r\n\r\nCONNECT a HTTP/1.1\r\nHost: a\r\n\r\n\n", false),
            (b"CONNECT a HTTP/1.1\nHost: a\n\n", true),
            (b"CONNECT a HTTP/1.1\r\nHost: a\n\r\n", true),
            (b"\nCONNECT a HTTP/1.1\r\n\r\n", true),
            (b"\r\n\r\nCONNECT a HTTP/1.1\nHost: a\r\n\r\n", true),
        ];
        for (bytes, expected) in cases {
            for piece in [1, 2, 3, 7, bytes.len()] {
                let mut lines = Lines::default();
                let found = bytes.chunks(piece).filter(|piece| lines.lone_line_feed(piece)).count() > 0;
                assert_eq!(found, expected, "{} by {piece}", bytes.escape_ascii());
            }
        }
    }
}
