//! The answers of the admin listener, with the fields that keep a browser from doing more than showing them.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;
use tokio::sync::mpsc;

use super::access::Denied;
use crate::observe::metrics::AdminRefusal;

/// In every answer. Nothing is kept, framed, guessed at or asked of another host.
const STRICT: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// The body of an answer.
pub(super) enum Body {
    /// There as a whole, or sent already.
    Whole(Option<Bytes>),
    /// Events, as they come.
    Events(mpsc::Receiver<Bytes>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Events(events) => events.poll_recv(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let left = bytes.as_ref().map_or(0, |bytes| bytes.len());
                SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
            }
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Returns a text for people.
pub(super) fn text(status: StatusCode, body: String) -> Response<Body> {
    whole(status, body, "text/plain; charset=utf-8")
}

/// Returns JSON, or the error of making it.
pub(super) fn json(status: StatusCode, body: serde_json::Result<String>) -> Response<Body> {
    match body {
        Ok(json) => whole(status, json, "application/json"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Returns an answer that is there as a whole.
pub(super) fn whole(status: StatusCode, body: impl Into<Bytes>, kind: &'static str) -> Response<Body> {
    with_fields(status, Body::Whole(Some(body.into())), kind)
}

/// Returns events as they come (WHATWG HTML, section 9.2).
pub(super) fn events(events: mpsc::Receiver<Bytes>) -> Response<Body> {
    with_fields(StatusCode::OK, Body::Events(events), "text/event-stream")
}

fn with_fields(status: StatusCode, body: Body, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in STRICT {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Says that there is too much to do just now.
pub(super) fn busy(what: &str) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}; ask again\n"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Says why something is not shown, and what would help.
pub(super) fn denied(denied: &Denied) -> Response<Body> {
    let (status, said) = match denied.reason {
        AdminRefusal::CredentialsMissing => (StatusCode::UNAUTHORIZED, "a user and a password are needed"),
        AdminRefusal::CredentialsRejected => (StatusCode::UNAUTHORIZED, "the credentials are wrong"),
        AdminRefusal::FailedLogins => {
            (StatusCode::TOO_MANY_REQUESTS, "too many failed logins from this address")
        }
        AdminRefusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too much is asked at once"),
        AdminRefusal::Host => {
            (StatusCode::MISDIRECTED_REQUEST, "the Host field names another machine; see `[admin] names`")
        }
        AdminRefusal::Network | AdminRefusal::NotShown | AdminRefusal::TlsHandshake => (
            StatusCode::FORBIDDEN,
            "this is not shown here: beyond loopback it needs `tls`, and `users_file` or `certificates`, in `[admin]`",
        ),
    };
    let mut response = text(status, format!("{said}\n"));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"la-gateway admin\", charset=\"UTF-8\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(wait) = denied.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    response
}
