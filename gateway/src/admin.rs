//! The admin listener: the status page, its API, `/metrics`, `/healthz` and `/readyz`, for those who may read them.
//!
//! It is apart from the proxy's listeners: nothing of it can be reached through a proxy port, and no
//! proxying through it.

mod access;
mod answer;
mod clients;
mod live;
mod ready;
mod status;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::access::Denied;
use self::access::Part;
use self::access::Visitor;
use self::answer::Body;
use self::answer::text;
use self::live::Live;
use crate::config::Open;
use crate::connect::Stations;
use crate::events;
use crate::listen::socket::accept;
use crate::listen::tls::certificate_names;
use crate::observe::history;
use crate::observe::log::Dropped;
use crate::observe::metrics::AdminRefusal;
use crate::policy::limits::NetworkKey;
use crate::stream::Stream;

/// The page, and what it is drawn with.
const PAGE: &str = include_str!("admin/page.html");
const STYLE: &str = include_str!("admin/page.css");
const SCRIPT: &str = include_str!("admin/page.js");
const ICON: &str = include_str!("admin/page.svg");
/// What describes the API.
const OPENAPI: &str = include_str!("admin/openapi.json");
const JSON: &str = "application/json";
/// Most admin connections at once.
const MOST_CONNECTIONS: usize = 64;
/// Most of them from one network: nobody alone keeps the others from looking.
const MOST_OF_ONE: usize = 32;
/// Longest wait for a TLS handshake or a request head, and longest life of a connection.
const HEAD: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(300);

/// What the admin listener shows, and to whom.
pub struct Admin {
    stations: Arc<Stations>,
    dropped: Option<Dropped>,
    /// The right to make a page of clients.
    pages: Arc<Semaphore>,
    live: Arc<Live>,
    shares: Shares,
}

type Shares = Arc<Mutex<HashMap<NetworkKey, usize>>>;

/// A connection as it counts towards those of its network.
struct Share(Shares, NetworkKey);

impl Share {
    fn of(shares: &Shares, address: IpAddr) -> Option<Self> {
        let key = NetworkKey::of(address);
        let mut counts = shares.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(shares), key))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

impl Admin {
    /// Shows these stations, and how many records were dropped.
    pub fn new(stations: Arc<Stations>, dropped: Option<Dropped>) -> Self {
        let live = Arc::new(Live::new(Arc::clone(&stations)));
        Self { stations, dropped, pages: Arc::new(Semaphore::new(1)), live, shares: Shares::default() }
    }

    /// Serves the listener until the task is dropped, and open connections until `closing` is set: then they
    /// end after the answer they are at.
    pub async fn serve(
        self: Arc<Self>,
        listener: Arc<TcpListener>,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) {
        let (live, closed) = (Arc::clone(&self.live), closing.clone());
        tasks.spawn(async move { live.keep_ticking(closed).await });
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (socket, peer) = accept(&listener).await;
            if !access::is_from(&self.stations.live.load().admin, peer.ip()) {
                self.turned_away(peer, AdminRefusal::Network);
                continue;
            }
            let Some(share) = Share::of(&self.shares, peer.ip()) else {
                self.turned_away(peer, AdminRefusal::Busy);
                continue;
            };
            let (this, closing) = (Arc::clone(&self), closing.clone());
            tasks.spawn(async move {
                let _share = share;
                // A scraper that breaks off comes again.
                let _ = timeout(LIFE, this.converse(socket, peer, closing)).await;
                drop(place);
            });
        }
    }

    async fn converse(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, closing: CancellationToken) {
        let tls = self.stations.live.load().admin.tls.clone();
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(identity) => match timeout(HEAD, identity.acceptor().accept(socket)).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream.into())),
                Ok(Err(_)) | Err(_) => return self.turned_away(peer, AdminRefusal::TlsHandshake),
            },
        };
        let visitor = Arc::new(Visitor {
            address: peer.ip(),
            over_tls: matches!(stream, Stream::Tls(_)),
            certificate: certificate_names(&stream),
        });
        let service = service_fn(|request| {
            let (this, visitor) = (Arc::clone(&self), Arc::clone(&visitor));
            async move { Ok::<_, Infallible>(this.answer(peer, &visitor, &request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = closing.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    /// Counts somebody who is turned away, and records it.
    fn turned_away(&self, peer: SocketAddr, reason: AdminRefusal) {
        self.stations.metrics.admin.refused(reason);
        let event_id = match reason {
            // A browser asks so first; it is counted.
            AdminRefusal::CredentialsMissing => return,
            AdminRefusal::Network | AdminRefusal::NotShown => events::CLIENT_NETWORK_DENIED.0,
            AdminRefusal::CredentialsRejected => events::CREDENTIALS.0,
            AdminRefusal::FailedLogins | AdminRefusal::Busy => events::LIMIT.0,
            AdminRefusal::Host | AdminRefusal::TlsHandshake => events::PROTOCOL.0,
        };
        let reason = reason.label();
        let Some(suppressed) = self.stations.repeats.pass(peer.ip(), reason) else { return };
        warn!(event_id, client = %peer, reason, suppressed, "admin listener: a visitor is turned away");
    }

    async fn answer(
        &self,
        peer: SocketAddr,
        visitor: &Visitor,
        request: &Request<Incoming>,
    ) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let part = match request.uri().path() {
            "/healthz" | "/readyz" => Part::Bare(Open::Health),
            "/metrics" => Part::Bare(Open::Metrics),
            _ => Part::Page,
        };
        if let Err(denied) = access::check(&self.stations, visitor, part, request).await {
            return self.denied(peer, &denied);
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness(request),
            "/metrics" => self.metrics(),
            "/" => answer::whole(StatusCode::OK, PAGE, "text/html; charset=utf-8"),
            "/page.css" => answer::whole(StatusCode::OK, STYLE, "text/css; charset=utf-8"),
            "/page.js" => answer::whole(StatusCode::OK, SCRIPT, "text/javascript; charset=utf-8"),
            "/page.svg" => answer::whole(StatusCode::OK, ICON, "image/svg+xml"),
            "/api/status" => answer::whole(StatusCode::OK, self.live.status(), JSON),
            "/api/canaries" => {
                answer::json(StatusCode::OK, serde_json::to_string(&self.stations.readiness.snapshot()))
            }
            "/api/clients" => self.clients(request.uri().query()).await,
            "/api/refusals" => {
                let refusals = status::refusals(&self.stations);
                answer::json(StatusCode::OK, serde_json::to_string(&json!({ "refusals": refusals })))
            }
            "/api/history" => answer::json(StatusCode::OK, serde_json::to_string(&self.history())),
            "/api/events" => self.events(peer, request.method()),
            "/api/openapi.json" => answer::whole(StatusCode::OK, OPENAPI, JSON),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /, /metrics, /healthz, /readyz, and what /api/openapi.json tells of\n".to_owned(),
            ),
        }
    }

    fn history(&self) -> Value {
        json!({
            "interval_seconds": history::INTERVAL.as_secs(),
            "most_samples": history::MOST_SAMPLES,
            "samples": self.stations.history.samples(),
        })
    }

    fn events(&self, peer: SocketAddr, method: &Method) -> Response<Body> {
        if method == Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match self.live.listen() {
            Some(events) => answer::events(events),
            None => self.denied(peer, &AdminRefusal::Busy.into()),
        }
    }

    fn denied(&self, peer: SocketAddr, denied: &Denied) -> Response<Body> {
        self.turned_away(peer, denied.reason);
        answer::denied(denied)
    }

    /// Sorting a large fleet takes its time: one page at once, and none where tunnels are carried.
    async fn clients(&self, query: Option<&str>) -> Response<Body> {
        let Ok(turn) = Arc::clone(&self.pages).try_acquire_owned() else {
            return answer::busy("another page of clients is being made");
        };
        let (stations, query) = (Arc::clone(&self.stations), query.map(str::to_owned));
        let page = spawn_blocking(move || {
            let _turn = turn;
            clients::page(&stations.fleet, query.as_deref()).map(|page| serde_json::to_string(&page))
        });
        match page.await {
            Ok(Ok(json)) => answer::json(StatusCode::OK, json),
            Ok(Err(wrong)) => text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn metrics(&self) -> Response<Body> {
        // Draining shows in the gauge without a walk.
        self.stations.readiness.snapshot();
        match self.stations.metrics.text(self.dropped.as_ref()) {
            Ok(metrics) => answer::whole(StatusCode::OK, metrics, "text/plain; version=0.0.4; charset=utf-8"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    fn readiness(&self, request: &Request<Incoming>) -> Response<Body> {
        let snapshot = self.stations.readiness.snapshot();
        let status = ready::status(&snapshot);
        match ready::is_json(request.uri().query(), request.headers()) {
            true => answer::json(status, serde_json::to_string(&snapshot)),
            false => text(status, ready::text(&snapshot)),
        }
    }
}
