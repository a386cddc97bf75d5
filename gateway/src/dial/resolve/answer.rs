//! What one reply of a name server says about the addresses of one name.
//!
//! Only records that belong to the asked name count: its own, and those at the end of the chain of
//! aliases that starts at it. Chains are followed inside the reply and never by another query; that
//! is the name server's work (as in glibc). A reply is untrusted: whatever it holds, the work is
//! bounded by its size times [`MOST_ALIASES`].

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::DnsResponse;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::RecordType;

use crate::dial::resolve::MOST_ADDRESSES;

/// Most aliases (CNAME) followed for one name.
const MOST_ALIASES: usize = 32;
/// Longest time an answer with addresses is kept.
const LONGEST_KEPT: Duration = Duration::from_secs(60 * 60);
/// Longest time an answer without addresses is kept: short, so that a new name works soon.
const LONGEST_KEPT_EMPTY: Duration = Duration::from_secs(5);

/// The addresses of a name in one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// At most [`MOST_ADDRESSES`]; none says that the name, or this family of it, does not exist.
    pub(super) addresses: Vec<IpAddr>,
    /// How long the answer may be kept.
    pub(super) lifetime: Duration,
}

/// Why there is no answer; the later is the more telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// An error code, a reply that makes no sense, or a broken transport.
    Failed,
    /// No reply in time.
    Timeout,
}

impl Answer {
    /// Reads the reply to a question for the addresses of `name` in one family.
    pub(super) fn read(
        name: &Name,
        family: RecordType,
        reply: Result<DnsResponse, NetError>,
    ) -> Result<Self, Trouble> {
        match reply {
            Ok(reply) => Self::follow(name, family, &reply),
            Err(NetError::Timeout) => Err(Trouble::Timeout),
            // Servers but no zone: a referral, from a server that does not recurse.
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.ns.is_some() && none.soa.is_none() => {
                Err(Trouble::Failed)
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Ok(Self::empty(none.negative_ttl)),
            Err(_) => Err(Trouble::Failed),
        }
    }

    fn follow(name: &Name, family: RecordType, reply: &DnsResponse) -> Result<Self, Trouble> {
        match reply.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Ok(Self::empty(reply.negative_ttl())),
            _ => return Err(Trouble::Failed),
        }
        let (mut owner, mut seconds) = (name, u32::MAX);
        for _ in 0..=MOST_ALIASES {
            let mut addresses = Vec::new();
            let mut alias = None;
            for record in reply.answers.iter().filter(|record| record.name == *owner) {
                match &record.data {
                    RData::A(found) if family == RecordType::A => addresses.push(IpAddr::V4(found.0)),
                    RData::AAAA(found) if family == RecordType::AAAA => addresses.push(IpAddr::V6(found.0)),
                    RData::CNAME(target) => alias = Some(&target.0),
                    _ => continue,
                }
                seconds = seconds.min(record.ttl);
            }
            if !addresses.is_empty() {
                addresses.truncate(MOST_ADDRESSES);
                let lifetime = Duration::from_secs(seconds.into()).min(LONGEST_KEPT);
                return Ok(Self { addresses, lifetime });
            }
            match alias {
                Some(target) => owner = target,
                None => return Ok(Self::empty(reply.negative_ttl().map(|ttl| ttl.min(seconds)))),
            }
        }
        Err(Trouble::Failed)
    }

    /// Says that there are no addresses; without a TTL (no SOA) that is not kept (RFC 2308 section 5).
    fn empty(ttl: Option<u32>) -> Self {
        let lifetime = Duration::from_secs(ttl.unwrap_or_default().into()).min(LONGEST_KEPT_EMPTY);
        Self { addresses: Vec::new(), lifetime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::Message;
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::rdata::CNAME;
    use hickory_resolver::proto::rr::rdata::SOA;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("literal name")
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(20, 0, 0, last)))
    }

    fn alias(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn read(answers: Vec<Record>, authorities: Vec<Record>) -> Result<Answer, Trouble> {
        let mut message = Message::response(1, OpCode::Query);
        message.answers = answers;
        message.authorities = authorities;
        Answer::read(
            &name("a.example."),
            RecordType::A,
            DnsResponse::from_message(message).map_err(Into::into),
        )
    }

    fn found(last: &[u8], seconds: u64) -> Result<Answer, Trouble> {
        let addresses = last.iter().map(|last| IpAddr::from([20, 0, 0, *last])).collect();
        Ok(Answer { addresses, lifetime: Duration::from_secs(seconds) })
    }

    #[test]
    fn only_records_of_the_asked_name_and_of_its_aliases_count() {
        assert_eq!(read(vec![a("a.example.", 9, 1), a("b.example.", 9, 2)], vec![]), found(&[1], 9));
        assert_eq!(read(vec![a("b.example.", 9, 2)], vec![]), found(&[], 0));
        let chain = vec![a("c.example.", 9, 3), alias("A.example.", 7, "C.EXAMPLE."), a("d.example.", 9, 4)];
        assert_eq!(read(chain, vec![]), found(&[3], 7), "in any order and case");
    }

    #[test]
    fn an_answer_is_kept_for_the_shortest_ttl_of_its_chain_and_an_hour_at_most() {
        assert_eq!(read(vec![a("a.example.", 90, 1), a("a.example.", 80, 2)], vec![]), found(&[1, 2], 80));
        assert_eq!(
            read(vec![alias("a.example.", 0, "b.example."), a("b.example.", 9, 1)], vec![]),
            found(&[1], 0)
        );
        assert_eq!(read(vec![a("a.example.", u32::MAX, 1)], vec![]), found(&[1], 3600));
    }

    #[test]
    fn an_empty_answer_is_kept_for_the_ttl_of_its_zone_and_five_seconds_at_most() {
        let zone = |ttl, minimum| {
            let soa = SOA::new(name("ns.example."), name("host.example."), 1, 2, 3, 4, minimum);
            vec![Record::from_rdata(name("example."), ttl, RData::SOA(soa))]
        };
        let cases = [(zone(900, 900), 5), (zone(3, 900), 3), (zone(900, 2), 2), (vec![], 0)];
        for (authorities, seconds) in cases {
            let dangling = vec![alias("a.example.", 900, "b.example.")];
            assert_eq!(read(dangling, authorities), found(&[], seconds));
        }
    }

    #[test]
    fn d07_a_long_chain_is_followed_and_a_loop_or_an_endless_chain_is_not() {
        let link = |index| alias(&format!("x{index}.example."), 9, &format!("x{}.example.", index + 1));
        let chain = |links: usize| {
            let mut records = vec![alias("a.example.", 9, "x0.example.")];
            records.extend((0..links - 1).map(link));
            records.push(a(&format!("x{}.example.", links - 1), 9, 1));
            records
        };
        assert_eq!(read(chain(20), vec![]), found(&[1], 9));
        assert_eq!(read(chain(MOST_ALIASES), vec![]), found(&[1], 9));
        assert_eq!(read(chain(MOST_ALIASES + 1), vec![]), Err(Trouble::Failed));
        let circle = vec![alias("a.example.", 9, "b.example."), alias("b.example.", 9, "a.example.")];
        assert_eq!(read(circle, vec![]), Err(Trouble::Failed));
        assert_eq!(read(vec![alias("a.example.", 9, "a.example.")], vec![]), Err(Trouble::Failed));
    }
}
