//! Keeps a flood of the same record from flooding the log.
//!
//! Of records that are alike [`BURST`] are written at once and [`RATE`] a second after that; the next one that
//! is written says how many were not, and at the latest the sweep does. Alike are the access records of one
//! client address and reason, and other records that one place in the program makes about one subject
//! (`log/layer.rs`). Metrics count every one.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;

use governor::DefaultKeyedRateLimiter;
use governor::Quota;
use governor::RateLimiter;

use crate::policy::limits::NetworkKey;

/// Records alike a second, in the long run.
pub const RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Records alike that are written at once.
pub const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// What has been written of late, and how much has not, with an example of it.
pub(super) struct Throttle<K: Hash + Eq + Clone, S> {
    state: LazyLock<State<K, S>>,
}

struct State<K: Hash + Eq + Clone, S> {
    limiter: DefaultKeyedRateLimiter<K>,
    suppressed: Mutex<HashMap<K, Suppressed<S>>>,
}

/// Records alike that were not written.
#[derive(Debug)]
pub(super) struct Suppressed<S> {
    /// How many.
    pub(super) count: u64,
    /// What they were about.
    pub(super) sample: S,
}

impl<K: Hash + Eq + Clone, S> Throttle<K, S> {
    /// Begins with nothing written.
    pub(super) const fn new() -> Self {
        Self {
            state: LazyLock::new(|| State {
                limiter: RateLimiter::keyed(Quota::per_second(RATE).allow_burst(BURST)),
                suppressed: Mutex::default(),
            }),
        }
    }

    /// Lets a record be written, and says how many like it were not; `None` means that it is not written.
    pub(super) fn pass(&self, kind: K, sample: impl FnOnce() -> S) -> Option<u64> {
        let mut suppressed = self.state.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        match self.state.limiter.check_key(&kind) {
            Ok(()) => Some(suppressed.remove(&kind).map_or(0, |unwritten| unwritten.count)),
            Err(_) => {
                let unwritten = suppressed.entry(kind);
                unwritten.or_insert_with(|| Suppressed { count: 0, sample: sample() }).count += 1;
                None
            }
        }
    }

    /// Returns how many kinds are told apart now.
    pub(super) fn subjects(&self) -> usize {
        self.state.limiter.len()
    }

    /// Forgets what was not repeated of late; returns what was not written and not told yet.
    pub(super) fn sweep(&self) -> Vec<Suppressed<S>> {
        self.state.limiter.retain_recent();
        self.state.limiter.shrink_to_fit();
        let mut suppressed = self.state.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *suppressed).into_values().collect()
    }
}

/// The records that are about clients: access records, and turned away visitors of the admin listener.
pub struct Repeats(Throttle<(NetworkKey, &'static str), &'static str>);

impl Default for Repeats {
    fn default() -> Self {
        Self(Throttle::new())
    }
}

impl Repeats {
    /// Lets a record be written, and says how many like it were not; `None` means that it is not written.
    pub fn pass(&self, from: IpAddr, reason: &'static str) -> Option<u64> {
        self.0.pass((NetworkKey::of(from), reason), || reason)
    }

    /// Forgets the clients that have been quiet; returns, by reason, how many records were not written
    /// and not told yet.
    pub fn sweep(&self) -> BTreeMap<&'static str, u64> {
        let mut by_reason = BTreeMap::new();
        for Suppressed { count, sample } in self.0.sweep() {
            *by_reason.entry(sample).or_default() += count;
        }
        by_reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s09_a_flood_of_one_client_is_cut_and_counted_and_others_are_not_touched() {
        let repeats = Repeats::default();
        let (flooding, quiet) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let written = (0..100_000).filter(|_| repeats.pass(flooding, "host_denied").is_some()).count();
        assert!((200..10_000).contains(&written), "{written}");
        let written = (0..10_000_u128)
            .map(|at| IpAddr::from((0x2001_0db8 << 96 | at).to_be_bytes()))
            .filter(|from| repeats.pass(*from, "host_denied").is_some());
        assert!(written.count() < 1000, "one /64 is one client");
        assert_eq!(repeats.pass(quiet, "host_denied"), Some(0));
        assert_eq!(repeats.pass(flooding, "port_denied"), Some(0));
        assert!(repeats.sweep().contains_key("host_denied"));
        assert!(repeats.sweep().is_empty());
    }

    #[test]
    fn every_record_is_written_or_told() {
        let repeats = Repeats::default();
        let from = IpAddr::from([10, 0, 0, 1]);
        let mut told = 0;
        for _ in 0..5_000 {
            told += repeats.pass(from, "host_denied").map_or(0, |suppressed| 1 + suppressed);
        }
        told += repeats.sweep().values().sum::<u64>();
        assert_eq!(told, 5_000);
    }
}
