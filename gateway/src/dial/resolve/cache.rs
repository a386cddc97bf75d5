//! Answers of the name servers, kept as long as they allow.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use common::host_port::HostName;
use hickory_resolver::proto::rr::RecordType;

use crate::dial::resolve::answer::Answer;

/// Most answers kept at once; each has at most [`crate::dial::resolve::MOST_ADDRESSES`] addresses.
const MOST_ENTRIES: usize = 4096;

/// The kept answers by name and family.
#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<HashMap<(HostName, RecordType), Entry>>,
}

struct Entry {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Cache {
    /// Returns the addresses that are still good at `now`; an empty list says that there are none.
    pub(super) fn find(&self, name: &HostName, family: RecordType, now: Instant) -> Option<Vec<IpAddr>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&(name.clone(), family))?;
        (now < entry.until).then(|| entry.addresses.clone())
    }

    /// Keeps an answer for its lifetime; one without a lifetime is not kept.
    pub(super) fn keep(&self, name: &HostName, family: RecordType, answer: &Answer, now: Instant) {
        if answer.lifetime.is_zero() {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_ENTRIES {
            entries.retain(|_, entry| now < entry.until);
        }
        if entries.len() >= MOST_ENTRIES {
            entries.clear();
        }
        let entry = Entry { addresses: answer.addresses.clone(), until: now + answer.lifetime };
        entries.insert((name.clone(), family), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn answer(seconds: u64) -> Answer {
        Answer { addresses: vec![IpAddr::from([20, 0, 0, 1])], lifetime: Duration::from_secs(seconds) }
    }

    fn name(text: &str) -> HostName {
        text.parse().expect("literal name")
    }

    #[test]
    fn an_answer_is_kept_for_its_lifetime_and_its_family_only() {
        let (cache, now) = (Cache::default(), Instant::now());
        cache.keep(&name("a.example"), RecordType::A, &answer(10), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.find(&name("a.example"), RecordType::A, later(9)), Some(answer(10).addresses));
        assert_eq!(cache.find(&name("a.example"), RecordType::A, later(10)), None);
        assert_eq!(cache.find(&name("a.example"), RecordType::AAAA, later(9)), None);
        assert_eq!(cache.find(&name("b.example"), RecordType::A, later(9)), None);
    }

    #[test]
    fn an_answer_without_lifetime_is_not_kept() {
        let (cache, now) = (Cache::default(), Instant::now());
        cache.keep(&name("a.example"), RecordType::A, &answer(0), now);
        assert_eq!(cache.find(&name("a.example"), RecordType::A, now), None);
    }

    #[test]
    fn the_number_of_answers_is_bounded_and_expired_ones_go_first() {
        let (cache, now) = (Cache::default(), Instant::now());
        let size = |cache: &Cache| cache.entries.lock().expect("not poisoned").len();
        cache.keep(&name("lasting.example"), RecordType::A, &answer(60), now);
        for index in 1..MOST_ENTRIES {
            cache.keep(&name(&format!("a{index}.example")), RecordType::A, &answer(1), now);
        }
        assert_eq!(size(&cache), MOST_ENTRIES);
        let later = now + Duration::from_secs(2);
        cache.keep(&name("new.example"), RecordType::A, &answer(60), later);
        assert_eq!(size(&cache), 2);
        assert!(cache.find(&name("lasting.example"), RecordType::A, later).is_some());
        for index in 0..3 * MOST_ENTRIES {
            cache.keep(&name(&format!("b{index}.example")), RecordType::A, &answer(60), later);
            assert!(size(&cache) <= MOST_ENTRIES);
        }
    }
}
