//! The admin listener: `/metrics`, `/healthz`, `/readyz` and `/api/clients`, for those who may read them.
//!
//! It is apart from the proxy's listeners: nothing of it can be reached through a proxy port, and no
//! proxying through it.

mod clients;
mod ready;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::connect::Stations;
use crate::events;
use crate::listen::socket::accept;
use crate::observe::log::Dropped;

/// Most admin connections at once.
const MOST_CONNECTIONS: usize = 64;
/// Longest wait for a request head, and longest life of a connection.
const HEAD: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(300);

/// What the admin listener shows, and to whom.
pub struct Admin {
    stations: Arc<Stations>,
    dropped: Option<Dropped>,
    /// The right to make a page of clients.
    pages: Arc<Semaphore>,
}

impl Admin {
    /// Shows these stations, and how many records were dropped.
    pub fn new(stations: Arc<Stations>, dropped: Option<Dropped>) -> Self {
        Self { stations, dropped, pages: Arc::new(Semaphore::new(1)) }
    }

    /// Serves the listener until the task is dropped, and open connections until `closing` is set: then they
    /// end after the answer they are at.
    pub async fn serve(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, peer) = accept(&listener).await;
            if !self.admits(peer.ip()) {
                let Some(suppressed) = self.stations.repeats.pass(peer.ip(), "admin") else { continue };
                warn!(event_id = events::CLIENT_NETWORK_DENIED.0, client = %peer, suppressed, "admin listener: client is not listed in `from`");
                continue;
            }
            let (this, closing) = (Arc::clone(&self), closing.clone());
            tasks.spawn(async move {
                let service = service_fn(move |request| {
                    let this = Arc::clone(&this);
                    async move { Ok::<_, Infallible>(this.answer(&request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let life = async {
                    let ended = tokio::select! {
                        ended = connection.as_mut() => Some(ended),
                        () = closing.cancelled() => None,
                    };
                    if ended.is_none() {
                        connection.as_mut().graceful_shutdown();
                        // A scraper that breaks off comes again.
                        let _ = connection.await;
                    }
                };
                let _ = timeout(LIFE, life).await;
                drop(place);
            });
        }
    }

    fn admits(&self, from: IpAddr) -> bool {
        let from = from.to_canonical();
        from.is_loopback() || self.stations.live.load().admin_from.iter().any(|net| net.contains(&from))
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness(request),
            "/metrics" => {
                // Draining shows in the gauge without a walk.
                self.stations.readiness.snapshot();
                self.metrics()
            }
            "/api/clients" => self.clients(request.uri().query()).await,
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz, /readyz and /api/clients\n".to_owned(),
            ),
        }
    }

    /// Sorting a large fleet takes its time: one page at once, and none where tunnels are carried.
    async fn clients(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let Ok(turn) = Arc::clone(&self.pages).try_acquire_owned() else {
            let busy = "another page of clients is being made; ask again".to_owned();
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{busy}\n"));
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            return response;
        };
        let (stations, query) = (Arc::clone(&self.stations), query.map(str::to_owned));
        let page = spawn_blocking(move || {
            let _turn = turn;
            clients::page(&stations.fleet, query.as_deref()).map(|page| serde_json::to_string(&page))
        });
        match page.await {
            Ok(Ok(Ok(json))) => answer(StatusCode::OK, json, "application/json"),
            Ok(Ok(Err(error))) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            Ok(Err(wrong)) => text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.stations.metrics.text(self.dropped.as_ref()) {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn readiness(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let snapshot = self.stations.readiness.snapshot();
        let status = ready::status(&snapshot);
        if !ready::is_json(request.uri().query(), request.headers()) {
            return text(status, ready::text(&snapshot));
        }
        match serde_json::to_string(&snapshot) {
            Ok(json) => answer(status, json, "application/json"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, body, "text/plain; version=0.0.4; charset=utf-8")
}

fn answer(status: StatusCode, body: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
