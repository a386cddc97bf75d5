//! Station "identify": from credentials and a source address to a client with its role.
//!
//! A password that was verified before costs nothing. Another one costs a knock, a turn in one of two [`lanes`](super::lanes), and a
//! hash on a thread of the [`hashers`](super::hashers). Of many requests with the same new password only the first is hashed.

use std::net::IpAddr;
use std::sync::Arc;

use super::Sender;
use super::Stations;
use super::hashers::Hashers;
use super::hashers::Verdict;
use super::lanes::Lanes;
use crate::listen::head::Seen;
use crate::observe::access::Record;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::PasswordResult;
use crate::policy::Policy;
use crate::policy::accounts::Client;
use crate::policy::accounts::Identity;
use crate::policy::accounts::Offered;
use crate::policy::accounts::PasswordCheck;
use crate::policy::basic;
use crate::refusal::Refusal;

/// The password checks under way, bounded in processors, memory and number.
pub struct PasswordWork {
    lanes: Arc<Lanes>,
    hashers: Hashers,
}

impl PasswordWork {
    /// Allows this many checks at once, one more for where these get no processor time, and one of the slow lane.
    pub fn new(at_once: usize) -> Self {
        Self { lanes: Lanes::new(at_once.saturating_add(1)), hashers: Hashers::new(at_once) }
    }
}

pub(super) async fn identify(
    stations: &Stations,
    policy: &Policy,
    authorization: Option<&[u8]>,
    sender: Sender<'_>,
    record: &mut Record,
) -> Result<Client, Refusal> {
    let from = sender.address.ip();
    if let Some(client) = policy.accounts.by_certificate(sender.certificate) {
        return Ok(client);
    }
    let offered = match authorization.map(basic::read) {
        None => Offered::Nothing,
        Some(None) => Offered::Unreadable,
        Some(Some(credentials)) => Offered::Basic(credentials),
    };
    match policy.accounts.identify(offered, from)? {
        Identity::Known(client) => {
            if client.user().is_some() {
                stations.metrics.password(PasswordResult::Cached);
            }
            Ok(client)
        }
        Identity::Unproven(check) => {
            record.user = check.user().cloned();
            prove(stations, check, from, Some(sender.head)).await
        }
    }
}

/// Runs a password check in its turn, and counts it; a failed one counts against `from`. While it waits, `head` has the
/// client's connection watched: a guess of somebody who has gone is not worth a hash.
pub async fn prove(
    stations: &Stations,
    check: PasswordCheck,
    from: IpAddr,
    head: Option<&Seen>,
) -> Result<Client, Refusal> {
    stations.limits.knock(from)?;
    let mut place = Place { metrics: &stations.metrics, over: false };
    head.into_iter().for_each(Seen::wait);
    let turn = stations.passwords.lanes.turn(from).await;
    head.into_iter().for_each(Seen::go_on);
    place.over = true;
    let turn = turn?;
    if let Some(client) = check.settled() {
        stations.metrics.password(PasswordResult::Cached);
        return Ok(client);
    }
    // Asked again: others from the same network may have failed while this one waited.
    let knock = stations.limits.knock(from)?;
    let (limits, metrics) = (Arc::clone(&stations.limits), Arc::clone(&stations.metrics));
    let noted = move |verdict: &Verdict| match verdict {
        Err(Refusal::Internal) => {}
        Ok(_) => {
            metrics.password(PasswordResult::Right);
            turn.right();
        }
        Err(_) => {
            metrics.password(PasswordResult::Wrong);
            limits.failed(knock);
            turn.wrong();
        }
    };
    stations.passwords.hashers.run(check, noted).await
}

/// Counts a check that is given up while it waits for its turn.
struct Place<'a> {
    metrics: &'a Metrics,
    over: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.metrics.password(PasswordResult::Abandoned);
        }
    }
}
