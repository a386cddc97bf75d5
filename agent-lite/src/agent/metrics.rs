//! `/metrics` and `/healthz` on a loopback address, if the configuration asks for it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::events::Event;
use crate::events::say;

/// Most scrapers at once.
const MOST_SCRAPERS: usize = 4;
/// How long one scrape may take.
const LONGEST_SCRAPE: Duration = Duration::from_secs(10);
/// How long a listener that cannot be bound waits.
const AGAIN: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Serves until it is stopped.
pub(super) async fn serve(address: SocketAddr, counters: Counters, stop: CancellationToken) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => say(
                Event::SourceFailed,
                "metrics",
                format_args!("{address}: {error}; choose another `[metrics] address`"),
            ),
        }
        if stop.run_until_cancelled(time::sleep(AGAIN)).await.is_none() {
            return;
        }
    };
    if let Ok(bound) = listener.local_addr() {
        say(Event::Listening, "metrics", format_args!("http://{bound}/metrics"));
    }
    let mut scrapes = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while scrapes.try_join_next().is_some() {}
        let Ok((socket, _)) = accepted else {
            // Too many open files: accepting again at once fails again at once.
            time::sleep(AFTER_FAILURE).await;
            continue;
        };
        if scrapes.len() >= MOST_SCRAPERS {
            continue;
        }
        let counters = counters.clone();
        scrapes.spawn(async move {
            let service = service_fn(move |request| answer(request, counters.clone()));
            let connection =
                http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(socket), service);
            let _ = time::timeout(LONGEST_SCRAPE, connection).await;
        });
    }
}

async fn answer(request: Request<Incoming>, counters: Counters) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, counters.text()),
        (&Method::GET, "/healthz") => (StatusCode::OK, "ok\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "GET /metrics or /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}
