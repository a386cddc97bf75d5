//! Bodies of answers, whole or as a fault has them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Body;
use hyper::body::Frame;
use hyper::body::SizeHint;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use tokio::time::Sleep;

use super::faults::Effect;
use super::place::Reply;

/// Bytes that an answer announces and never sends, when it is reset.
const NEVER_SENT: u64 = 100;

/// A body in pieces.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    length: Option<u64>,
    pause: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    breaks: bool,
}

/// Returns the answer on the wire, with what a fault does to its body.
pub(super) fn render(reply: &Reply, effect: Option<&Effect>) -> Response<Pieces> {
    let mut body = reply.body.clone();
    let mut response = Response::new(());
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        let value = HeaderValue::from_str(value).expect("a value of a header field");
        headers.insert(HeaderName::from_static(name), value);
    }
    if effect == Some(&Effect::Gzip) {
        body = compressed(&body);
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    }
    let whole = Bytes::from(body);
    let length = whole.len() as u64;
    let mut pieces = Pieces {
        pieces: VecDeque::from([whole.clone()]),
        length: Some(length),
        pause: None,
        sleep: None,
        breaks: false,
    };
    match effect {
        Some(Effect::Chunked) => pieces.length = None,
        Some(Effect::Trickle { pause }) => {
            pieces.pieces = (0..whole.len()).map(|at| whole.slice(at..=at)).collect();
            (pieces.length, pieces.pause) = (None, Some(*pause));
        }
        Some(Effect::ResetAnswer) => {
            (pieces.length, pieces.breaks) = (Some(length + NEVER_SENT), true);
        }
        _ => {}
    }
    pieces.pieces.retain(|piece| !piece.is_empty());
    response.map(|()| pieces)
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, body).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                self.sleep = self.pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if self.breaks => Poll::Ready(Some(Err(io::Error::other("a fault")))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.breaks
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}
