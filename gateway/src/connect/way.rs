//! Stations "resolve" to "dial": from leave to an open connection, for a client or for a canary.

use std::net::SocketAddr;

use bytes::BytesMut;

use super::Live;
use crate::dial::direct;
use crate::observe::access::Route;
use crate::policy::addresses::Vetted;
use crate::policy::destinations::Permit;
use crate::policy::relays::Passed;
use crate::refusal::Refusal;
use crate::stream::Stream;

/// How far it went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// The way out, once it is chosen.
    pub(super) route: Option<Route>,
    /// The address that was dialled, once there is one.
    pub(super) address: Option<SocketAddr>,
}

/// Opens a connection to a permitted target, through a relay or directly. Also returns the first bytes of
/// the origin, which a relay's answer can bring.
pub(super) async fn open(
    live: &Live,
    permit: &Permit,
    passed: &Passed,
    way: &mut Way,
) -> Result<(Stream, BytesMut), Refusal> {
    let (limit, resolver, addresses) = (live.tunnel.connect, &live.resolver, &live.policy.addresses);
    let relays = live.relays.as_ref();
    if let Some(relays) = relays.filter(|_| !live.relay_settings.bypasses(permit.target().name())) {
        way.route = Some(Route::Relay);
        let relayed = relays.connect(permit.target(), passed, resolver, addresses, limit).await?;
        way.address = Some(relayed.address);
        return Ok((relayed.stream, relayed.early.into()));
    }
    way.route = Some(Route::Direct);
    let found = resolver.resolve(permit.target()).await?;
    // One forbidden address refuses the whole answer, as everywhere.
    let vetted = found.iter().map(|found| resolver.vet(permit, *found, addresses));
    let vetted: Vec<Vetted> = vetted.collect::<Result<_, _>>()?;
    way.address = vetted.first().map(|vetted| vetted.address());
    let connected = direct::connect(&vetted, limit).await?;
    way.address = Some(connected.address);
    Ok((Stream::Plain(connected.stream), BytesMut::new()))
}
