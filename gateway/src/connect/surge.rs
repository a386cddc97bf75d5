//! Station "turn": when many want a tunnel at once, who is set up now and who waits.
//!
//! [`Room`] decides; here it is waited. A place is given back when it is dropped, so a client that goes
//! away, a wait that is over and a set-up that fails leave nothing behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::timeout;

use crate::listen::head::Seen;
use crate::observe::metrics::Metrics;
use crate::policy::class::Urgency;
use crate::policy::limits::ClientKey;
use crate::policy::surge::Arrival;
use crate::policy::surge::Room;
use crate::policy::surge::Settings;
use crate::policy::surge::Ticket;
use crate::refusal::Refusal;

/// Lets set-ups begin, a bounded number at once. It outlives a change of policy.
pub struct Gate {
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
}

struct Inner {
    room: Room,
    settings: Settings,
    waiting: HashMap<Ticket, oneshot::Sender<Setup>>,
}

/// Leave to set one tunnel up, given back when dropped. Only `Gate::enter` makes one.
pub struct Setup {
    gate: Option<Arc<Gate>>,
    ticket: Ticket,
}

/// A place in the waiting room, given back when dropped.
struct Place<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    /// The wait is over. Without it the client has gone.
    over: bool,
}

impl Gate {
    /// Opens the gate.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Self {
        let inner = Inner { room: Room::new(settings), settings, waiting: HashMap::new() };
        Self { inner: Mutex::new(inner), metrics }
    }

    /// Changes the numbers; those that may begin by the new ones do.
    pub fn set(self: &Arc<Self>, settings: Settings) {
        let mut inner = self.lock();
        inner.room.set(settings);
        inner.settings = settings;
        drop(inner);
        self.call(None);
    }

    /// Waits for a client's turn. While it does, `head` has the client's connection watched.
    pub(super) async fn enter(
        self: &Arc<Self>,
        client: &ClientKey,
        urgency: Urgency,
        head: &Seen,
    ) -> Result<Setup, Refusal> {
        let (ticket, turn, wait) = {
            let mut inner = self.lock();
            let arrival = inner.room.arrive(client, urgency);
            self.metrics.surge.show(&inner.room);
            match arrival {
                Arrival::Begins(ticket) => return Ok(Setup { gate: Some(Arc::clone(self)), ticket }),
                Arrival::TurnedAway => return Err(busy(inner.settings)),
                Arrival::Waits(ticket, gives_up) => {
                    // Whose sender is dropped is turned away.
                    let _gone = gives_up.and_then(|other| inner.waiting.remove(&other));
                    let (call, turn) = oneshot::channel();
                    inner.waiting.insert(ticket, call);
                    (ticket, turn, inner.settings)
                }
            }
        };
        let mut place = Place { gate: self, ticket, over: false };
        let began = Instant::now();
        head.wait();
        let called = timeout(wait.wait, turn).await;
        head.go_on();
        place.over = true;
        match called {
            Ok(Ok(setup)) => {
                self.metrics.surge.waited(began.elapsed());
                Ok(setup)
            }
            Ok(Err(_)) | Err(_) => Err(busy(wait)),
        }
    }

    /// Ends a set-up, and has those begin whose turn it is.
    fn call(self: &Arc<Self>, mut ended: Option<Ticket>) {
        loop {
            let mut inner = self.lock();
            if let Some(ticket) = ended.take() {
                inner.room.end(ticket);
            }
            let next = inner.room.begin_next();
            let call = next.and_then(|ticket| inner.waiting.remove(&ticket));
            self.metrics.surge.show(&inner.room);
            drop(inner);
            let Some(ticket) = next else { return };
            let setup = Setup { gate: Some(Arc::clone(self)), ticket };
            // Who went away in this moment leaves the set-up to the next.
            let unused = match call {
                Some(call) => call.send(setup).err(),
                None => Some(setup),
            };
            if let Some(mut unused) = unused {
                unused.gate = None;
                ended = Some(ticket);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.call(Some(self.ticket));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.gate.metrics.surge.abandoned();
        }
        let mut inner = self.gate.lock();
        if inner.room.leave(self.ticket) {
            inner.waiting.remove(&self.ticket);
            self.gate.metrics.surge.show(&inner.room);
        }
    }
}

fn busy(settings: Settings) -> Refusal {
    // Without randomness all come back together, which is no reason to fail.
    let random = getrandom::u64().unwrap_or_default();
    Refusal::SetupBusy { retry_after: settings.retry_after(random) }
}

#[cfg(test)]
mod tests;
