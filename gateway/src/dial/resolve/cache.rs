//! Answers of the name servers, kept as long as they allow, and a bounded time longer for outages.
//!
//! An answer is *fresh* for its lifetime. One that was used is asked for again shortly before that ends
//! ([`Cache::due`]). After it, the answer is *stale*: it is used only when the name servers fail, as in
//! RFC 8767, and no longer than the operator allows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use common::host_port::HostName;
use hickory_resolver::proto::rr::RecordType;

use crate::dial::resolve::answer::Answer;

/// Most answers kept at once; each has at most [`crate::dial::resolve::MOST_ADDRESSES`] addresses.
const MOST_ENTRIES: usize = 4096;
/// How many make room at once.
const BATCH: usize = MOST_ENTRIES / 32;

/// The kept answers by name and family.
#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<HashMap<(HostName, RecordType), Entry>>,
}

struct Entry {
    addresses: Vec<IpAddr>,
    until: Instant,
    stale_until: Instant,
    lifetime: Duration,
    used: bool,
}

/// How long a stale answer is used before the name servers are asked again (RFC 8767 section 5).
const STALE_HOLD: Duration = Duration::from_secs(30);

impl Cache {
    /// Returns the addresses that are still good at `now`; an empty list says that there are none.
    pub(super) fn find(&self, name: &HostName, family: RecordType, now: Instant) -> Option<Vec<IpAddr>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get_mut(&(name.clone(), family))?;
        entry.used = true;
        (now < entry.until).then(|| entry.addresses.clone())
    }

    /// Returns the addresses that were good not too long ago, and holds them for a while, so that not
    /// every request waits for name servers that are silent.
    pub(super) fn stale(&self, name: &HostName, family: RecordType, now: Instant) -> Option<Vec<IpAddr>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get_mut(&(name.clone(), family))?;
        if now >= entry.stale_until {
            return None;
        }
        entry.until = entry.until.max(entry.stale_until.min(now + STALE_HOLD));
        Some(entry.addresses.clone())
    }

    /// Says whether a stale answer is at hand.
    pub(super) fn is_stale(&self, name: &HostName, family: RecordType, now: Instant) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(name.clone(), family)).is_some_and(|entry| now < entry.stale_until)
    }

    /// Returns what was used since it was asked for, and has a tenth of its life left or less.
    pub(super) fn due(&self, now: Instant) -> Vec<(HostName, RecordType)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |entry: &Entry| {
            entry.used
                && !entry.addresses.is_empty()
                && now < entry.until
                && now + entry.lifetime / 10 >= entry.until
        };
        entries.iter().filter(|(_, entry)| is_due(entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Keeps an answer for its lifetime, and one with addresses `stale_for` longer.
    pub(super) fn keep(
        &self,
        name: &HostName,
        family: RecordType,
        answer: &Answer,
        stale_for: Duration,
        now: Instant,
    ) {
        let stale_for = if answer.addresses.is_empty() { Duration::ZERO } else { stale_for };
        if (answer.lifetime + stale_for).is_zero() {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_ENTRIES {
            entries.retain(|_, entry| now < entry.stale_until);
        }
        if entries.len() >= MOST_ENTRIES {
            // Names that do not exist are cheap to make up: they never push out those that do.
            entries.retain(|_, entry| !entry.addresses.is_empty());
        }
        if entries.len() >= MOST_ENTRIES && answer.addresses.is_empty() {
            return;
        }
        if entries.len() >= MOST_ENTRIES {
            evict(&mut entries);
        }
        let until = now + answer.lifetime;
        let entry = Entry {
            addresses: answer.addresses.clone(),
            until,
            stale_until: until + stale_for,
            lifetime: answer.lifetime,
            used: false,
        };
        entries.insert((name.clone(), family), entry);
    }
}

/// Forgets those whose time is over first, and no more than a few: made-up names that exist must not throw
/// away what others need when the name servers fail.
fn evict(entries: &mut HashMap<(HostName, RecordType), Entry>) {
    let mut ends: Vec<Instant> = entries.values().map(|entry| entry.stale_until).collect();
    ends.sort_unstable();
    let Some(last) = ends.get(BATCH - 1).copied() else { return };
    let mut left = BATCH;
    entries.retain(|_, entry| {
        let goes = left > 0 && entry.stale_until <= last;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(seconds: u64) -> Answer {
        Answer { addresses: vec![IpAddr::from([20, 0, 0, 1])], lifetime: Duration::from_secs(seconds) }
    }

    fn name(text: &str) -> HostName {
        text.parse().expect("literal name")
    }

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_its_family_only() {
        let (cache, now) = (Cache::default(), Instant::now());
        cache.keep(&name("a.example"), RecordType::A, &answer(10), Duration::ZERO, now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.find(&name("a.example"), RecordType::A, later(9)), Some(answer(10).addresses));
        assert_eq!(cache.find(&name("a.example"), RecordType::A, later(10)), None);
        assert_eq!(cache.find(&name("a.example"), RecordType::AAAA, later(9)), None);
        assert_eq!(cache.find(&name("b.example"), RecordType::A, later(9)), None);
    }

    #[test]
    fn a_stale_answer_is_given_for_its_bounded_time_and_held_for_a_while() {
        let (cache, now) = (Cache::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let (a, family) = (name("a.example"), RecordType::A);
        cache.keep(&a, family, &answer(10), Duration::from_secs(100), now);
        assert_eq!(cache.find(&a, family, later(20)), None);
        assert!(cache.stale(&a, family, later(20)).is_some());
        assert!(cache.find(&a, family, later(49)).is_some(), "held");
        assert_eq!(cache.find(&a, family, later(50)), None);
        assert!(cache.stale(&a, family, later(109)).is_some());
        assert_eq!(cache.find(&a, family, later(110)), None, "never held beyond its time");
        assert_eq!(cache.stale(&a, family, later(110)), None);
    }

    #[test]
    fn what_was_used_is_due_shortly_before_it_expires() {
        let (cache, now) = (Cache::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        cache.keep(&name("used.example"), RecordType::A, &answer(100), Duration::ZERO, now);
        cache.keep(&name("unused.example"), RecordType::A, &answer(100), Duration::ZERO, now);
        cache.find(&name("used.example"), RecordType::A, later(1));
        assert_eq!(cache.due(later(89)), []);
        assert_eq!(cache.due(later(90)), [(name("used.example"), RecordType::A)]);
        assert_eq!(cache.due(later(100)), []);
    }

    #[test]
    fn an_answer_without_lifetime_is_not_kept() {
        let (cache, now) = (Cache::default(), Instant::now());
        cache.keep(&name("a.example"), RecordType::A, &answer(0), Duration::ZERO, now);
        assert_eq!(cache.find(&name("a.example"), RecordType::A, now), None);
    }

    #[test]
    fn the_number_of_answers_is_bounded_and_expired_ones_go_first() {
        let (cache, now) = (Cache::default(), Instant::now());
        let size = |cache: &Cache| cache.entries.lock().expect("not poisoned").len();
        cache.keep(&name("lasting.example"), RecordType::A, &answer(60), Duration::ZERO, now);
        for index in 1..MOST_ENTRIES {
            cache.keep(&name(&format!("a{index}.example")), RecordType::A, &answer(1), Duration::ZERO, now);
        }
        assert_eq!(size(&cache), MOST_ENTRIES);
        let later = now + Duration::from_secs(2);
        cache.keep(&name("new.example"), RecordType::A, &answer(60), Duration::ZERO, later);
        assert_eq!(size(&cache), 2);
        assert!(cache.find(&name("lasting.example"), RecordType::A, later).is_some());
        for index in 0..3 * MOST_ENTRIES {
            cache.keep(
                &name(&format!("b{index}.example")),
                RecordType::A,
                &answer(60),
                Duration::ZERO,
                later,
            );
            assert!(size(&cache) <= MOST_ENTRIES);
        }
    }

    #[test]
    fn made_up_names_that_exist_push_out_a_few_at_a_time_and_the_lasting_last() {
        let (cache, now) = (Cache::default(), Instant::now());
        let hour = Duration::from_secs(3600);
        for index in 0..100 {
            cache.keep(&name(&format!("good{index}.example")), RecordType::A, &answer(60), hour, now);
        }
        for index in 0..MOST_ENTRIES {
            cache.keep(&name(&format!("b{index}.example")), RecordType::A, &answer(9), hour, now);
        }
        let kept = cache.entries.lock().expect("not poisoned").len();
        assert!((MOST_ENTRIES - BATCH..=MOST_ENTRIES).contains(&kept), "{kept}");
        let later = now + Duration::from_secs(600);
        for index in 0..100 {
            assert!(cache.stale(&name(&format!("good{index}.example")), RecordType::A, later).is_some());
        }
    }
}
