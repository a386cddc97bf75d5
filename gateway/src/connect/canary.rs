//! A canary's walk: the stations of a CONNECT from the look-up to the origin's hello, and not a byte more.
//!
//! It is no client: it takes no slot and no set-up, counts in no limit and has no access record. The
//! destination's certificate is not looked at; that is the agents' affair.

use bytes::BytesMut;

use super::Stations;
use super::pass_on;
use super::way;
use super::way::Way;
use crate::config::Tunnel;
use crate::ending::Ending;
use crate::observe::access::Route;
use crate::policy::destinations::Permit;
use crate::policy::readiness::Failure;
use crate::policy::readiness::Station;
use crate::policy::relays::Passed;
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::tunnel::hello;
use crate::tunnel::hello::OriginSaid;
use crate::tunnel::offer;

/// Walks to a permitted target. Each station has the deadline it has for a client.
pub async fn walk(stations: &Stations, permit: &Permit) -> Result<(), Failure> {
    let live = stations.live.load_full();
    let mut way = Way::default();
    let opened = way::open(&live, permit, &Passed::default(), &mut way).await;
    let (mut origin, early) = opened.map_err(|refusal| fell(&refusal, way.route))?;
    greet(&live.tunnel, permit, &mut origin, early).await
}

/// Says a client's hello and waits for the origin's.
async fn greet(
    tunnel: &Tunnel,
    permit: &Permit,
    origin: &mut Stream,
    early: BytesMut,
) -> Result<(), Failure> {
    let offer = offer::client_hello(permit.target().name(), tunnel.minimum_tls).map_err(|error| Failure {
        station: Station::Gateway,
        reason: Refusal::Internal.row().reason,
        detail: error.to_string(),
    })?;
    let late = (Ending::OriginReset, Ending::OriginHelloTimeout);
    pass_on(origin, &offer, tunnel, late).await.map_err(ended)?;
    let said = hello::origin(origin, early, tunnel.hello, tunnel.minimum_tls).await;
    match said.map_err(ended)? {
        OriginSaid::Hello(..) | OriginSaid::Retry(..) => Ok(()),
        OriginSaid::Alert(_) => Err(ended(Ending::OriginAlert)),
        OriginSaid::Closed(_) => Err(ended(Ending::OriginClosed)),
    }
}

fn fell(refusal: &Refusal, route: Option<Route>) -> Failure {
    let station = match refusal {
        Refusal::Internal => Station::Gateway,
        _ if route == Some(Route::Relay) => Station::Relay,
        Refusal::NameNotFound | Refusal::NameFailed | Refusal::NameTimeout => Station::Dns,
        Refusal::AddressForbidden { .. } | Refusal::SelfConnection { .. } => Station::Address,
        _ => Station::Connect,
    };
    Failure { station, reason: refusal.row().reason, detail: refusal.detail() }
}

fn ended(ending: Ending) -> Failure {
    let reason = ending.row().reason;
    let detail = match ending {
        Ending::OriginReset => "the destination broke the connection off",
        Ending::OriginNotTls => "the destination's first bytes are no TLS",
        Ending::OriginAlert => "the destination answered the TLS hello with an alert",
        Ending::OriginClosed => "the destination closed before it answered the TLS hello",
        Ending::OriginTlsVersion => "the destination chose a TLS version below `[tunnel] minimum_tls`",
        Ending::OriginHelloTimeout => "the destination did not answer the TLS hello in time",
        Ending::Finished
        | Ending::UploadCap
        | Ending::Idle
        | Ending::ClientReset
        | Ending::Drained
        | Ending::Revoked
        | Ending::NotTls
        | Ending::TlsVersion
        | Ending::ServerName
        | Ending::HelloTimeout => reason,
    };
    Failure { station: Station::Tls, reason, detail: detail.to_owned() }
}
