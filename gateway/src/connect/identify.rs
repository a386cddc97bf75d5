//! Station "identify": from credentials and a source address to a client with its role.
//!
//! A password that was verified before costs nothing. Another one costs a knock and a hash, which runs
//! on a thread of the [`hashers`](super::hashers); no more run at once than there are processors, and one, and no more wait than
//! [`LONGEST_QUEUE`]. Of many requests with the same new password only the first is hashed.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Sender;
use super::Stations;
use super::hashers::Hashers;
use crate::observe::access::Record;
use crate::observe::metrics::PasswordResult;
use crate::policy::Policy;
use crate::policy::accounts::Client;
use crate::policy::accounts::Identity;
use crate::policy::accounts::Offered;
use crate::policy::accounts::PasswordCheck;
use crate::policy::basic;
use crate::refusal::Refusal;

/// Most requests that wait for a password check.
const LONGEST_QUEUE: usize = 2048;

/// Longest wait for a password check's turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The password checks under way, bounded in processors, memory and number.
pub struct PasswordWork {
    at_once: Semaphore,
    hashers: Hashers,
    waiting: AtomicUsize,
}

impl PasswordWork {
    /// Allows this many checks at once, and one more for where these get no processor time.
    pub fn new(at_once: usize) -> Self {
        Self {
            at_once: Semaphore::new(at_once.saturating_add(1)),
            hashers: Hashers::new(at_once),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// Counts a waiting request for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Refusal> {
        let waiting = Self(count);
        match count.fetch_add(1, Ordering::Relaxed) {
            before if before < LONGEST_QUEUE => Ok(waiting),
            _ => Err(Refusal::PasswordWorkBusy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
            prove(stations, check, from).await
        }
    }
}

/// Runs a password check in its turn, and counts it; a failed one counts against `from`.
pub async fn prove(stations: &Stations, check: PasswordCheck, from: IpAddr) -> Result<Client, Refusal> {
    stations.limits.knock(from)?;
    let waiting = Waiting::begin(&stations.passwords.waiting)?;
    let waited = timeout(LONGEST_WAIT, stations.passwords.at_once.acquire()).await;
    let permit = waited.map_err(|_| Refusal::PasswordWorkBusy)?.map_err(|_| Refusal::Internal)?;
    drop(waiting);
    if let Some(client) = check.settled() {
        stations.metrics.password(PasswordResult::Cached);
        return Ok(client);
    }
    // Asked again: others from the same network may have failed while this one waited.
    let knock = stations.limits.knock(from)?;
    let verdict = stations.passwords.hashers.run(check).await;
    drop(permit);
    match &verdict {
        Err(Refusal::Internal) => {}
        Ok(_) => stations.metrics.password(PasswordResult::Right),
        Err(_) => {
            stations.metrics.password(PasswordResult::Wrong);
            stations.limits.failed(knock);
        }
    }
    verdict
}
