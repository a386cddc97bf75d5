//! The table of clients: bounded, and hard to push a live client out of.
//!
//! When it is full, one look ranks all clients and forgets a batch of the least telling. A client with a
//! request or tunnel under way is never forgotten. In this order:
//!
//! 1. gone: not seen for [`GONE`] times the silent time
//! 2. anonymous clients that were not seen regularly yet
//! 3. users that were not, then silent clients, then regular anonymous ones: for a user's sake only
//!
//! So whoever comes from many addresses pushes out others of his kind, and no agent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::client::Held;
use super::client::Moment;
use crate::policy::limits::ClientKey;

/// Silent times after which a client counts as gone.
pub const GONE: u32 = 10;
/// Of a full table, the part that is forgotten at once.
const BATCH: usize = 32;
/// How long a look that found nobody to forget is not repeated.
const REST: Duration = Duration::from_secs(1);

/// How a full table makes room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Most clients.
    pub(super) most: usize,
    /// The silent time; a usual one where silence is not looked for.
    pub(super) silent_after: Duration,
}

/// All clients that are remembered.
#[derive(Debug, Default)]
pub(super) struct Table {
    clients: HashMap<ClientKey, Arc<Client>>,
    /// When the last look found nobody to forget.
    stuck: Option<Moment>,
    /// Clients that were forgotten to make room.
    pub(super) forgotten: u64,
    /// Requests of clients for whom there was no room.
    pub(super) not_entered: u64,
}

impl Table {
    /// Returns a client, entered anew if there is room.
    pub(super) fn enter(&mut self, key: ClientKey, role: &Arc<str>, room: Room, now: Moment) -> Option<Held> {
        if let Some(known) = self.clients.get(&key) {
            return Some(Held::new(known));
        }
        if self.clients.len() >= room.most && !self.make_room(&key, room, now) {
            self.not_entered += 1;
            return None;
        }
        let client = Arc::new(Client::new(key.clone(), Arc::clone(role), now));
        let held = Held::new(&client);
        self.clients.insert(key, client);
        Some(held)
    }

    /// Returns every client.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        self.clients.values().map(Arc::clone).collect()
    }

    /// Forgets the clients that were not seen for this long.
    pub(super) fn forget(&mut self, unseen: Duration, now: Moment) {
        self.clients.retain(|_, client| client.is_busy() || now.saturating_sub(client.last()) <= unseen);
    }

    /// Forgets the clients that are not to be kept.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&ClientKey) -> bool) {
        self.clients.retain(|key, client| client.is_busy() || is_kept(key));
    }

    fn make_room(&mut self, newcomer: &ClientKey, room: Room, now: Moment) -> bool {
        let is_user = matches!(newcomer, ClientKey::User(_));
        if !is_user && self.stuck.is_some_and(|then| now.saturating_sub(then) < REST) {
            return false;
        }
        let most = if is_user { Rank::RegularNetwork } else { Rank::YoungNetwork };
        let ranked = self.clients.values().filter(|client| !client.is_busy()).filter_map(|client| {
            let rank = Rank::of(client, room.silent_after, now).filter(|rank| *rank <= most)?;
            Some((rank, client.last(), client.key.clone()))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable_by_key(|(rank, last, _)| (*rank, *last));
        // Only those of the least telling rank go together; and as many as a smaller table asks for.
        let least = ranked.first().map(|(rank, ..)| *rank);
        let batch = (room.most / BATCH).max(1);
        let beyond = (self.clients.len() + 1).saturating_sub(room.most);
        let going = ranked
            .into_iter()
            .enumerate()
            .take_while(|(at, (rank, ..))| *at < beyond || (*at < batch && Some(*rank) == least));
        for (_, (_, _, key)) in going.collect::<Vec<_>>() {
            self.clients.remove(&key);
            self.forgotten += 1;
        }
        let made = self.clients.len() < room.most;
        if !is_user {
            self.stuck = (!made).then_some(now);
        }
        made
    }
}

/// Who is forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Gone,
    YoungNetwork,
    YoungUser,
    Silent,
    RegularNetwork,
}

impl Rank {
    /// Returns the rank of a client; a regular user that is not silent is not forgotten.
    fn of(client: &Client, silent_after: Duration, now: Moment) -> Option<Self> {
        let unseen = now.saturating_sub(client.last());
        let is_user = matches!(client.key, ClientKey::User(_));
        match (client.is_regular(silent_after), is_user) {
            _ if unseen > silent_after.saturating_mul(GONE) => Some(Self::Gone),
            (false, false) => Some(Self::YoungNetwork),
            (false, true) => Some(Self::YoungUser),
            (true, _) if unseen > silent_after => Some(Self::Silent),
            (true, false) => Some(Self::RegularNetwork),
            (true, true) => None,
        }
    }
}
