//! The gateway as a whole: bind everything, accept, and end in order.

mod accepting;
mod build;
mod canaries;
mod identities;
#[cfg_attr(windows, path = "gateway/no_launcher.rs")]
pub mod launcher;
mod places;
pub mod reload;
mod running;
#[cfg_attr(windows, path = "gateway/windows_service.rs")]
mod service;

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::interval;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use self::build::Parts;
use self::places::Places;
use self::reload::Baseline;
use self::reload::Listening;
use self::reload::Reloader;
use self::reload::Settled;
pub use self::running::Attendants;
use crate::admin::Admin;
use crate::config::Config;
use crate::connect::PasswordWork;
use crate::connect::Stations;
use crate::connect::surge::Gate;
use crate::connection::Speaks;
use crate::dial::relay::RelayError;
use crate::dial::relay::Relays;
use crate::dial::resolve::ResolverError;
use crate::events;
use crate::listen::descriptors;
use crate::listen::inherited::InheritError;
use crate::listen::inherited::Inherited;
use crate::listen::inherited::Kind;
use crate::listen::socket;
use crate::listen::tls;
use crate::listen::tls::Identity;
use crate::observe::access::RequestIds;
use crate::observe::examples::Examples;
use crate::observe::fleet::Fleet;
use crate::observe::history::History;
use crate::observe::log;
use crate::observe::log::Dropped;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::observe::repeats::Repeats;
use crate::observe::situation::Bounds;
use crate::observe::situation::Situation;
use crate::policy::limits;
use crate::policy::limits::Limits;
use crate::policy::passwords::Verified;
use crate::policy::via::Via;
use crate::system;
use crate::tunnel::carry::Carrier;
use crate::tunnel::pipes::Budget;
use crate::tunnel::pipes::KernelLimits;
use crate::tunnel::pipes::Pipes;

/// How often limits forget the clients that have been quiet.
const SWEEP: Duration = Duration::from_secs(60);
/// How often names that are about to expire are looked for.
const REFRESH: Duration = Duration::from_secs(1);

/// A gateway whose listeners are bound.
pub struct Gateway {
    stations: Arc<Stations>,
    listeners: Vec<Arc<Bound>>,
    admin: Option<(Arc<TcpListener>, Arc<Admin>)>,
    #[cfg_attr(windows, expect(dead_code, reason = "what a hand-over asks"))]
    admin_asked: Option<SocketAddr>,
    places: Arc<Places>,
    reloader: Arc<Reloader>,
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    /// As configured: the port may be 0.
    #[cfg_attr(windows, expect(dead_code, reason = "what a hand-over asks"))]
    asked: SocketAddr,
    speaks: Arc<ArcSwap<Speaks>>,
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address that cannot be bound.
    #[error("cannot listen on {address}: {error}{}", socket::mend(*address, error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A listening socket that was passed and cannot be used.
    #[error(transparent)]
    Inherited(#[from] InheritError),
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
    if let Some(tls) = config.admin.as_ref().and_then(|admin| admin.tls.as_ref()) {
        Identity::load(tls)?;
    }
    let speaks = config.listeners.iter().map(|listener| {
        let tls = listener.tls.as_ref().map(Identity::load).transpose()?.map(Arc::new);
        Ok(Speaks { plain: listener.plain, tls, proxy_protocol: listener.proxy_protocol.clone() })
    });
    speaks.collect()
}

impl Gateway {
    /// Takes every listening socket that is passed, and binds every other, or none: on an error all are closed
    /// again. Nothing is accepted yet.
    pub fn bind(
        config: &Config,
        baseline: Baseline,
        mut inherited: Inherited,
        dropped: Option<Dropped>,
        pipes: KernelLimits,
    ) -> Result<Self, StartError> {
        let speaks = prepare(config)?;
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(StartError::Random)?;
        let via = Via::new(getrandom::u64().map_err(StartError::Random)?);
        let verified = Arc::new(Verified::new(key));
        let parts = Parts::new(config, via.clone())?;
        let (mut listeners, mut listening) = (Vec::new(), Vec::new());
        for (written, speaks) in config.listeners.iter().zip(speaks) {
            let asked = written.address;
            let (listener, address) = bind(Kind::Proxy, asked, &mut inherited)?;
            let speaks = Arc::new(ArcSwap::from_pointee(speaks));
            listening.push(Listening { written: asked, speaks: Arc::clone(&speaks) });
            listeners.push(Arc::new(Bound { listener, address, asked, speaks }));
        }
        let admin_asked = config.admin.as_ref().map(|admin| admin.address);
        let admin = admin_asked.map(|asked| bind(Kind::Admin, asked, &mut inherited)).transpose()?;
        for address in inherited.finish()? {
            info!(event_id = events::HAND_OVER.0, %address, "hand-over: the configuration has no listener here any more");
        }
        let mut bound: Vec<SocketAddr> = listeners.iter().map(|bound| bound.address).collect();
        bound.extend(admin.as_ref().map(|(_, address)| *address));
        let own = own_addresses(&bound).map_err(StartError::Interfaces)?;
        let (connections, limits) = connections(config);
        let state = reload::state(config, baseline.fingerprint(), Vec::new());
        say_fewer(config, connections);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let metrics = Arc::new(Metrics::new()?);
        let carrier = Carrier::new(Pipes::new(Budget::new(pipes, processors), metrics.pipes.clone()));
        metrics.bounds.limits(connections, limits.tunnels);
        let draining = CancellationToken::new();
        let readiness = Readiness::new(
            config.readiness.clone(),
            config.canaries.clone(),
            Arc::clone(&metrics),
            draining.clone(),
        );
        let stations = Arc::new(Stations {
            live: ArcSwap::from_pointee(parts.live(config, own, Arc::clone(&verified))),
            reloads: watch::Sender::new(()),
            limits: Arc::new(Limits::new(limits)),
            passwords: PasswordWork::new(processors),
            fleet: Fleet::new(config.fleet, config.roles.names(), &metrics)?,
            gate: Arc::new(Gate::new(config.surge, Arc::clone(&metrics))),
            carrier,
            readiness: Arc::new(readiness),
            metrics,
            via,
            repeats: Repeats::default(),
            ids: RequestIds::default(),
            situation: Situation::new(state, bounds(config, connections)),
            history: History::default(),
            examples: Examples::default(),
            draining,
            cut: CancellationToken::new(),
        });
        report_mode(config, &stations.metrics);
        let admin = admin
            .map(|(listener, _)| (Arc::new(listener), Arc::new(Admin::new(Arc::clone(&stations), dropped))));
        let places = Arc::new(Places::new(connections));
        let settled = Settled::new(config, listening, bound);
        let (all, free) = (Arc::clone(&stations), Arc::clone(&places));
        let reloader = Arc::new(Reloader::new(baseline, all, free, verified, settled));
        Ok(Self { stations, listeners, admin, admin_asked, places, reloader })
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
            let scheme = if self.stations.live.load().admin.tls.is_some() { "https" } else { "http" };
            let page = format!("{scheme}://{}/", reachable(address));
            info!(
                event_id = events::STARTED.0, kind = "admin", %address,
                metrics = format!("{page}metrics"), page, "listening"
            );
        }
    }
}

/// Returns the number of connections and the limits of a configuration, lowered to what the system's
/// open files limit allows.
fn connections(config: &Config) -> (u32, limits::Settings) {
    let limit = system::raise_open_files();
    let (all, of_one_address) = descriptors::places(limit);
    let mut limits = config.limits.clone();
    limits.connections_per_address = limits.connections_per_address.min(of_one_address);
    (config.connections.min(all), limits)
}

/// Returns what a configuration has room for, with this many connections.
fn bounds(config: &Config, connections: u32) -> Bounds {
    Bounds {
        connections,
        tunnels: config.limits.tunnels,
        setups: config.surge.setups,
        setups_waiting: config.surge.waiting,
    }
}

/// Says that there are fewer places for connections than the configuration wants.
fn say_fewer(config: &Config, connections: u32) {
    if connections < config.connections {
        let limit = system::raise_open_files();
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

fn bind(
    kind: Kind,
    address: SocketAddr,
    inherited: &mut Inherited,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |error| StartError::Listen { address, error };
    let listener = match inherited.take(kind, address) {
        Some((listener, giver)) => {
            info!(event_id = events::HAND_OVER.0, %address, "listening socket from {giver}");
            TcpListener::from_std(listener).map(socket::without_delay)
        }
        None => socket::bind(address),
    };
    let listener = listener.map_err(fail)?;
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
        log::tell_unwritten(&stations.repeats);
    }
}

/// Looks, for ever, for tunnels in which nothing moves.
async fn find_idle(stations: Arc<Stations>) {
    match stations.carrier.keep_watch().await {}
}

/// Looks, for ever, for clients that have become silent or are back.
async fn watch(stations: Arc<Stations>) {
    loop {
        sleep(stations.fleet.until_sweep()).await;
        stations.fleet.sweep(Instant::now());
    }
}
