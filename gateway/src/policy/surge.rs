//! Who is set up next while more want a connection than may be set up at once.
//!
//! After an outage every agent comes back in the same moment. [`Room`] lets a bounded number of set-ups
//! (look-up, relay, dial) go on, and has a bounded number wait:
//!
//! ```text
//! control, bulk       three control set-ups to one of bulk while both wait
//!   client, client    round and round, one set-up each
//!     ticket, ticket  in the order of arrival
//! ```
//!
//! A full room turns away the newcomer, unless somebody holds more than a fair share: a lane beyond its
//! share of places gives one up for the other, and a client that has two places more than the newcomer's
//! client gives up its newest. Decides only; who waits, and how long, is another's affair.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;

use crate::policy::class::Urgency;
use crate::policy::limits::ClientKey;

/// Control set-ups for one of bulk, while both wait.
pub const CONTROL_TO_BULK: u32 = 3;

/// The numbers an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most set-ups in progress.
    pub setups: u32,
    /// Most that wait for one.
    pub waiting: u32,
    /// Longest wait.
    pub wait: Duration,
}

impl Settings {
    /// Returns when somebody who was turned away should come again: between one wait and three, evenly
    /// over `random`, so that those who were turned away together do not come back together.
    pub fn retry_after(&self, random: u64) -> Duration {
        const PARTS: u64 = 1000;
        let part = u32::try_from(random % PARTS).unwrap_or_default();
        self.wait + self.wait * 2 / u32::try_from(PARTS).unwrap_or(1) * part
    }
}

/// A place in the waiting room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What becomes of somebody who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// May begin at once.
    Begins,
    /// Waits; the other, if there is one, gives up its place for it.
    Waits(Ticket, Option<Ticket>),
    /// There is no place.
    TurnedAway,
}

/// The set-ups in progress and those that wait.
#[derive(Debug)]
pub struct Room {
    setups: u32,
    places: u32,
    in_progress: u32,
    control: Lane,
    bulk: Lane,
    /// Control set-ups since bulk had its turn.
    streak: u32,
    holders: HashMap<Ticket, (Urgency, ClientKey)>,
    last: u64,
}

impl Room {
    /// Makes an empty room.
    pub fn new(settings: Settings) -> Self {
        Self {
            setups: settings.setups,
            places: settings.waiting,
            in_progress: 0,
            control: Lane::default(),
            bulk: Lane::default(),
            streak: 0,
            holders: HashMap::new(),
            last: 0,
        }
    }

    /// Changes the numbers. Nobody who waits is turned away by it; whoever may begin is told by
    /// [`Room::next`].
    pub fn set(&mut self, settings: Settings) {
        (self.setups, self.places) = (settings.setups, settings.waiting);
    }

    /// Lets a client's request in, or have it wait, or turns it away.
    pub fn arrive(&mut self, client: &ClientKey, urgency: Urgency) -> Arrival {
        if self.in_progress < self.setups && self.holders.is_empty() {
            self.in_progress += 1;
            return Arrival::Begins;
        }
        let gives_up = if self.waiting() < self.places as usize {
            None
        } else {
            let Some(ticket) = self.who_gives_up(client, urgency) else { return Arrival::TurnedAway };
            self.leave(ticket);
            Some(ticket)
        };
        self.last += 1;
        let ticket = Ticket(self.last);
        self.lane(urgency).add(client, ticket);
        self.holders.insert(ticket, (urgency, client.clone()));
        Arrival::Waits(ticket, gives_up)
    }

    /// Takes somebody out who waits no longer. Says whether it still waited.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some((urgency, client)) = self.holders.remove(&ticket) else { return false };
        self.lane(urgency).remove(&client, ticket);
        true
    }

    /// Ends a set-up.
    pub fn end(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    /// Returns who begins now, if there is room for a set-up and somebody waits.
    pub fn next(&mut self) -> Option<Ticket> {
        if self.in_progress >= self.setups {
            return None;
        }
        let both = !self.control.is_empty() && !self.bulk.is_empty();
        let urgency = match (both, self.control.is_empty()) {
            (true, _) if self.streak < CONTROL_TO_BULK => {
                self.streak += 1;
                Urgency::Control
            }
            (true, _) | (false, true) => {
                self.streak = 0;
                Urgency::Bulk
            }
            (false, false) => Urgency::Control,
        };
        let ticket = self.lane(urgency).take()?;
        self.holders.remove(&ticket);
        self.in_progress += 1;
        Some(ticket)
    }

    /// Returns how many set-ups are in progress.
    pub fn in_progress(&self) -> u32 {
        self.in_progress
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.holders.len()
    }

    /// Returns how many of one urgency wait.
    pub fn waiting_of(&self, urgency: Urgency) -> usize {
        match urgency {
            Urgency::Control => self.control.len,
            Urgency::Bulk => self.bulk.len,
        }
    }

    fn lane(&mut self, urgency: Urgency) -> &mut Lane {
        match urgency {
            Urgency::Control => &mut self.control,
            Urgency::Bulk => &mut self.bulk,
        }
    }

    /// Returns whose place a newcomer gets in a full room.
    fn who_gives_up(&mut self, client: &ClientKey, urgency: Urgency) -> Option<Ticket> {
        let of_bulk = self.places as usize / (CONTROL_TO_BULK as usize + 1);
        let of_control = self.places as usize - of_bulk;
        let (share, own, other) = match urgency {
            Urgency::Control => (of_control, &self.control, &self.bulk),
            Urgency::Bulk => (of_bulk, &self.bulk, &self.control),
        };
        // A full room in which one lane is below its share has the other above its own.
        if own.len < share {
            return other.newest_of_greediest().map(|(_, ticket)| ticket);
        }
        let held = own.held_by(client);
        own.newest_of_greediest().filter(|(most, _)| *most >= held + 2).map(|(_, ticket)| ticket)
    }
}

/// Those of one urgency that wait, client by client.
#[derive(Debug, Default)]
struct Lane {
    clients: HashMap<ClientKey, Queue>,
    /// The clients by their turn, the next one first.
    turns: BTreeMap<u64, ClientKey>,
    /// The clients by how many of theirs wait, and by turn.
    sizes: BTreeSet<(usize, u64)>,
    last_turn: u64,
    len: usize,
}

/// Those of one client that wait; never empty.
#[derive(Debug, Default)]
struct Queue {
    turn: u64,
    tickets: BTreeSet<Ticket>,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn held_by(&self, client: &ClientKey) -> usize {
        self.clients.get(client).map_or(0, |queue| queue.tickets.len())
    }

    fn newest_of_greediest(&self) -> Option<(usize, Ticket)> {
        let (most, turn) = self.sizes.last()?;
        let queue = self.clients.get(self.turns.get(turn)?)?;
        Some((*most, *queue.tickets.last()?))
    }

    fn add(&mut self, client: &ClientKey, ticket: Ticket) {
        let mut queue = self.lift(client).unwrap_or_default();
        if queue.tickets.is_empty() {
            self.last_turn += 1;
            queue.turn = self.last_turn;
        }
        queue.tickets.insert(ticket);
        self.len += 1;
        self.put(client, queue);
    }

    fn remove(&mut self, client: &ClientKey, ticket: Ticket) {
        let Some(mut queue) = self.lift(client) else { return };
        self.len -= usize::from(queue.tickets.remove(&ticket));
        self.put(client, queue);
    }

    /// Takes the oldest of the client whose turn it is; the client's next turn comes after all others.
    fn take(&mut self) -> Option<Ticket> {
        let client = self.turns.first_key_value()?.1.clone();
        let mut queue = self.lift(&client)?;
        let ticket = queue.tickets.pop_first();
        self.len -= usize::from(ticket.is_some());
        self.last_turn += 1;
        queue.turn = self.last_turn;
        self.put(&client, queue);
        ticket
    }

    fn lift(&mut self, client: &ClientKey) -> Option<Queue> {
        let queue = self.clients.remove(client)?;
        self.turns.remove(&queue.turn);
        self.sizes.remove(&(queue.tickets.len(), queue.turn));
        Some(queue)
    }

    fn put(&mut self, client: &ClientKey, queue: Queue) {
        if queue.tickets.is_empty() {
            return;
        }
        self.turns.insert(queue.turn, client.clone());
        self.sizes.insert((queue.tickets.len(), queue.turn));
        self.clients.insert(client.clone(), queue);
    }
}

#[cfg(test)]
mod tests;
