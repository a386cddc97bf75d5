//! A tunnel: from the 200 through the hellos to its end, and its record.
//!
//! [`begin`] needs much for a short time. [`Tunnel`] is what is left once both hellos are judged: it may last for
//! days and wait most of them, so it holds nothing that only its set-up needed.

use std::sync::Arc;

use bytes::BytesMut;

use super::Admitted;
use super::Standing;
use super::Stations;
use super::hellos;
use crate::ending::Ending;
use crate::observe::access::Record;
use crate::observe::access::Traffic;
use crate::observe::fleet;
use crate::observe::metrics::Present;
use crate::policy::limits::Arrival;
use crate::policy::limits::Slot;
use crate::stream::Stream;
use crate::tunnel::carry::Bounds;

/// A tunnel whose hellos are judged. Only [`begin`] makes one.
pub struct Tunnel {
    stations: Arc<Stations>,
    client: Stream,
    origin: Stream,
    bounds: Bounds,
    traffic: Traffic,
    /// Its part in its client's row, to which bytes are added as they move.
    counted: Option<fleet::Tunnel>,
    standing: Standing,
    record: Record,
    /// What counts the client's connection, which is given back once it is closed.
    counts: Option<(Present, Arrival)>,
    _slot: Slot,
}

/// Judges the hellos of an admitted tunnel. `early` is what the client sent after its request head. Of a tunnel
/// that ends here, the client's leg is given back.
pub async fn begin(
    stations: Arc<Stations>,
    admitted: Admitted,
    client: Stream,
    early: BytesMut,
    mut record: Record,
) -> Result<Box<Tunnel>, (Stream, Ending)> {
    let Admitted { permit, tunnel: settings, origin, origin_early, standing, _slot } = admitted;
    stations.metrics.tunnel_begins(record.set_up());
    let host = permit.target().name();
    let counted = record.sighting.as_ref().map(|sighting| stations.fleet.tunnel(sighting, host));
    let bounds = Bounds { idle: settings.idle, upload_cap: permit.upload_cap() };
    let traffic = Traffic::default();
    // On the heap, for a future has a place for each hand that a value goes through.
    let counts = None;
    let mut begun = Box::new(Tunnel {
        stations,
        client,
        origin,
        bounds,
        traffic,
        counted,
        standing,
        record,
        counts,
        _slot,
    });
    let Tunnel { stations, client, origin, standing, record, traffic, .. } = &mut *begun;
    let ended = tokio::select! {
        judged = hellos(&settings, &permit, (client, early), (origin, origin_early), record, traffic) => judged.err(),
        () = stations.cut.cancelled() => Some(Ending::Drained),
        () = standing.is_lost(stations) => Some(Ending::Revoked),
    };
    match ended {
        None => Ok(begun),
        Some(ending) => Err((begun.end(ending), ending)),
    }
}

impl Tunnel {
    /// Takes over what counts the client's connection: here it has one place, in a future one for each hand it goes
    /// through.
    pub fn hold(&mut self, present: Present, arrival: Arrival) {
        self.counts = Some((present, arrival));
    }

    /// Carries it to its end.
    pub async fn carry(mut self: Box<Self>) {
        let Self { stations, client, origin, bounds, traffic, counted, standing, .. } = &mut *self;
        let tell = |so_far| counted.iter_mut().for_each(|tunnel| tunnel.tell(so_far));
        let ending = tokio::select! {
            ending = stations.carrier.carry(client, origin, *bounds, traffic, tell) => ending,
            () = stations.cut.cancelled() => Ending::Drained,
            () = standing.is_lost(stations) => Ending::Revoked,
        };
        let counts = self.counts.take();
        drop(self.end(ending));
        drop(counts);
    }

    /// Closes the origin's leg, counts and records; gives the client's leg back.
    fn end(self: Box<Self>, ending: Ending) -> Stream {
        let Self { stations, client, origin, traffic, mut counted, mut record, _slot, .. } = *self;
        match ending {
            // The other side must not take a cut stream for a whole one.
            Ending::ClientReset => origin.reset(),
            Ending::OriginReset => client.reset(),
            _ => {}
        }
        drop(origin);
        record.traffic = traffic;
        counted.iter_mut().for_each(|tunnel| tunnel.tell(traffic));
        drop(counted);
        stations.metrics.tunnel_ends(ending, traffic);
        record.carried(ending, &stations.repeats);
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_what_it_returns<F>(_: impl FnOnce(Box<Tunnel>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_tunnel_is_a_small_task() {
        let (task, state) = (size_of_what_it_returns(Tunnel::carry), size_of::<Tunnel>());
        assert!(task <= 640 && state <= 736, "{task} and {state} bytes");
    }
}
