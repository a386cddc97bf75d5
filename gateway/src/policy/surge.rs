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
//! No client has more set-ups than its share, and neither control nor bulk more than three quarters of all:
//! a destination that answers nobody holds the set-ups that lead to it for as long as their deadlines, and
//! must not hold them all.
//!
//! A full room turns away the newcomer, unless somebody holds more than a fair share: a lane beyond its
//! share of places gives one up for the other, and a client that has two places more than the newcomer's
//! client gives up its newest. Decides only; who waits, and how long, is another's affair.

mod lane;

use std::collections::HashMap;
use std::time::Duration;

use self::lane::Lane;
use crate::policy::class::Urgency;
use crate::policy::limits::ClientKey;

/// Control set-ups for one of bulk, while both wait.
pub const CONTROL_TO_BULK: u32 = 3;

/// The numbers an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most set-ups in progress.
    pub setups: u32,
    /// Most of them of one client.
    pub setups_per_client: u32,
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

/// A set-up, or a place in the waiting room for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What becomes of somebody who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// May begin at once.
    Begins(Ticket),
    /// Waits; the other, if there is one, gives up its place for it.
    Waits(Ticket, Option<Ticket>),
    /// There is no place.
    TurnedAway,
}

/// The set-ups in progress and those that wait.
///
/// Between two calls nobody waits who could begin, if whoever [ends](Room::end) a set-up or changes the
/// numbers asks for the [next](Room::begin_next) until there is none.
#[derive(Debug)]
pub struct Room {
    settings: Settings,
    control: Lane,
    bulk: Lane,
    /// Control set-ups since bulk had its turn.
    streak: u32,
    /// Whose each ticket is: of those that wait, and of those in progress.
    waiting: HashMap<Ticket, (Urgency, ClientKey)>,
    running: HashMap<Ticket, (Urgency, ClientKey)>,
    /// How many set-ups each client has in progress.
    by_client: HashMap<ClientKey, u32>,
    last: u64,
}

impl Room {
    /// Makes an empty room.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            control: Lane::default(),
            bulk: Lane::default(),
            streak: 0,
            waiting: HashMap::new(),
            running: HashMap::new(),
            by_client: HashMap::new(),
            last: 0,
        }
    }

    /// Changes the numbers. Nobody who waits is turned away by it.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Lets a client's request in, or has it wait, or turns it away.
    pub fn arrive(&mut self, client: &ClientKey, urgency: Urgency) -> Arrival {
        let begins = self.has_room(urgency) && self.may_begin(client);
        let gives_up = match self.waiting.len() < self.settings.waiting as usize || begins {
            true => None,
            false => match self.who_gives_up(client, urgency) {
                Some(ticket) => Some(ticket),
                None => return Arrival::TurnedAway,
            },
        };
        gives_up.map(|ticket| self.leave(ticket));
        self.last += 1;
        let ticket = Ticket(self.last);
        if begins {
            self.begins(ticket, urgency, client.clone());
            return Arrival::Begins(ticket);
        }
        self.lane_mut(urgency).add(client, ticket);
        self.waiting.insert(ticket, (urgency, client.clone()));
        Arrival::Waits(ticket, gives_up)
    }

    /// Takes somebody out who waits no longer. Says whether it still waited.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some((urgency, client)) = self.waiting.remove(&ticket) else { return false };
        self.lane_mut(urgency).remove(&client, ticket);
        true
    }

    /// Ends a set-up.
    pub fn end(&mut self, ticket: Ticket) {
        let Some((urgency, client)) = self.running.remove(&ticket) else { return };
        self.lane_mut(urgency).in_progress -= 1;
        match self.by_client.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_client.remove(&client)),
        }
    }

    /// Returns who begins now, if there is room for a set-up and somebody waits who may have it.
    pub fn begin_next(&mut self) -> Option<Ticket> {
        let may_begin = |client: &ClientKey| self.may_begin(client);
        let turn = |urgency| self.lane(urgency).turn(may_begin).filter(|_| self.has_room(urgency));
        let (control, bulk) = (turn(Urgency::Control), turn(Urgency::Bulk));
        let (urgency, turn) = match (control, bulk) {
            (Some(control), Some(_)) if self.streak < CONTROL_TO_BULK => {
                self.streak += 1;
                (Urgency::Control, control)
            }
            (_, Some(bulk)) => {
                self.streak = 0;
                (Urgency::Bulk, bulk)
            }
            (Some(control), None) => (Urgency::Control, control),
            (None, None) => return None,
        };
        let ticket = self.lane_mut(urgency).take(turn)?;
        let (_, client) = self.waiting.remove(&ticket)?;
        self.begins(ticket, urgency, client);
        Some(ticket)
    }

    /// Returns how many set-ups are in progress.
    pub fn in_progress(&self) -> usize {
        self.running.len()
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many of one urgency wait.
    pub fn waiting_of(&self, urgency: Urgency) -> usize {
        self.lane(urgency).len
    }

    fn begins(&mut self, ticket: Ticket, urgency: Urgency, client: ClientKey) {
        self.lane_mut(urgency).in_progress += 1;
        *self.by_client.entry(client.clone()).or_default() += 1;
        self.running.insert(ticket, (urgency, client));
    }

    fn may_begin(&self, client: &ClientKey) -> bool {
        self.by_client.get(client).is_none_or(|count| *count < self.settings.setups_per_client)
    }

    /// Says whether one more set-up of this urgency may begin. Of a few there is no quarter to keep free.
    fn has_room(&self, urgency: Urgency) -> bool {
        let all = self.settings.setups as usize;
        let most = all - all / (CONTROL_TO_BULK as usize + 1);
        self.running.len() < all && self.lane(urgency).in_progress < most
    }

    fn lane(&self, urgency: Urgency) -> &Lane {
        match urgency {
            Urgency::Control => &self.control,
            Urgency::Bulk => &self.bulk,
        }
    }

    fn lane_mut(&mut self, urgency: Urgency) -> &mut Lane {
        match urgency {
            Urgency::Control => &mut self.control,
            Urgency::Bulk => &mut self.bulk,
        }
    }

    /// Returns whose place a newcomer gets in a full room.
    fn who_gives_up(&mut self, client: &ClientKey, urgency: Urgency) -> Option<Ticket> {
        let places = self.settings.waiting as usize;
        let of_bulk = places / (CONTROL_TO_BULK as usize + 1);
        let of_control = places - of_bulk;
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

#[cfg(test)]
mod tests;
