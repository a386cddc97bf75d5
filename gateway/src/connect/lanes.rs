//! Whose turn it is to have a password checked. There are two lanes, each with a bound of its own on who waits: the quick one is
//! as wide as there are processors; the slow one, for networks that [may be guessing](Networks), lets one check go on at once and
//! rests after each as long as it took. So guesses take half of one processor, and a fleet that logs in anew has all of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout_at;

use crate::policy::guessing::Lane;
use crate::policy::guessing::Networks;
use crate::policy::limits::NetworkKey;
use crate::refusal::Refusal;

/// Most requests that wait for a check in the quick lane.
const LONGEST_QUEUE: usize = 2048;
/// Most that wait in the slow one: more than it serves within [`LONGEST_WAIT`] need not wait.
const LONGEST_SLOW_QUEUE: usize = 256;
/// Longest wait for a turn, in both lanes together.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How many times as long as a check took the slow lane rests after it.
const REST: u32 = 1;

/// The two lanes, and what is known of the networks that use them.
pub(super) struct Lanes {
    networks: Mutex<Networks>,
    quick: Queue,
    slow: Queue,
    /// Until when the slow lane rests.
    rests: Mutex<Instant>,
}

/// Leave to run one check now. The slow lane's rest begins when it is dropped.
pub(super) struct Turn {
    lanes: Arc<Lanes>,
    network: NetworkKey,
    lane: Lane,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    /// Opens the quick lane this wide, beside the slow one.
    pub(super) fn new(quick: usize) -> Arc<Self> {
        Arc::new(Self {
            networks: Mutex::default(),
            quick: Queue::new(quick, LONGEST_QUEUE),
            slow: Queue::new(1, LONGEST_SLOW_QUEUE),
            rests: Mutex::new(Instant::now()),
        })
    }

    /// Waits for a turn in the lane of an address's network.
    pub(super) async fn turn(self: &Arc<Self>, from: IpAddr) -> Result<Turn, Refusal> {
        let network = NetworkKey::of(from);
        let until = Instant::now() + LONGEST_WAIT;
        if self.lane(network) == Lane::Quick {
            let permit = self.quick.wait(until, async {}).await?;
            // Asked again: of those that came at once the first have had their verdicts.
            if self.lane(network) == Lane::Quick {
                return Ok(self.begin(network, Lane::Quick, permit));
            }
        }
        let rested = async {
            let rests = *lock(&self.rests);
            sleep_until(rests).await;
        };
        let permit = self.slow.wait(until, rested).await?;
        Ok(self.begin(network, Lane::Slow, permit))
    }

    fn lane(&self, network: NetworkKey) -> Lane {
        lock(&self.networks).lane(network, Instant::now().into_std())
    }

    fn begin(self: &Arc<Self>, network: NetworkKey, lane: Lane, permit: OwnedSemaphorePermit) -> Turn {
        Turn { lanes: Arc::clone(self), network, lane, began: Instant::now(), _permit: permit }
    }
}

impl Turn {
    /// Ends it with a password that was right.
    pub(super) fn right(self) {
        lock(&self.lanes.networks).right(self.network, Instant::now().into_std());
    }

    /// Ends it with a password that was wrong.
    pub(super) fn wrong(self) {
        lock(&self.lanes.networks).wrong(self.network, Instant::now().into_std());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.lane == Lane::Slow {
            let now = Instant::now();
            *lock(&self.lanes.rests) = now + now.saturating_duration_since(self.began) * REST;
        }
    }
}

/// Requests that wait for a place among a number of them.
struct Queue {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    longest: usize,
}

impl Queue {
    fn new(places: usize, longest: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0), longest }
    }

    /// Waits for a place, and then until it is `ready`; not longer than `until`.
    async fn wait(
        &self,
        until: Instant,
        ready: impl Future<Output = ()>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let _waiting = Waiting::begin(self)?;
        let place = async {
            let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Refusal::Internal)?;
            ready.await;
            Ok(permit)
        };
        timeout_at(until, place).await.map_err(|_| Refusal::PasswordWorkBusy)?
    }
}

/// Counts a waiting request for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(queue: &'a Queue) -> Result<Self, Refusal> {
        let waiting = Self(&queue.waiting);
        match queue.waiting.fetch_add(1, Ordering::Relaxed) {
            before if before < queue.longest => Ok(waiting),
            _ => Err(Refusal::PasswordWorkBusy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
