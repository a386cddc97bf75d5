//! Who looks for tunnels in which nothing moves: one task for all of them, instead of a timer each.
//!
//! A tunnel writes down when bytes moved. Its line in the list says when it could be idle at the earliest;
//! only then it is looked at, and if something moved meanwhile its line is put further down. So a tunnel ends
//! not before its idle time, and not later than [`TICK`] after it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::Release;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

/// How often it is looked: the most that a tunnel lasts beyond its idle time.
pub const TICK: Duration = Duration::from_millis(250);
/// Most tunnels that are looked at before the others can come to the list.
const AT_ONCE: usize = 256;

/// The list of tunnels by the moment when they could be idle.
pub struct IdleWatch {
    began: Instant,
    list: Mutex<BTreeMap<Line, Arc<Pulse>>>,
    next: AtomicU64,
}

/// When a tunnel is to be looked at, as nanoseconds since the watch began, and its number.
type Line = (u64, u64);

#[derive(Debug)]
struct Pulse {
    number: u64,
    /// Where it stands in the list; changes only while that is locked.
    due: AtomicU64,
    /// Longest time without progress.
    limit: AtomicU64,
    last: AtomicU64,
    is_over: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl IdleWatch {
    /// Begins an empty list. The tunnels in it end only while [`Self::keep`] is polled.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), list: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Watches a tunnel from now on, until the returned value is dropped.
    pub fn watch(self: &Arc<Self>, limit: Duration) -> Watched {
        let (now, limit) = (self.now(), nanoseconds(limit));
        let due = now.saturating_add(limit);
        let pulse = Arc::new(Pulse {
            number: self.next.fetch_add(1, Relaxed),
            due: AtomicU64::new(due),
            limit: AtomicU64::new(limit),
            last: AtomicU64::new(now),
            is_over: AtomicBool::new(false),
            waker: Mutex::default(),
        });
        self.lock().insert((due, pulse.number), Arc::clone(&pulse));
        Watched { watch: Arc::clone(self), pulse, known: None }
    }

    /// Looks for idle tunnels, for ever.
    pub async fn keep(&self) -> Infallible {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let now = self.now();
            while self.look(now) {}
        }
    }

    /// Looks at some of those that could be idle now; says whether there may be more.
    fn look(&self, now: u64) -> bool {
        let mut list = self.lock();
        let (mut ended, mut more) = (Vec::new(), true);
        for _ in 0..AT_ONCE {
            let Some(entry) = list.first_entry().filter(|entry| entry.key().0 <= now) else {
                more = false;
                break;
            };
            let pulse = entry.remove();
            let due = pulse.last.load(Relaxed).saturating_add(pulse.limit.load(Relaxed));
            if due <= now {
                pulse.is_over.store(true, Release);
                ended.extend(pulse.waker().take());
            } else {
                pulse.due.store(due, Relaxed);
                list.insert((due, pulse.number), pulse);
            }
        }
        // Who is woken may want the list at once.
        drop(list);
        ended.into_iter().for_each(Waker::wake);
        more
    }

    fn now(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Line, Arc<Pulse>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tunnel that is watched.
pub struct Watched {
    watch: Arc<IdleWatch>,
    pulse: Arc<Pulse>,
    /// The waker that the pulse has, to compare without its lock.
    known: Option<Waker>,
}

impl Watched {
    /// Takes note that something moved.
    pub fn progress(&self) {
        self.pulse.last.store(self.watch.now(), Relaxed);
    }

    /// Lowers the idle time to this, if it is longer.
    pub fn at_most(&self, limit: Duration) {
        let limit = nanoseconds(limit);
        if self.pulse.limit.load(Relaxed) <= limit {
            return;
        }
        let mut list = self.watch.lock();
        self.pulse.limit.store(limit, Relaxed);
        // Who is just being looked at has no line; the new one will be by the new limit.
        let Some(pulse) = list.remove(&(self.pulse.due.load(Relaxed), self.pulse.number)) else { return };
        let due = pulse.last.load(Relaxed).saturating_add(limit);
        pulse.due.store(due, Relaxed);
        list.insert((due, pulse.number), pulse);
    }

    /// Is ready once nothing moved for the idle time.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.known = Some(cx.waker().clone());
            *self.pulse.waker() = Some(cx.waker().clone());
        }
        match self.pulse.is_over.load(Acquire) && self.is_idle() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Looks again who was found idle: what was waiting in the sockets may have moved just now, above all after
    /// the whole process stood still. Then the tunnel is put into the list anew.
    fn is_idle(&mut self) -> bool {
        let pulse = &self.pulse;
        let due = pulse.last.load(Relaxed).saturating_add(pulse.limit.load(Relaxed));
        if due <= self.watch.now() {
            return true;
        }
        pulse.is_over.store(false, Relaxed);
        *pulse.waker() = self.known.clone();
        let mut list = self.watch.lock();
        pulse.due.store(due, Relaxed);
        list.insert((due, pulse.number), Arc::clone(pulse));
        false
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut list = self.watch.lock();
        list.remove(&(self.pulse.due.load(Relaxed), self.pulse.number));
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
