//! What is told without being asked for: `/api/events`, and the samples of the last hour.
//!
//! A tick looks once for everybody. Who listens has a short queue; an event that finds it full is left out,
//! for the next one tells everything anew. Where nobody listens a tick only counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::status;
use super::status::Rates;
use super::status::Status;
use crate::connect::Stations;
use crate::observe::history;
use crate::observe::history::Totals;

/// Most listeners at once.
pub(super) const MOST_LISTENERS: usize = 16;
/// Most events that wait for one listener.
const LONGEST_QUEUE: usize = 4;
/// Time between two events.
const TICK: Duration = Duration::from_secs(2);
/// Looks over which a rate is the mean: ten seconds.
const LOOKS: usize = 6;
/// How long a status is as good as a new one.
const FRESH: Duration = Duration::from_millis(500);
/// How soon a browser comes again after a break.
const RETRY: &str = "retry: 2000\n\n";

/// Who listens, and what is told.
pub(super) struct Live {
    stations: Arc<Stations>,
    listeners: Mutex<Listeners>,
    looks: Mutex<VecDeque<(Instant, Totals)>>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

#[derive(Default)]
struct Listeners {
    closed: bool,
    /// Which snapshot was in force when they were last looked at.
    configuration: usize,
    queues: Vec<mpsc::Sender<Bytes>>,
}

impl Live {
    pub(super) fn new(stations: Arc<Stations>) -> Self {
        let looks = Mutex::new([(Instant::now(), status::totals(&stations))].into());
        Self { stations, listeners: Mutex::default(), looks, last: Mutex::default() }
    }

    /// Ticks until `closing` is set; then whoever listens hears the end.
    pub(super) async fn keep_ticking(&self, closing: CancellationToken) {
        let (mut tick, mut sample) = (interval(TICK), interval(history::INTERVAL));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        sample.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                _ = tick.tick() => self.tick(),
                _ = sample.tick() => self.sample(),
            }
        }
        let mut listeners = lock(&self.listeners);
        listeners.closed = true;
        listeners.queues.clear();
    }

    fn tick(&self) {
        let mut looks = lock(&self.looks);
        if looks.len() == LOOKS {
            looks.pop_front();
        }
        looks.push_back((Instant::now(), status::totals(&self.stations)));
        drop(looks);
        self.listen_anew_after_a_reload();
        if self.has_listeners() {
            self.tell(&event("status", &self.status()));
        }
    }

    /// Lets go of who listens once another configuration is in force: who comes back is judged by that.
    fn listen_anew_after_a_reload(&self) {
        let configuration = Arc::as_ptr(&self.stations.live.load()).addr();
        let mut listeners = lock(&self.listeners);
        if std::mem::replace(&mut listeners.configuration, configuration) != configuration {
            listeners.queues.clear();
        }
    }

    fn sample(&self) {
        let sample = self.stations.history.take(status::totals(&self.stations), SystemTime::now());
        if self.has_listeners() {
            self.tell(&event("sample", &json(&sample)));
        }
    }

    /// Returns `/api/status`, made anew unless the last one is fresh.
    pub(super) fn status(&self) -> Bytes {
        let mut last = lock(&self.last);
        if let Some((_, status)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return status.clone();
        }
        let status = json(&Status::of(&self.stations, self.rates()));
        *last = Some((Instant::now(), status.clone()));
        status
    }

    /// Begins to listen; `None` when enough do. The first event is there at once.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Bytes>> {
        let status = self.status();
        let mut listeners = lock(&self.listeners);
        listeners.queues.retain(|queue| !queue.is_closed());
        if listeners.closed || listeners.queues.len() >= MOST_LISTENERS {
            return None;
        }
        let (queue, events) = mpsc::channel(LONGEST_QUEUE);
        let first = [RETRY.as_bytes(), &event("status", &status)].concat();
        // A queue that has just been made has room.
        let _ = queue.try_send(first.into());
        listeners.queues.push(queue);
        Some(events)
    }

    fn has_listeners(&self) -> bool {
        lock(&self.listeners).queues.iter().any(|queue| !queue.is_closed())
    }

    fn tell(&self, event: &Bytes) {
        lock(&self.listeners).queues.retain(|queue| match queue.try_send(event.clone()) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    fn rates(&self) -> Rates {
        let looks = lock(&self.looks);
        let (Some((from, before)), now) = (looks.front(), status::totals(&self.stations)) else {
            return Rates::default();
        };
        let (more, seconds) = (now.since(before), from.elapsed().as_secs_f64().max(0.1));
        // Rounded down: a rate is shown, not counted with.
        let per_second = |count: u64| (count as f64 / seconds) as u64;
        let per_minute = |count: u64| (count as f64 * 60.0 / seconds) as u64;
        Rates {
            bytes_up_per_second: per_second(more.bytes_up),
            bytes_down_per_second: per_second(more.bytes_down),
            connects_per_minute: per_minute(more.connects),
            refusals_per_minute: per_minute(more.refusals.values().sum()),
            ..Rates::default()
        }
    }
}

/// Returns one event. JSON as it is made here has no line break in it.
fn event(name: &str, data: &Bytes) -> Bytes {
    [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"].concat().into()
}

/// What is shown here can be written as JSON.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
