//! One CONNECT, station by station. Read this first.
//!
//! [`admit`] goes from a well-formed request to an open connection to the origin; it fails with a
//! [`Refusal`], which has a status. Then the client is sent its 200. [`tunnel::begin`] judges the two hellos,
//! [`Tunnel::carry`](tunnel::Tunnel::carry) carries bytes; a tunnel ends with an [`Ending`], which has none. Each
//! station takes the evidence of the one before it: no tunnel without a [`Permit`], no connection to an address
//! that is not vetted.

pub mod canary;
mod hashers;
mod identify;
mod lanes;
mod live;
mod standing;
pub mod surge;
pub mod tunnel;
mod way;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::identify::PasswordWork;
pub use self::identify::prove;
pub use self::live::AdminAccess;
pub use self::live::Live;
use self::standing::Standing;
use self::surge::Gate;
use self::way::Way;
use crate::config::Tunnel;
use crate::ending::Ending;
use crate::listen::head::Seen;
use crate::observe::access::Record;
use crate::observe::access::RequestIds;
use crate::observe::access::Route;
use crate::observe::access::Traffic;
use crate::observe::examples::Examples;
use crate::observe::fleet::Fleet;
use crate::observe::history::History;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::observe::repeats::Repeats;
use crate::observe::situation::Situation;
use crate::parse::request::Connect;
use crate::policy::destinations::Permit;
use crate::policy::limits::ClientKey;
use crate::policy::limits::Limits;
use crate::policy::limits::Slot;
use crate::policy::relays::Passed;
use crate::policy::via::Via;
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::tunnel::carry::Carrier;
use crate::tunnel::hello;
use crate::tunnel::hello::OriginSaid;

/// What the stations work with. One for the whole gateway.
pub struct Stations {
    /// The configuration in force; a request takes one snapshot of it.
    pub live: ArcSwap<Live>,
    /// Told of every reload.
    pub reloads: watch::Sender<()>,
    /// Rates and numbers. They outlive a reload.
    pub limits: Arc<Limits>,
    /// Password checks under way.
    pub passwords: PasswordWork,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Who comes through, and who no longer does.
    pub fleet: Fleet,
    /// This gateway's name towards relays.
    pub via: Via,
    /// Records of refusals written of late.
    pub repeats: Repeats,
    /// Ids of requests.
    pub ids: RequestIds,
    /// Set-ups in progress and those that wait.
    pub gate: Arc<Gate>,
    /// Moves the bytes of all tunnels.
    pub carrier: Carrier,
    /// What the canaries have shown.
    pub readiness: Arc<Readiness>,
    /// What the whole gateway is at.
    pub situation: Situation,
    /// The traffic of the last hour.
    pub history: History,
    /// The last refused request of each reason.
    pub examples: Examples,
    /// Set when readiness is red.
    pub draining: CancellationToken,
    /// Set when open tunnels are cut.
    pub cut: CancellationToken,
}

impl Stations {
    /// Puts another configuration in force, for every request from now on; tells the open tunnels.
    pub fn replace(&self, live: Live) {
        self.live.store(Arc::new(live));
        self.reloads.send_replace(());
    }
}

/// An admitted CONNECT: leave, a slot, and an open connection. Only [`admit`] makes one.
pub struct Admitted {
    permit: Permit,
    tunnel: Arc<Tunnel>,
    origin: Stream,
    /// What the origin sent before the client's 200: only a relay's answer can bring any.
    origin_early: BytesMut,
    standing: Standing,
    _slot: Slot,
}

/// Who sends a request, as far as its connection tells.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// Network address.
    pub address: SocketAddr,
    /// Names in the client's certificate.
    pub certificate: &'a [String],
    /// The connection's head, which is watched while the request waits for its turn.
    pub head: &'a Seen,
}

/// Takes a request from identification to an open connection.
pub async fn admit(
    stations: &Stations,
    request: Connect<'_>,
    sender: Sender<'_>,
    record: &mut Record,
) -> Result<Admitted, Refusal> {
    let from = sender.address;
    record.target = Some(request.target.clone());
    // A connection that was accepted is served, even while the gateway drains; not when its tunnel would be cut.
    if stations.cut.is_cancelled() {
        return Err(Refusal::Draining);
    }
    if request.via.iter().any(|via| stations.via.is_in(via)) {
        return Err(Refusal::Loop);
    }
    let passed = Passed::read(&request.via)?;
    // Before the snapshot, so that no reload is missed.
    let reloads = stations.reloads.subscribe();
    let live = stations.live.load_full();
    let client = identify::identify(stations, &live.policy, request.authorization, sender, record).await?;
    record.user = client.user().cloned();
    record.role = Some(client.role().name.clone());
    record.sighting = Some(stations.fleet.seen(&client, from.ip(), Instant::now()));
    let key = ClientKey::of(&client, from.ip());
    let slot = stations.limits.admit(key.clone(), client.role())?;
    let permit = client.role().destinations.authorize(&request.target)?;
    record.rule = permit.rule().cloned();
    if let Some(reported) = permit.reported() {
        record.reported = Some(reported);
        stations.metrics.would_refuse(&client.role().name, reported);
    }
    let _setup = stations.gate.enter(&key, permit.class().urgency(), sender.head).await?;
    let mut standing = Standing::new(&client, from.ip(), request.target, reloads);
    let mut way = Way::default();
    let opened = way::open(&live, &permit, &passed, &mut way).await;
    (record.route, record.address) = (way.route, way.address);
    let (origin, origin_early) = opened?;
    standing.dialled = record.address.filter(|_| record.route == Some(Route::Direct));
    standing.check(stations)?;
    Ok(Admitted { permit, tunnel: Arc::clone(&live.tunnel), origin, origin_early, standing, _slot: slot })
}

/// Reads and judges both hellos, and passes each on once it is judged.
async fn hellos(
    tunnel: &Tunnel,
    permit: &Permit,
    (client, early): (&mut Stream, BytesMut),
    (origin, origin_early): (&mut Stream, BytesMut),
    record: &mut Record,
    traffic: &mut Traffic,
) -> Result<(), Ending> {
    let rules = hello::Rules {
        host: permit.target().name(),
        server_name: tunnel.server_name,
        minimum: tunnel.minimum_tls,
    };
    let to_origin = (Ending::OriginReset, Ending::OriginHelloTimeout);
    let to_client = (Ending::ClientReset, Ending::HelloTimeout);
    let (offered, bytes) = hello::client(client, early, tunnel.hello, rules).await?;
    within_cap(permit, *traffic, &bytes)?;
    record.tls_version = Some(offered);
    pass_on(origin, &bytes, tunnel, to_origin).await?;
    traffic.up += bytes.len() as u64;
    let said = hello::origin(origin, origin_early, tunnel.hello, tunnel.minimum_tls).await?;
    let (OriginSaid::Hello(_, bytes)
    | OriginSaid::Retry(_, bytes)
    | OriginSaid::Alert(bytes)
    | OriginSaid::Closed(bytes)) = &said;
    pass_on(client, bytes, tunnel, to_client).await?;
    traffic.down += bytes.len() as u64;
    // The version of a session that did not come about is no version of a session.
    record.tls_version = None;
    match said {
        OriginSaid::Alert(_) => Err(Ending::OriginAlert),
        OriginSaid::Closed(_) => Err(Ending::OriginClosed),
        OriginSaid::Hello(version, _) => {
            record.tls_version = Some(version);
            Ok(())
        }
        OriginSaid::Retry(version, _) => {
            let bytes = hello::client_again(client, tunnel.hello, rules).await?;
            within_cap(permit, *traffic, &bytes)?;
            record.tls_version = Some(version);
            pass_on(origin, &bytes, tunnel, to_origin).await?;
            traffic.up += bytes.len() as u64;
            Ok(())
        }
    }
}

/// What is gathered with a hello counts towards the rule's cap, too.
fn within_cap(permit: &Permit, traffic: Traffic, bytes: &[u8]) -> Result<(), Ending> {
    let sent = traffic.up + bytes.len() as u64;
    match permit.upload_cap() {
        Some(cap) if sent > cap => Err(Ending::UploadCap),
        _ => Ok(()),
    }
}

/// Writes a judged hello, at most [`crate::parse::LONGEST_HELLO`] bytes, within the hello's time.
async fn pass_on<S>(
    to: &mut S,
    bytes: &[u8],
    tunnel: &Tunnel,
    (broken, late): (Ending, Ending),
) -> Result<(), Ending>
where
    S: AsyncWrite + Unpin,
{
    let writing = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    match timeout(tunnel.hello, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(broken),
        Err(_) => Err(late),
    }
}
