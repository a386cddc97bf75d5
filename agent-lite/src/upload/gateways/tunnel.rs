//! The bytes of a tunnel, on a plain connection to the gateway or inside TLS.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Most bytes of the gateway's answer that are kept to explain a refusal.
const LONGEST_HEARD: usize = 4096;

/// A tunnel through a gateway: the origin is at its other end.
#[derive(Debug)]
pub struct Tunnel {
    leg: Leg,
    early: Bytes,
    heard: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum Leg {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Tunnel {
    /// Begins on a connection to a gateway; what it says is kept, up to a bound.
    pub(super) fn listening(leg: Leg) -> Self {
        Self { leg, early: Bytes::new(), heard: Some(Vec::new()) }
    }

    /// Becomes the tunnel, whose first bytes came with the gateway's answer.
    pub(super) fn established(&mut self, early: Bytes) {
        self.early = early;
        self.heard = None;
    }

    /// Returns what the gateway has said.
    pub(super) fn heard(&self) -> &[u8] {
        self.heard.as_deref().unwrap_or_default()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.early.has_remaining() {
            let count = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(match &mut this.leg {
            Leg::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Leg::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        if let Some(heard) = &mut this.heard {
            let room = LONGEST_HEARD.saturating_sub(heard.len());
            heard.extend(buf.filled().iter().skip(before).take(room));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.leg {
            Leg::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Leg::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.leg {
            Leg::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Leg::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.leg {
            Leg::Plain(stream) => stream.is_write_vectored(),
            Leg::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.leg {
            Leg::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Leg::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.leg {
            Leg::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Leg::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
