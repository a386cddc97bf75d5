//! Walks the canaries, each in its time and a few at once, for as long as the gateway takes new work.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connect::Stations;
use crate::connect::canary::walk;
use crate::policy::canaries::Canary;

/// Most walks at once.
const MOST_AT_ONCE: usize = 4;
/// How long is slept when nothing is due; a change ends it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// Walks until the gateway drains or this is dropped, which ends the walks under way, too.
pub(super) async fn keep_walking(stations: Arc<Stations>) {
    let mut walks = JoinSet::new();
    loop {
        while walks.len() < MOST_AT_ONCE
            && let Some(canary) = stations.readiness.due(Instant::now())
        {
            walks.spawn(walk_once(Arc::clone(&stations), canary));
        }
        let next = stations.readiness.next().map(|next| next.saturating_duration_since(Instant::now()));
        let has_room = walks.len() < MOST_AT_ONCE;
        tokio::select! {
            Some(_ended) = walks.join_next() => {}
            () = sleep(next.unwrap_or(LONGEST_SLEEP)), if has_room => {}
            () = stations.readiness.changed() => {}
            // Then it is red whatever they find.
            () = stations.draining.cancelled() => return,
        }
    }
}

async fn walk_once(stations: Arc<Stations>, canary: Canary) {
    let began = Instant::now();
    let outcome = walk(&stations, &canary.permit).await;
    // Without randomness the walks are in step, which is no reason to end them.
    let random = getrandom::u64().unwrap_or_default();
    stations.readiness.note(&canary, began.elapsed(), outcome, random);
}
