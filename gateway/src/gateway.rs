//! The gateway as a whole: bind everything, accept, and end in order.

mod build;
mod identities;
mod places;
pub mod reload;

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::interval;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use tracing::warn;
use tracing_appender::non_blocking::ErrorCounter;

use self::build::Parts;
use self::places::Places;
use self::reload::Listening;
use self::reload::Reloader;
use self::reload::Settled;
use crate::admin::Admin;
use crate::config::Config;
use crate::connect::PasswordWork;
use crate::connect::Stations;
use crate::connection;
use crate::connection::Speaks;
use crate::dial::relay::RelayError;
use crate::dial::relay::Relays;
use crate::dial::resolve::ResolverError;
use crate::events;
use crate::listen::descriptors;
use crate::listen::socket;
use crate::listen::tls;
use crate::listen::tls::Identity;
use crate::observe::access::RequestIds;
use crate::observe::metrics::Metrics;
use crate::observe::repeats::Repeats;
use crate::policy::limits;
use crate::policy::limits::Limits;
use crate::policy::passwords::Verified;
use crate::policy::via::Via;

/// How often limits forget the clients that have been quiet.
const SWEEP: Duration = Duration::from_secs(60);
/// How often names that are about to expire are looked for.
const REFRESH: Duration = Duration::from_secs(1);

/// A gateway whose listeners are bound.
pub struct Gateway {
    stations: Arc<Stations>,
    listeners: Vec<Bound>,
    admin: Option<(TcpListener, Arc<Admin>)>,
    places: Arc<Places>,
    reloader: Arc<Reloader>,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    speaks: Arc<ArcSwap<Speaks>>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be bound.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A TLS identity that cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Name servers that cannot be found out.
    #[error("{0}; list them in `[dns] servers`")]
    Resolver(#[from] ResolverError),
    /// Relays that cannot be set up.
    #[error("[relay]: {0}")]
    Relay(#[from] RelayError),
    /// The list of the machine's own addresses cannot be read.
    #[error("cannot read this machine's network addresses: {0}")]
    Interfaces(io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// Metrics that clash.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What a listener would speak, once its files are read. Binds nothing.
pub fn prepare(config: &Config) -> Result<Vec<Speaks>, StartError> {
    let speaks = config.listeners.iter().map(|listener| {
        let tls = listener.tls.as_ref().map(Identity::load).transpose()?.map(Arc::new);
        Ok(Speaks { plain: listener.plain, tls, proxy_protocol: listener.proxy_protocol.clone() })
    });
    speaks.collect()
}

impl Gateway {
    /// Binds every listener, or none: on an error all are closed again.
    pub fn bind(config: &Config, dropped: Option<ErrorCounter>) -> Result<Self, StartError> {
        let speaks = prepare(config)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(StartError::Random)?;
        let via = Via::new(getrandom::u64().map_err(StartError::Random)?);
        let verified = Arc::new(Verified::new(key));
        let parts = Parts::new(config, via.clone())?;
        let (mut listeners, mut listening) = (Vec::new(), Vec::new());
        for (written, speaks) in config.listeners.iter().zip(speaks) {
            let (listener, address) = bind(written.address)?;
            let speaks = Arc::new(ArcSwap::from_pointee(speaks));
            listening.push(Listening { written: written.address, speaks: Arc::clone(&speaks) });
            listeners.push(Bound { listener, address, speaks });
        }
        let admin = config.admin.as_ref().map(|admin| bind(admin.address)).transpose()?;
        let mut bound: Vec<SocketAddr> = listeners.iter().map(|bound| bound.address).collect();
        bound.extend(admin.as_ref().map(|(_, address)| *address));
        let own = own_addresses(&bound).map_err(StartError::Interfaces)?;
        let (connections, limits) = connections(config);
        say_fewer(config, connections);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let stations = Arc::new(Stations {
            live: ArcSwap::from_pointee(parts.live(config, own, Arc::clone(&verified))),
            reloads: watch::Sender::new(()),
            limits: Arc::new(Limits::new(limits)),
            passwords: PasswordWork::new(processors),
            metrics: Arc::new(Metrics::new()?),
            via,
            repeats: Repeats::default(),
            ids: RequestIds::default(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        report_mode(config, &stations.metrics);
        let admin = admin
            .map(|(listener, _)| (listener, Arc::new(Admin { stations: Arc::clone(&stations), dropped })));
        let places = Arc::new(Places::new(connections));
        let settled = Settled::new(config, listening, bound);
        let (all, free) = (Arc::clone(&stations), Arc::clone(&places));
        let reloader = Arc::new(Reloader::new(config, all, free, verified, settled));
        let gateway = Self { stations, listeners, admin, places, reloader };
        gateway.say_where();
        Ok(gateway)
    }

    /// Returns what puts another configuration in force.
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    fn say_where(&self) {
        for bound in &self.listeners {
            let speaks = bound.speaks.load();
            let schemes = [(speaks.plain, "http"), (speaks.tls.is_some(), "https")];
            for (_, scheme) in schemes.into_iter().filter(|(speaks, _)| *speaks) {
                info!(
                    event_id = events::STARTED.0, kind = "proxy", address = %bound.address,
                    proxy = format!("{scheme}://{}", reachable(bound.address)), "listening"
                );
            }
        }
        if let Some(Ok(address)) = self.admin.as_ref().map(|(listener, _)| listener.local_addr()) {
            info!(
                event_id = events::STARTED.0, kind = "admin", %address,
                metrics = format!("http://{}/metrics", reachable(address)), "listening"
            );
        }
    }

    /// Runs until `stop` is cancelled; then takes no new work, and ends when every tunnel has, or
    /// cuts them when the drain time is over or `cut` is cancelled. Returns how many were cut.
    pub async fn run(self, stop: CancellationToken, cut: CancellationToken) -> u32 {
        let (clients, service) = (TaskTracker::new(), TaskTracker::new());
        let refreshing = tokio::spawn(identities::keep_fresh(Arc::clone(&self.reloader)));
        let watching = tokio::spawn(reload::watch(self.reloader));
        let accepting: Vec<_> = self
            .listeners
            .into_iter()
            .map(|bound| {
                tokio::spawn(accept(
                    bound,
                    Arc::clone(&self.stations),
                    Arc::clone(&self.places),
                    clients.clone(),
                ))
            })
            .collect();
        let admin = self.admin.map(|(listener, admin)| tokio::spawn(admin.serve(listener, service)));
        let sweeping = tokio::spawn(sweep(Arc::clone(&self.stations)));
        let looking_up = tokio::spawn(refresh(Arc::clone(&self.stations)));
        stop.cancelled().await;
        self.stations.draining.cancel();
        for task in accepting {
            task.abort();
            // An aborted task is what was asked for; its listener is closed when this returns.
            let _ = task.await;
        }
        let open = self.stations.limits.tunnels();
        info!(
            event_id = events::DRAINING.0,
            tunnels = open,
            "draining: no new connections; waiting for open tunnels"
        );
        clients.close();
        let drain = self.stations.live.load().tunnel.drain;
        let ended = tokio::select! {
            ended = timeout(drain, clients.wait()) => ended.is_ok(),
            () = cut.cancelled() => false,
        };
        let left = if ended { 0 } else { self.stations.limits.tunnels() };
        if !ended {
            warn!(
                event_id = events::DRAINING.0,
                tunnels = left,
                "the drain time is over: cutting the tunnels that are left"
            );
            self.stations.cut.cancel();
            // What neither ended nor was a tunnel (a head, a look-up) has deadlines; it is not waited for.
            let _ = timeout(Duration::from_secs(1), clients.wait()).await;
        }
        sweeping.abort();
        looking_up.abort();
        refreshing.abort();
        watching.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
        info!(event_id = events::STOPPED.0, cut = left, "stopped");
        left
    }
}

/// Returns the number of connections and the limits of a configuration, lowered to what the system's
/// open files limit allows.
fn connections(config: &Config) -> (u32, limits::Settings) {
    let limit = descriptors::raise();
    let (all, of_one_address) = descriptors::places(limit);
    let mut limits = config.limits.clone();
    limits.connections_per_address = limits.connections_per_address.min(of_one_address);
    (config.connections.min(all), limits)
}

/// Says that there are fewer places for connections than the configuration wants.
fn say_fewer(config: &Config, connections: u32) {
    if connections < config.connections {
        let limit = descriptors::raise();
        warn!(
            event_id = events::INFORMATION.0,
            "{connections} connections instead of {}: the open files limit is {limit}; raise it (ulimit -n, LimitNOFILE)",
            config.connections
        );
    }
}

/// Warns of each role in report mode, and sets their metrics. Called with every configuration that comes
/// into force.
pub fn report_mode(config: &Config, metrics: &Metrics) {
    metrics.report_mode(config.roles.reporting().map(|summary| &*summary.role.name));
    for summary in config.roles.reporting() {
        warn!(
            event_id = events::REPORT_MODE.0,
            role = &*summary.role.name,
            "report mode: this role may go to any host on port 443; what enforcing would refuse is recorded"
        );
    }
}

/// Sets up the relays of a configuration, if it has any.
pub fn relays(config: &Config, via: Via) -> Result<Option<Relays>, StartError> {
    if config.relay.proxies.is_empty() {
        return Ok(None);
    }
    Ok(Some(Relays::new(&config.relay, via)?))
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |error| StartError::Listen { address, error };
    let listener = socket::bind(address).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

/// Returns an address that an agent can be given: where all interfaces are listened on, the first
/// that is not loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let same_family = |ip: &IpAddr| ip.is_ipv4() == bound.is_ipv4() && !ip.is_loopback();
    match interfaces.iter().map(|interface| interface.ip()).find(same_family) {
        Some(ip) if bound.ip().is_unspecified() => SocketAddr::new(ip, bound.port()),
        _ => bound,
    }
}

/// Returns each bound address; one bound to all interfaces also interface by interface.
pub fn own_addresses(bound: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let interfaces: Vec<IpAddr> =
        if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip()).collect();
    let own = bound.iter().flat_map(|address| match address.ip().is_unspecified() {
        false => vec![*address],
        true => {
            let each = interfaces.iter().map(|ip| SocketAddr::new(*ip, address.port()));
            each.chain([*address]).collect()
        }
    });
    Ok(own.collect())
}

async fn accept(bound: Bound, stations: Arc<Stations>, places: Arc<Places>, tasks: TaskTracker) {
    loop {
        let Some(place) = places.take().await else { return };
        let (socket, peer) = socket::accept(&bound.listener).await;
        let (stations, speaks) = (Arc::clone(&stations), bound.speaks.load_full());
        let head = stations.live.load().head_timeout;
        tasks.spawn(async move {
            connection::serve(stations, speaks, socket, peer, head).await;
            drop(place);
        });
    }
}

/// Asks again, for ever, for names that were used and are about to expire.
async fn refresh(stations: Arc<Stations>) {
    let mut clock = interval(REFRESH);
    loop {
        clock.tick().await;
        let resolver = Arc::clone(&stations.live.load().resolver);
        resolver.refresh().await;
    }
}

/// Forgets, for ever, the clients that have been quiet.
async fn sweep(stations: Arc<Stations>) {
    let mut clock = interval(SWEEP);
    loop {
        clock.tick().await;
        stations.limits.sweep();
        let unwritten = stations.repeats.sweep();
        if unwritten > 0 {
            info!(
                event_id = events::INFORMATION.0,
                suppressed = unwritten,
                "records of repeated refusals were not written"
            );
        }
    }
}
