//! How much one request may hold: what the service has shown that it takes.
//!
//! A 413 halves the bytes and is remembered; after a while more is tried again. A 400 halves the records until
//! the bad one stands alone, and what is good after it grows again quickly.

use crate::transport::LARGEST_BODY;
use crate::transport::Limit;
use crate::transport::Parcel;

/// Fewest bytes that a limit shrinks to: 64 KiB and a little holds any one record.
const SMALLEST_BODY: usize = 70 * 1024;
/// Deliveries after which a limit that a 413 has halved is doubled again.
const GROW_AFTER: u32 = 64;
/// Most records of one request.
const MOST_RECORDS: u32 = 1 << 20;

/// The limits of the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appetite {
    raw: usize,
    records: u32,
    good: u32,
}

impl Appetite {
    pub(super) fn new() -> Self {
        Self { raw: LARGEST_BODY, records: MOST_RECORDS, good: 0 }
    }

    pub(super) fn limit(&self) -> Limit {
        Limit { records: self.records, raw: self.raw }
    }

    /// The service called this too large. Returns whether there is anything smaller to try.
    pub(super) fn too_large(&mut self, parcel: &Parcel) -> bool {
        self.good = 0;
        let half = (parcel.raw / 2).max(SMALLEST_BODY);
        if half < parcel.raw {
            self.raw = half;
            return true;
        }
        self.halve_records(parcel)
    }

    /// The service does not like something in it. Returns whether there is anything smaller to try.
    pub(super) fn disliked(&mut self, parcel: &Parcel) -> bool {
        self.halve_records(parcel)
    }

    /// The service took a request, or a record was set aside.
    pub(super) fn fed(&mut self) {
        self.records = self.records.saturating_mul(4).min(MOST_RECORDS);
        self.good += 1;
        if self.good >= GROW_AFTER {
            self.good = 0;
            self.raw = (self.raw * 2).min(LARGEST_BODY);
        }
    }

    fn halve_records(&mut self, parcel: &Parcel) -> bool {
        self.records = (parcel.records / 2).max(1);
        parcel.records > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn parcel(raw: usize, records: u32) -> Parcel {
        Parcel {
            body: Bytes::new(),
            encoding: None,
            records,
            sent: records,
            consumed: 0,
            raw,
            shortened: 0,
            damaged: 0,
            file_path: None,
        }
    }

    #[test]
    fn what_was_too_large_is_halved_and_remembered_until_many_were_taken() {
        let mut appetite = Appetite::new();
        assert!(appetite.too_large(&parcel(900_000, 2000)));
        assert_eq!(appetite.limit().raw, 450_000);
        (1..GROW_AFTER).for_each(|_| appetite.fed());
        assert_eq!(appetite.limit().raw, 450_000);
        appetite.fed();
        assert_eq!(appetite.limit().raw, 900_000);
        assert!(appetite.too_large(&parcel(SMALLEST_BODY, 2)) && appetite.limit().records == 1);
        assert!(!appetite.too_large(&parcel(SMALLEST_BODY, 1)));
    }

    #[test]
    fn a_bad_record_is_found_by_halves_and_the_rest_is_fast_again() {
        let mut appetite = Appetite::new();
        let (records, bad) = (1000, 777);
        let (mut first, mut requests, mut aside) = (0, 0, Vec::new());
        while first < records {
            requests += 1;
            let sent = appetite.limit().records.min(records - first);
            if !(first..first + sent).contains(&bad) {
                appetite.fed();
                first += sent;
            } else if !appetite.disliked(&parcel(1000, sent)) {
                aside.push(first);
                appetite.fed();
                first += 1;
            }
        }
        assert_eq!(aside, [bad]);
        assert!(requests < 60, "{requests}");
    }
}
