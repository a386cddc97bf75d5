//! Keeps a flood of the same refusal from flooding the log.
//!
//! Of the refusals of one client address for one reason, [`BURST`] are written at once and [`RATE`] a
//! second after that; the next record that is written says how many were not. Metrics count every one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;

use governor::DefaultKeyedRateLimiter;
use governor::Quota;
use governor::RateLimiter;

use crate::policy::limits::NetworkKey;

/// Records a second of one client address and reason, in the long run.
pub const RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Records of one client address and reason that are written at once.
pub const BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();

type Key = (NetworkKey, &'static str);

/// What has been written of late, and how much has not.
pub struct Repeats {
    limiter: DefaultKeyedRateLimiter<Key>,
    suppressed: Mutex<HashMap<Key, u64>>,
}

impl Default for Repeats {
    fn default() -> Self {
        let quota = Quota::per_second(RATE).allow_burst(BURST);
        Self { limiter: RateLimiter::keyed(quota), suppressed: Mutex::default() }
    }
}

impl Repeats {
    /// Lets a record be written, and says how many like it were not; `None` means that it is not written.
    pub fn pass(&self, from: IpAddr, reason: &'static str) -> Option<u64> {
        let key = (NetworkKey::of(from), reason);
        let mut suppressed = self.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        match self.limiter.check_key(&key) {
            Ok(()) => Some(suppressed.remove(&key).unwrap_or_default()),
            Err(_) => {
                *suppressed.entry(key).or_default() += 1;
                None
            }
        }
    }

    /// Forgets the clients that have been quiet; returns how many of their records were not written.
    pub fn sweep(&self) -> u64 {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        let mut suppressed = self.suppressed.lock().unwrap_or_else(PoisonError::into_inner);
        suppressed.drain().map(|(_, count)| count).sum()
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
        assert!(repeats.sweep() > 0);
        assert_eq!(repeats.sweep(), 0);
    }
}
