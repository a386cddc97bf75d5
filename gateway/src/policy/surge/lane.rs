//! Those of one urgency: who waits, client by client, and how many set-ups are in progress.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use super::Ticket;
use crate::policy::limits::ClientKey;

/// Those of one urgency, client by client.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) clients: HashMap<ClientKey, Queue>,
    /// The clients by their turn, the next one first.
    pub(super) turns: BTreeMap<u64, ClientKey>,
    /// The clients by how many of theirs wait, and by turn.
    pub(super) sizes: BTreeSet<(usize, u64)>,
    last_turn: u64,
    /// How many wait.
    pub(super) len: usize,
    /// How many set-ups are in progress.
    pub(super) in_progress: usize,
}

/// Those of one client that wait; never empty.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turn: u64,
    tickets: BTreeSet<Ticket>,
}

impl Lane {
    /// Returns the turn of the first client that has not its share of set-ups yet. Those that have are passed over,
    /// and they are few: no more than there are shares.
    pub(super) fn turn(&self, may_begin: impl Fn(&ClientKey) -> bool) -> Option<u64> {
        self.turns.iter().find(|(_, client)| may_begin(client)).map(|(turn, _)| *turn)
    }

    pub(super) fn held_by(&self, client: &ClientKey) -> usize {
        self.clients.get(client).map_or(0, |queue| queue.tickets.len())
    }

    pub(super) fn newest_of_greediest(&self) -> Option<(usize, Ticket)> {
        let (most, turn) = self.sizes.last()?;
        let queue = self.clients.get(self.turns.get(turn)?)?;
        Some((*most, *queue.tickets.last()?))
    }

    pub(super) fn add(&mut self, client: &ClientKey, ticket: Ticket) {
        let mut queue = self.lift(client).unwrap_or_default();
        if queue.tickets.is_empty() {
            self.last_turn += 1;
            queue.turn = self.last_turn;
        }
        queue.tickets.insert(ticket);
        self.len += 1;
        self.put(client, queue);
    }

    pub(super) fn remove(&mut self, client: &ClientKey, ticket: Ticket) {
        let Some(mut queue) = self.lift(client) else { return };
        self.len -= usize::from(queue.tickets.remove(&ticket));
        self.put(client, queue);
    }

    /// Takes the oldest of the client with this turn; the client's next turn comes after all others.
    pub(super) fn take(&mut self, turn: u64) -> Option<Ticket> {
        let client = self.turns.get(&turn)?.clone();
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
